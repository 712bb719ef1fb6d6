"""Sequential deletion: an entry is asked several times, and its last model counts."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unlearn_bench.harness.entries.entry import Entry, read
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.units import unit_run
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.harness.units.worker_runner import WorkerRunner
from unlearn_bench.sandbox.backends import load

ENTRY = """
import torch

def unlearn(model, retain, forget, val):
    with torch.no_grad():
        model.fc.bias[:3] = model.fc.bias[:3].round() + 100 * torch.tensor([1.0, len(forget.dataset), 0.0])
        model.fc.bias[2] = len(retain.dataset)
    print("asked", len(forget.dataset), "of", len(retain.dataset))
    {more}
"""


@pytest.fixture
def asked(prepared: References) -> References:
    """The tiny track (F of 64, R of 192), whose F is deleted in five requests."""
    track = prepared.track
    return References(replace(track, protocol=replace(track.protocol, requests=5)), prepared.store)


def entry(folder: Path, more: str = "") -> Entry:
    path = folder / "counts.py"
    path.write_text(ENTRY.format(more=more))
    return read(path)


def test_requests_partition_f_and_r_holds_what_comes_later(asked: References, tmp_path: Path) -> None:
    unit = SeedUnit(entry(tmp_path), asked.track, 1)
    parts, requests = unit.parts(asked.examples), unit.requests(asked.examples)
    assert [len(one["forget"]) for one in requests] == [13, 13, 13, 13, 12]
    assert np.array_equal(np.concatenate([one["forget"] for one in requests]), parts["forget"])
    for done, one in enumerate(requests):
        later = np.concatenate([parts["retain"], *(other["forget"] for other in requests[done + 1 :])])
        assert np.array_equal(one["retain"], later) and np.array_equal(one["val"], parts["val"])
        assert "test" not in one
    assert len({unit.request_seed(number) for number in range(5)}) == 5


@pytest.mark.slow
def test_every_request_goes_on_from_the_last_model_in_every_place(asked: References, tmp_path: Path) -> None:
    unit = SeedUnit(entry(tmp_path), asked.track, 0)
    bench = UnitContext(asked, load("process"), "requests", threading.Event())
    logits, outcome = unit_run.attempt(bench, unit, Slot(), 60)
    assert outcome.status == "ok", outcome.reason
    assert outcome.log.split("\n") == [
        f"asked {n} of {r}" for n, r in ((13, 243), (13, 230), (13, 217), (13, 204), (12, 192))
    ]
    with WorkerRunner(asked.track) as workers:
        ((_, result),) = workers.run([unit], 60)
    assert logits is not None and result.logits is not None
    np.testing.assert_allclose(result.logits, logits, atol=1e-4)
    # every request added to the bias that the last one left: five times 100, and 100 for each of 64 examples
    before = asked.logits(unit.original)  # kept up to a constant of each example
    moved = (logits - logits[:, 3:4]) - (before - before[:, 3:4])
    assert moved[:, :3] - [500, 6400, 192] == pytest.approx(0, abs=1)
    assert moved[:, 3:] == pytest.approx(0, abs=0.1)


@pytest.mark.slow
def test_requests_share_the_deadline_and_a_failure_ends_them(asked: References, tmp_path: Path) -> None:
    bench = UnitContext(asked, load("process"), "requests", threading.Event())
    slow = SeedUnit(entry(tmp_path, "import time; time.sleep(1)"), asked.track, 0)
    _, outcome = unit_run.attempt(bench, slow, Slot(), 2.5)
    assert outcome.status == "timeout" and outcome.seconds is not None and outcome.seconds < 5
    failing = SeedUnit(entry(tmp_path, "assert len(retain.dataset) > 220"), asked.track, 0)
    logits, outcome = unit_run.attempt(bench, failing, Slot(), 60)
    assert (logits, outcome.status) == (None, "crash")
    assert outcome.log.count("asked") == 3
    loud = SeedUnit(entry(tmp_path, "print('x' * 3000)"), asked.track, 0)
    _, outcome = unit_run.attempt(bench, loud, Slot(), 60)
    assert outcome.status == "ok" and len(outcome.log) <= 4096 and "asked 12 of 192" in outcome.log
