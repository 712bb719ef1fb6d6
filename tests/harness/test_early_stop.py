"""Shadow units that stop once U-LiRA's interval is narrow enough (``--narrow``)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.harness.test_shadows import Drawn
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import panel_results, scores
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import shadow_units
from unlearn_bench.harness.units.records import ShadowRecord
from unlearn_bench.scoring.ulira import STOPPED_STRETCH, STRETCH


@pytest.fixture
def default() -> References:
    return References(load_track("digits-resnet18"), Store())


def test_an_early_stop_says_so_and_a_full_run_goes_on_from_there(default: References) -> None:
    entry, runner = baseline("ft"), Drawn(len(default.examples.dataset.labels))
    early = shadow_units.run(default, entry, runner, narrow=0.4)
    assert (early.pairs, early.narrow, early.status) == (shadow_units.LEAST_PAIRS, 0.4, "ok")
    assert len(runner.asked) == 2 * shadow_units.LEAST_PAIRS * 8
    full = shadow_units.run(default, entry, runner)
    assert (full.pairs, full.narrow) == (8, None)
    assert len(runner.asked) == len(set(runner.asked)) == 16 * 8, "no unit runs twice"
    again = Drawn(len(default.examples.dataset.labels))
    assert shadow_units.run(default, entry, again).values == full.values and not again.asked
    impossible = shadow_units.run(default, baseline("ga"), Drawn(len(default.examples.dataset.labels)), narrow=1e-9)
    assert impossible.pairs == 8


def half_width(references: References, record: ShadowRecord) -> float:
    found = scores.entry_shadow_scores(references, record)
    assert found is not None
    return (found.attacks["ulira"]["accuracy_high"] - found.attacks["ulira"]["accuracy_low"]) / 2


def test_the_interval_of_a_run_that_stopped_early_is_wider(default: References) -> None:
    early = shadow_units.run(default, baseline("ft"), Drawn(len(default.examples.dataset.labels)), narrow=0.4)
    asked_for = replace(early, narrow=None)
    assert half_width(default, early) == pytest.approx(STOPPED_STRETCH / STRETCH * half_width(default, asked_for))
    reading = panel_results.ShadowReading(early, scores.entry_shadow_scores(default, early))
    assert panel_results._pair_reading(default, reading).stretch == STOPPED_STRETCH, "that of Forgetting, too"
    full = shadow_units.run(default, baseline("ft"), Drawn(len(default.examples.dataset.labels)), narrow=1e-9)
    assert half_width(default, full) == half_width(default, replace(full, narrow=None)), "nothing was left to run"


def test_a_run_stops_once_the_interval_that_is_reported_is_narrow_enough(default: References) -> None:
    first = shadow_units.run(default, baseline("ft"), Drawn(len(default.examples.dataset.labels)), narrow=0.4)
    reported = half_width(default, first)
    for narrow, stops in ((1.001 * reported, True), (0.999 * reported, False)):
        entry = baseline("ga").with_parameters({"lr": narrow})
        record = shadow_units.run(default, entry, Drawn(len(default.examples.dataset.labels)), narrow=narrow)
        assert (record.pairs == first.pairs) == stops
