"""Sandboxes start side by side, but nothing runs on a device while a unit is timed there, in no process."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.device_locks import DeviceLocks, WaitCancelled
from unlearn_bench.harness.support.errors import BenchError


def test_a_timed_unit_is_alone_and_starts_overlap() -> None:
    turns, lock = DeviceLocks(("cpu-0", "cpu-1"), timed=True), threading.Lock()
    state = {"starting": 0, "timed": 0, "most starting": 0, "done": 0}
    wrong: list[str] = []

    def change(key: str, by: int) -> None:
        with lock:
            state[key] += by
            state["most starting"] = max(state["most starting"], state["starting"])
            if state["timed"] > 1 or (state["timed"] and state["starting"]):
                wrong.append(str(state))

    def unit(seed: int) -> None:
        rng = random.Random(seed)
        with turns.hold() as clock:
            change("starting", 1)
            time.sleep(rng.uniform(0.001, 0.01))
            change("starting", -1)
            if seed % 5 == 0:
                return  # a sandbox that never became ready
            with clock:
                change("timed", 1)
                time.sleep(rng.uniform(0.001, 0.005))
                change("timed", -1)
        change("done", 1)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(unit, range(60), timeout=60))
    assert wrong == []
    assert state["done"] == 48
    assert state["most starting"] > 1


def test_few_timed_units_start_at_once() -> None:
    starting: set[int] = set()
    most = []

    def unit(number: int) -> None:
        with DeviceLocks(("cpu-0",), timed=True).hold():
            starting.add(number)
            most.append(len(starting))
            time.sleep(0.01)
            starting.remove(number)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(unit, range(24), timeout=60))
    assert 1 < max(most) <= 4


def test_an_error_on_the_clock_frees_it() -> None:
    turns = DeviceLocks(("cpu-0",), timed=True)
    with pytest.raises(RuntimeError), turns.hold() as clock, clock:
        raise RuntimeError
    with turns.hold() as clock, clock:
        pass


HOLDER = """
import sys
from unlearn_bench.harness.support.device_locks import DeviceLocks

with DeviceLocks(("cpu-0",), timed=sys.argv[1] == "timed").hold() as clock, clock:
    print("holds", flush=True)
    sys.stdin.read()
"""


IDENTITY = "def unlearn(model, retain):\n    return model\n"


@contextmanager
def holder(kind: str) -> Iterator[subprocess.Popen[str]]:
    """Another process of the benchmark that runs a unit on core 0."""
    command = [sys.executable, "-c", HOLDER, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "holds\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["timed", "untimed"])
def test_a_timed_unit_waits_for_another_process_and_says_for_whom(
    kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_locks, "VISIBLE", 0.1)
    caplog.set_level("INFO", "unlearn_bench")
    clock_entered = threading.Event()

    def unit() -> None:
        with DeviceLocks(("cpu-0",), timed=True).hold() as clock, clock:
            clock_entered.set()

    with holder(kind) as other, ThreadPoolExecutor(1) as pool:
        done = pool.submit(unit)
        assert not clock_entered.wait(1)
        with DeviceLocks(("cpu-1",), timed=True).hold() as elsewhere, elsewhere:
            pass  # another device is free
        assert other.stdin is not None
        other.stdin.close()
        done.result(timeout=60)
        assert f"waiting for cpu-0, where process {other.pid} (python" in caplog.text


def test_untimed_units_of_two_processes_run_side_by_side_and_a_killed_one_holds_nothing() -> None:
    with holder("untimed"), DeviceLocks(("cpu-0",)).hold() as clock, clock:
        pass
    with holder("timed") as other:
        other.kill()
        other.wait()
        with DeviceLocks(("cpu-0",), timed=True).hold() as clock, clock:
            pass


def test_who_comes_later_does_not_go_before_a_timed_unit_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def timed() -> None:
        with DeviceLocks(("cpu-0",), timed=True).hold() as clock, clock:
            order.append("timed")

    def untimed() -> None:
        with DeviceLocks(("cpu-0",)).hold():
            order.append("untimed")

    with ThreadPoolExecutor(2) as pool:
        with DeviceLocks(("cpu-0",)).hold():
            first = pool.submit(timed)
            time.sleep(0.3)
            second = pool.submit(untimed)
            time.sleep(0.3)
            assert order == [], "the later one could start at once, but queues"
        first.result(timeout=60)
        second.result(timeout=60)
    assert order == ["timed", "untimed"]


def test_long_work_makes_way_for_a_timed_unit_where_it_pauses() -> None:
    with ThreadPoolExecutor(1) as pool, DeviceLocks(("cpu-0", "cpu-1")).hold_long() as pause:
        entered, left = threading.Event(), []

        def unit() -> None:
            with DeviceLocks(("cpu-0",), timed=True).hold() as clock, clock:
                entered.set()
                time.sleep(0.2)
                left.append(time.monotonic())

        pause()  # nobody waits
        done = pool.submit(unit)
        assert not entered.wait(0.3), "not beside it"
        pause()
        assert entered.is_set() and len(left) == 1, "it goes on when the unit has ended"
        done.result()
        with ThreadPoolExecutor(1) as other:
            again = other.submit(unit)
            time.sleep(0.3)
            assert not again.done(), "held again"
            pause()
            again.result()


@pytest.mark.slow
def test_a_unit_is_timed_in_the_midst_of_a_training(small: Path, prepared: object, program: str) -> None:
    long = small.with_name("long.toml")
    long.write_text(small.read_text().replace("epochs = 5", "epochs = 100000"))  # another track, which would never end
    command = [program, "prepare", str(long), "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as training:
        try:
            assert training.stderr is not None and "reference models to train" in training.stderr.readline()
            while not list(device_locks.folder().glob("cpu-*")):  # a worker has begun
                assert training.poll() is None
                time.sleep(0.05)
            entry = small.with_name("mine.py")
            entry.write_text(IDENTITY)
            result = run("submit", str(entry), "--track", str(small), "--sandbox", "process", "--seeds", "1")
            assert result.exit_code == 0, result.output
            assert training.poll() is None
        finally:
            training.kill()


def test_a_wait_has_a_bound_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    with holder("timed") as other:
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(WaitCancelled), DeviceLocks(("cpu-0",), stop=stop).hold():
            pass
        monkeypatch.setattr(device_locks, "VISIBLE", 0.0)
        monkeypatch.setattr(device_locks, "PATIENCE", 0.2)
        with pytest.raises(BenchError, match=f"process {other.pid}") as caught, DeviceLocks(("cpu-0",)).hold():
            pass
        assert caught.value.exit_code == 20
    assert pickle.loads(pickle.dumps(caught.value)).format_message() == caught.value.format_message()
