"""Worker processes: their results arrive, and no error of the command waits for what they are doing."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from unlearn_bench.harness.support.workers import worker_pool
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import worker_runner
from unlearn_bench.harness.units.runner import UntimedResult

pytestmark = pytest.mark.usefixtures("fresh_processes")


def note(folder: Path) -> None:
    (folder / str(os.getpid())).touch()


def test_every_process_is_prepared_and_works(tmp_path: Path) -> None:
    with worker_pool(2, note, tmp_path) as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert pids and os.getpid() not in pids


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_ends_them_in_mid_work(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), worker_pool(2, note, tmp_path) as pool:
        for _ in range(6):
            pool.submit(time.sleep, 3600)
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        raise error


def test_killed_ones_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrokenProcessPool), worker_pool(2, note, tmp_path) as pool:
        works = [pool.submit(time.sleep, 3600) for _ in range(6)]
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        for path in tmp_path.iterdir():
            os.kill(int(path.name), signal.SIGKILL)
        works[0].result()


def test_units_that_nobody_waits_for_do_not_run(small_track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = [], threading.Event()

    def unit(number: int, deadline: float) -> UntimedResult:
        begun.append(number)
        assert number == 0 or go_on.wait(60)
        return UntimedResult("ok", "", None, 0.0)

    monkeypatch.setattr(worker_runner, "_run", unit)
    workers = worker_runner.WorkerRunner(small_track)
    with ThreadPoolExecutor(1) as pool:
        workers._pool = pool  # type: ignore[assignment]
        results = workers.run(range(9), 1.0)  # type: ignore[arg-type]
        assert next(results)[0] == 0  # type: ignore[comparison-overlap]
        results.close()  # type: ignore[attr-defined]
        go_on.set()
    assert len(begun) <= 2, "but for the one that was running"
