"""What probes read on trained digits models: nothing between two retrained ones, and something in Original."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from unlearn_bench.harness.probes import panel
from unlearn_bench.harness.probes.context import ProbeContext

pytestmark = pytest.mark.slow
Floats = NDArray[np.float64]
KINDS = ("random", "class")


def headlines(name: str, contexts: list[ProbeContext]) -> tuple[Floats, Floats, Floats]:
    """The headline [seeds] of the null model, of the retrained model compared with it, and of Original."""
    probe, rows = panel.load(name), []
    for context in contexts:
        models = (context.of_null(), context.of_retrained(), context.of_original())
        rows.append([next(iter(probe.measure(model).numbers.values())) for model in models])
    null, retrained, original = np.array(rows).T
    return null, retrained, original


def half_width(differences: Floats, level: float = 0.95) -> float:
    """Half of the interval of a mean."""
    quantile = t.ppf((1 + level) / 2, len(differences) - 1)
    return float(quantile * differences.std(ddof=1) / np.sqrt(len(differences)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in panel.names() if name != "connectivity"])
def test_a_probe_finds_original_and_nothing_between_two_retrained_models(
    name: str, kind: str, contexts: dict[str, list[ProbeContext]]
) -> None:
    null, retrained, original = headlines(name, contexts[kind])
    assert abs((retrained - null).mean()) <= half_width(retrained - null, 0.999)  # of so many cases, none by chance
    assert (original - null).mean() > half_width(original - null)


@pytest.mark.parametrize("kind", KINDS)
def test_original_is_connected_with_itself_and_not_with_retrained_models(
    kind: str, contexts: dict[str, list[ProbeContext]]
) -> None:
    # the retrained model has Original's initial weights, so that its barrier is lower than the null model's
    null, retrained, original = headlines("connectivity", contexts[kind])
    assert (original == 0).all()
    assert (retrained > 0).all() and (null > retrained).all()


def test_the_line_between_retrained_models_is_the_same_from_both_ends(contexts: dict[str, list[ProbeContext]]) -> None:
    there, back = (panel.load("connectivity").measure(c).numbers for c in _both_ways(contexts["random"][0]))
    assert there["barrier_retrained"] == pytest.approx(back["barrier_retrained"], rel=1e-3)


def test_residual_knowledge_of_two_retrained_models_is_opposite(contexts: dict[str, list[ProbeContext]]) -> None:
    there, back = (panel.load("residual_knowledge").measure(c).numbers for c in _both_ways(contexts["random"][0]))
    assert there["residual"] == pytest.approx(-back["residual"])


def _both_ways(context: ProbeContext) -> tuple[ProbeContext, ProbeContext]:
    return context.of_null(), context.of_retrained()
