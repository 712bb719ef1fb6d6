"""The worst of all attacks: from the null to Original, in both directions, with an interval that covers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from unlearn_bench.scoring.forgetting import Reading, forgetting, groups, shares, telling


def reading(
    value: float,
    attack: str = "U-MIA",
    spread: float = 0.01,
    n: int = 10,
    null: float = 0.5,
    original: float = 0.7,
    rng: np.random.Generator | None = None,
) -> Reading:
    """An attack that finds ``value`` of what it finds in Original; without a generator the spread is symmetric."""
    noise = np.linspace(-1, 1, n) if rng is None else rng.normal(size=n)
    entry = null + value * (original - null) + spread * noise
    return Reading(attack, "seed", entry, np.full(n, null), np.full(n, original))


def test_the_null_is_0_and_original_is_1_for_every_attack() -> None:
    for null, original in ((0.5, 0.7), (0.3, 0.9), (0.5, 0.2)):
        for value in (0.0, 0.4, 1.0):
            found = forgetting([reading(value, null=null, original=original)])
            assert found is not None and found.value == pytest.approx(value)


def test_what_is_forgotten_too_well_is_evidence_as_well() -> None:
    over, under = (forgetting([reading(value)]) for value in (-0.6, 0.6))
    assert over is not None and under is not None
    assert (over.value, over.low, over.high, over.group) == pytest.approx(
        (under.value, under.low, under.high, under.group)
    )


def test_the_attack_with_the_surest_evidence_names_the_entry_and_the_widest_limits_it() -> None:
    found = forgetting([reading(0.3, "sure"), reading(0.5, "vague", spread=0.2), reading(0.0, "blind")])
    assert found is not None
    assert (found.attack, found.limit, found.attacks) == ("sure", "vague", 3)
    assert found.value == pytest.approx(0.3) and found.low < 0.3 < 0.5 < found.high


def test_each_further_attack_widens_the_interval() -> None:
    one, many = forgetting([reading(0.3)]), forgetting([reading(0.3)] + [reading(0.0, str(k)) for k in range(5)])
    assert one is not None and many is not None
    assert many.low < one.low and many.value == one.value


@pytest.mark.parametrize(
    ("value", "spread", "group"), [(0.02, 0.02, 0), (0.2, 0.01, 1), (0.7, 0.01, 2), (-0.7, 0.01, 2), (0.7, 0.5, 0)]
)
def test_g1_is_where_the_interval_reaches_the_null(value: float, spread: float, group: int) -> None:
    found = forgetting([reading(value, spread=spread)])
    assert found is not None and found.group == group and (found.low == 0) == (group == 0)


def test_original_itself_never_beats_original_and_a_retrained_model_does() -> None:
    rng = np.random.default_rng(0)
    null, original = rng.normal(0.5, 0.02, 10), rng.normal(0.7, 0.02, 10)
    itself, retrained = (
        forgetting([Reading("U-MIA", "seed", entry, null, original)]) for entry in (original, rng.normal(0.5, 0.02, 10))
    )
    assert itself is not None and retrained is not None
    assert (itself.value, itself.high, itself.beats_original) == (pytest.approx(1), pytest.approx(1), False)
    assert retrained.beats_original and retrained.group == 0


def test_an_attack_that_does_not_find_original_says_nothing_about_an_entry() -> None:
    rng = np.random.default_rng(1)
    blind = Reading("blind", "seed", *rng.normal(0.5, 0.02, (3, 10)))
    assert telling([blind, reading(0.3)])[0].attack == "U-MIA"
    assert forgetting([blind]) is None and forgetting([]) is None


def imprecise(value: float, spread: float = 0.02) -> Reading:
    """An attack that finds Original, and whose interval of a retrained model reaches Original."""
    found = reading(value, "imprecise", spread=spread, original=0.6)
    return replace(found, retrained=0.5 + 0.2 * np.linspace(-1, 1, 10))


def test_an_attack_too_imprecise_to_clear_a_retrained_model_keeps_nobody_from_a_position() -> None:
    found = forgetting([reading(0.1), imprecise(0.0, spread=0.2)])
    assert found is not None
    assert (found.attack, found.limit, found.attacks) == ("U-MIA", "U-MIA", 2)
    assert found.beats_original
    assert [share.clears for share in shares([reading(0.1), imprecise(0.5)])] == [False, True]


def test_what_an_imprecise_attack_finds_counts() -> None:
    found = forgetting([reading(0.1), imprecise(0.8)])
    assert found is not None
    assert (found.attack, found.limit, found.group) == ("imprecise", "imprecise", 2)


def test_nobody_is_cleared_by_imprecise_attacks_alone() -> None:
    found = forgetting([imprecise(0.0, spread=0.2)])
    assert found is not None and not found.beats_original


def test_values_that_are_not_finite_or_of_other_units_are_refused() -> None:
    good = reading(0.3)
    for entry in (good.entry[1:], np.full(10, math.nan)):
        with pytest.raises(ValueError, match="finite values of the same units"):
            forgetting([Reading("U-MIA", "seed", entry, good.null, good.original)])


def test_one_unit_has_no_interval() -> None:
    assert forgetting([reading(0.3, n=1)]) is None


def test_groups_of_resamples_are_those_of_the_drawn_units() -> None:
    readings = [reading(0.45, rng=np.random.default_rng(2), spread=0.05), reading(0.2, "RMIA", spread=0.05)]
    draws = np.random.default_rng(3).integers(0, 10, (30, 10))
    counts = np.stack([np.bincount(drawn, minlength=10) for drawn in draws]).astype(np.float64)
    for drawn, group in zip(draws, groups(readings, {"seed": counts}), strict=True):
        sample = [Reading(r.attack, r.unit, r.entry[drawn], r.null[drawn], r.original[drawn]) for r in readings]
        found = forgetting(sample)
        assert found is not None and found.group == group


@pytest.mark.parametrize("effect", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("seeds", [4, 10])
def test_the_interval_covers_the_worst_of_all_attacks(effect: float, seeds: int) -> None:
    """Three independent attacks, one of which finds something; Bonferroni's correction may cover more than 95 %."""
    rng, covered, runs = np.random.default_rng(4), 0, 400
    for _ in range(runs):
        entries = [rng.normal(0.5 + 0.2 * share, 0.03, seeds) for share in (effect, 0.0, 0.0)]
        found = forgetting(
            [
                Reading(str(k), "seed", e, rng.normal(0.5, 0.03, seeds), rng.normal(0.7, 0.03, seeds))
                for k, e in enumerate(entries)
            ]
        )
        covered += found is None or found.low <= effect <= found.high
    assert covered / runs > 0.93


def test_shares_keep_the_side_of_the_null_and_begin_with_the_strongest_evidence() -> None:
    found = shares([reading(0.1, "weak"), reading(-0.6, "over"), reading(0.3, "vague", spread=0.5)])
    assert [share.attack for share in found] == ["over", "weak", "vague"]
    assert [share.value for share in found] == pytest.approx([-0.6, 0.1, 0.3])
    assert found[0].high < 0 < found[1].low and found[2].low < 0


def test_the_first_share_is_the_evidence_that_the_board_names() -> None:
    readings = [reading(0.2, "one"), reading(-0.5, "two"), reading(0.4, "three", spread=0.3)]
    worst = forgetting(readings)
    assert worst is not None
    first = shares(readings)[0]
    assert (first.attack, abs(first.value), -first.high) == pytest.approx((worst.attack, worst.value, worst.low))


def test_of_attacks_that_find_equally_much_the_first_is_named() -> None:
    null, original = np.linspace(0.49, 0.52, 10), np.linspace(0.71, 0.73, 10)
    readings = [Reading(str(by), "seed", original / by, null / by, original / by) for by in range(1, 4)]
    found = forgetting(readings)
    assert found is not None and (found.attack, found.limit) == ("1", "1")
