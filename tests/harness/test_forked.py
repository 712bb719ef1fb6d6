"""Forked processes stand in for fresh ones in other tests: they must be what they stand for, and begin with torch."""

from __future__ import annotations

from contextlib import nullcontext
from threading import Event

import numpy as np
import pytest

from tests.harness import forked
from tests.harness.test_submit import FINE_TUNE
from unlearn_bench.sandbox.backends.process import Process
from unlearn_bench.sandbox.tiny import tiny_job
from unlearn_bench.sandbox.types import MIB, Limits

LIMITS = Limits(deadline=60, memory=2048 * MIB, processes=64, scratch=32 * MIB)
SHOWS_ITS_ARGUMENTS = "import os, sys\nprint(os.path.basename(sys.argv[0]), sorted(os.listdir(sys.argv[-1])))\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "status"),
    [(f"{SHOWS_ITS_ARGUMENTS}{FINE_TUNE}", "ok"), ("import os\ndef unlearn(model, retain): os._exit(4)", "crash")],
)
def test_a_forked_unit_ends_as_one_of_the_back_end_does(source: str, status: str) -> None:
    with tiny_job(source.encode(), LIMITS, run_id="forked") as job:
        fresh, warm = (backend.run(job, nullcontext()) for backend in (Process(), forked.WarmUnits()))
    assert fresh.status == warm.status == status
    assert (warm.reason, warm.log, warm.environment) == (fresh.reason, fresh.log, fresh.environment)
    assert warm.cpu_seconds is not None and warm.peak_memory
    for name, array in (fresh.weights or {}).items():
        np.testing.assert_array_equal((warm.weights or {})[name], array)


def test_a_forked_process_begins_with_what_was_imported_for_all() -> None:
    context = forked.get_context()
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=exec, args=("import sys; end.send('timm.models' in sys.modules)", {"end": there}))
    process.start()
    assert here.recv() is True
    process.join()


@pytest.mark.timeout(60)
def test_a_forked_unit_that_is_stopped_at_once_ends() -> None:
    """Before its leader has begun the session by which its processes are found."""
    stop = Event()
    stop.set()
    with tiny_job(b"import time\n\ndef unlearn(model, retain): time.sleep(50)", LIMITS, run_id="forked") as job:
        assert [forked.WarmUnits().run(job, nullcontext(), stop).status for _ in range(3)] == ["infra"] * 3
