"""Search spaces: kinds of rule, which points a search begins with, and how many trials it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import optuna
import pytest

from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import search_space, tuning

TRACK = load_track("digits-resnet18")


def drawn(space: dict[str, Any], track: Track = TRACK, **point: Any) -> dict[str, Any]:
    """Draw a point of a space with what Optuna is told to use."""
    return search_space.draw(optuna.trial.FixedTrial(point), space, track)  # type: ignore[arg-type]


def test_one_minus_a_logarithmic_draw_reaches_unlearn_as_its_distance_from_one() -> None:
    space = {"a": ("1-log", 1e-4, 0.5)}
    assert drawn(space, a=0.0001) == {"a": 0.9999}
    (first, *_) = search_space.first_points(space, {"a": 0.95}, TRACK)
    assert drawn(space, **first) == {"a": pytest.approx(0.95)}


def test_the_number_of_epochs_ends_where_the_track_says() -> None:
    space = {"epochs": ("int", 1, "max_epochs")}
    points = search_space.first_points(space, {"epochs": 400}, TRACK)
    assert points == [{"epochs": TRACK.analysis.max_epochs}]


def test_a_search_screens_rates_up_to_the_published_product_of_rate_and_steps() -> None:
    space = {"lr": ("rate", 1e-5, 1.0), "weight_decay": ("log", 1e-5, 1e-1)}
    points = search_space.first_points(space, {"lr": 1e-3, "weight_decay": 5e-4}, TRACK)
    steps = search_space.PUBLISHED_RETAIN / TRACK.splits.retain
    assert points[0] == {"lr": 1e-3, "weight_decay": 5e-4}, "the published values first"
    assert points[-1]["lr"] == pytest.approx(1e-3 * steps)
    assert len(points) == 5 and all(point["weight_decay"] == 5e-4 for point in points)


def test_where_an_epoch_has_as_many_steps_as_in_the_paper_nothing_is_screened() -> None:
    large = replace(TRACK, splits=replace(TRACK.splits, retain=search_space.PUBLISHED_RETAIN))
    space = {"lr": ("rate", 1e-5, 1.0)}
    assert search_space.first_points(space, {"lr": 0.1}, large) == [{"lr": 0.1}]


@pytest.mark.parametrize(
    ("rule", "default", "nearest"),
    [
        (("log", 1e-5, 1e-1), 0.0, 1e-5),
        (("choice", (64, 128, 256)), 32, 64),
        (("choice", ("first", "all")), "all", "all"),
        (("uniform", 0.0, 1.0), 0.3, 0.3),
    ],
)
def test_a_default_outside_of_the_space_counts_as_the_nearest_value(rule: Any, default: Any, nearest: Any) -> None:
    assert search_space.first_points({"x": rule}, {"x": default}, TRACK) == [{"x": nearest}]


def test_the_budget_grows_with_the_number_of_parameters() -> None:
    few, many = (replace(baseline("ft"), search_space={str(i): ("uniform", 0, 1) for i in range(n)}) for n in (2, 10))
    assert tuning.budget(few, TRACK) == TRACK.analysis.trials
    assert tuning.budget(many, TRACK) == 2 * TRACK.analysis.trials


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (("rate", 1e-5, 1.0), "1e-05 to 1.0, log scale"),
        (("1-log", 1e-4, 0.5), "0.5 to 0.9999, log scale of the distance to 1"),
        (("int", 1, "max_epochs"), "1 to 10"),
        (("choice", (64, 128)), "one of 64, 128"),
    ],
)
def test_a_rule_in_words(rule: Any, words: str) -> None:
    assert search_space.in_words(rule, 10) == words
