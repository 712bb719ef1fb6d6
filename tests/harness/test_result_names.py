"""What was computed of one model is never taken for another one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import Record


@pytest.fixture
def shipped() -> References:
    return References(load_track("digits-resnet18"), Store())


@pytest.fixture
def unit(shipped: References) -> Record:
    return next(r for r in unit_store.seed_records(shipped.store, shipped.track) if (r.name, r.seed) == ("ft", 3))


def test_a_unit_that_ran_again_is_scored_again(shipped: References, unit: Record) -> None:
    logits = unit_store.logits(shipped.store, unit)
    assert logits is not None
    worse = replace(unit, logits=shipped.store.put(unit_store.pack(np.roll(logits, 1, axis=1))))
    before, after = (scores.record_scores(shipped, record) for record in (unit, worse))
    assert before is not None and after is not None
    assert after.metrics["ra"] < 0.2 < before.metrics["ra"]


def test_scores_follow_the_retrained_model_of_their_seed(shipped: References, unit: Record) -> None:
    before = scores.record_scores(shipped, unit)
    other = shipped.manifest.roles[Role("null", 3).name]
    shipped.keep(Role("retrained", 3), other)
    after = scores.record_scores(shipped, unit)
    assert before is not None and after is not None
    assert after.metrics["ra"] == before.metrics["ra"] and after.metrics["retdev"] != before.metrics["retdev"]
