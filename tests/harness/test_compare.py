"""``bench compare`` with more than two entries or tracks: paired tests, adjusted for their number."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

import unlearn_bench
from tests.harness.conftest import run
from unlearn_bench.scoring.paired import holm, paired_p


def test_the_p_value_is_that_of_the_paired_t_test_over_shared_seeds() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=6) + 0.5, generator.normal(size=6)
    by_seed = dict(enumerate(a)) | {9: 100.0}
    assert paired_p(by_seed, dict(enumerate(b))) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    ratios = np.exp(a), np.exp(b)
    assert paired_p(*(dict(enumerate(side)) for side in ratios), ratio=True) == pytest.approx(
        stats.ttest_rel(a, b).pvalue
    )
    assert math.isnan(paired_p({0: 1.0}, {0: 2.0}))


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9])[0] == 1.0
    assert math.isnan(holm([math.nan, 0.02])[0]) and holm([math.nan, 0.02])[1] == 0.02


def test_every_pair_metric_and_track_is_tested_and_the_better_entry_named() -> None:
    result = run("compare", "ft", "ga", "salun", "--track", "digits-resnet18", "--json")
    tests = json.loads(result.stdout)["tests"]
    pairs = {(test["a"], test["b"]) for test in tests}
    assert pairs == {("ft", "ga"), ("ft", "salun"), ("ga", "salun")}
    assert all(test["p_holm"] >= test["p"] for test in tests)
    (speed,) = [test for test in tests if (test["metric"], test["a"], test["b"]) == ("rte", "ft", "ga")]
    assert speed["p_holm"] < 0.001 and speed["better"] == "ga" and speed["difference"]["b"] > speed["difference"]["a"]
    text = run("compare", "ft", "ga", "salun").stdout
    assert "RTE: high is better" in text and f"adjusted for all {len(tests)} tests (Holm)" in text


def test_values_of_a_seed_stay_together() -> None:
    rows = unlearn_bench.seed_rows().pivot(index="seed", columns="entry", values="retdev")
    table = unlearn_bench.compare("ft", "ga", "salun").set_index(["metric", "a", "b"])
    expected = stats.ttest_rel(rows["ft"], rows["salun"]).pvalue
    assert table.loc[("retdev", "ft", "salun"), "p"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("names", "what"),
    [(("ft",), "cannot compare ft"), (("ft", "ft"), "cannot compare ft, ft"), (("ft", "ga", "nobody"), "'nobody'")],
)
def test_names_that_cannot_be_compared_are_refused(names: tuple[str, ...], what: str) -> None:
    result = run("compare", *names)
    assert result.exit_code == 2 and what in result.stderr
