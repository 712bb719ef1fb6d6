"""What a change of confidence does to what attacks read: nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.scoring.evidence import of_baseline, real
from unlearn_bench.scoring import panel
from unlearn_bench.scoring.evidence import ModelEvidence
from unlearn_bench.scoring.intervals import mean_interval
from unlearn_bench.scoring.temperature import collapse, scaled

Change = Callable[[np.ndarray], np.ndarray]
MODELS: dict[str, Callable[[int], ModelEvidence]] = {
    "Original": lambda seed: real("original", seed),
    "EU-k": lambda seed: of_baseline("eu_k", seed),
    "CT": lambda seed: of_baseline("ct", seed),
}
SEEDS = range(10)


def by_predicted_class(logits: np.ndarray) -> np.ndarray:
    sizes = np.logspace(-20, 20, logits.shape[1])
    return logits * sizes[logits.argmax(axis=1), None]


def centred(logits: np.ndarray) -> np.ndarray:
    return logits - logits.mean(axis=1, keepdims=True)


def power(exponent: float) -> Change:
    return lambda logits: np.sign(centred(logits)) * np.abs(centred(logits)) ** exponent


def clipped(logits: np.ndarray) -> np.ndarray:
    limit = np.quantile(np.abs(centred(logits)), 0.99)
    return np.clip(centred(logits), -limit, limit)


EXACT: dict[str, Change] = {
    **{f"times 1e{exponent}": lambda z, e=exponent: z.astype(float) * 10.0**e for exponent in (-30, -20, -4, 1, 30)},
    "shifted": lambda logits: logits + 10 * np.sin(np.arange(len(logits)))[:, None],
    "another factor for each predicted class": by_predicted_class,
}
NEARLY: dict[str, Change] = {
    "rounded to half precision": lambda logits: logits.astype(np.float16),
    "a hundredth, rounded to half precision": lambda logits: (logits / 100).astype(np.float16),
    "sharpened": power(1.25),
    "flattened": power(0.8),
    "clipped": clipped,
}


def readings(model: ModelEvidence, change: Change = lambda logits: logits) -> dict[str, float]:
    changed = replace(model, logits=change(model.logits))
    assert not changed.collapse
    return {f"{a.name}.{n}": value for a in panel.attacks_on("model") for n, value in a.run(changed).items()}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("change", EXACT)
def test_one_factor_for_all_changes_nothing(name: str, change: str) -> None:
    model = MODELS[name](0)
    assert readings(model, EXACT[change]) == pytest.approx(readings(model), abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_other_changes_of_confidence_leave_every_attack_within_its_interval(name: str) -> None:
    """``outputs`` is no attack but a distance, which may change as much as the outputs do."""
    before = [readings(MODELS[name](seed)) for seed in SEEDS]
    for what, change in NEARLY.items():
        after = [readings(MODELS[name](seed), change) for seed in SEEDS]
        for number in sorted(set(before[0]) - {f"outputs.{part}" for part in ("forget", "retain", "test")}):
            interval = mean_interval([of_seed[number] for of_seed in before])
            found = float(np.mean([of_seed[number] for of_seed in after]))
            assert interval.low <= found <= interval.high, (what, number, found, interval)


def test_the_temperature_is_the_one_that_makes_the_labels_of_v_likeliest() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)) * 2
    labels = np.array([rng.choice(3, p=np.exp(row) / np.exp(row).sum()) for row in logits])
    found = scaled(7 * logits, labels, np.arange(4000))
    assert found.temperature == pytest.approx(7, rel=0.1)
    np.testing.assert_array_equal(found.logits.argmax(axis=1), logits.argmax(axis=1))


@pytest.mark.parametrize("right", [True, False])
def test_labels_that_no_temperature_makes_likeliest_give_a_bound(right: bool) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4))
    labels = logits.argmax(axis=1) if right else logits.argmin(axis=1)
    assert np.isfinite(scaled(logits, labels, np.arange(50)).logits).all()


@pytest.mark.parametrize(
    ("change", "collapsed"),
    [
        (lambda logits: logits, False),
        (lambda logits: (logits * np.float32(1e-46)).astype(np.float32), True),
        (np.zeros_like, True),
        (lambda logits: np.eye(10)[logits.argmax(axis=1)], True),
        (lambda logits: np.clip(logits, 0, 2), True),
    ],
    ids=["as it is", "underflowing", "zero", "answers only", "clipped hard"],
)
def test_outputs_from_which_nothing_can_be_read_are_said_to_have_collapsed(change: Change, collapsed: bool) -> None:
    model = real("original", 0)
    changed = replace(model, logits=change(model.logits))
    said = re.fullmatch(
        r"its outputs have collapsed: (the same loss|\d+ different losses) on 528 examples", changed.collapse
    )
    assert (said is not None) == collapsed


def test_of_a_constant_answer_there_is_nothing_to_divide_by() -> None:
    assert scaled(np.ones((5, 3)), np.zeros(5, int), np.arange(5)).temperature == 0
    assert collapse(np.ones(10))


@pytest.mark.parametrize("bad", [np.full((5, 3), np.nan), np.ones(5), np.ones((4, 3))])
def test_what_is_not_logits_of_the_examples_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="logits"):
        scaled(bad, np.zeros(5, int), np.arange(5))
