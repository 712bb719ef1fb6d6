"""Work side by side: everything is done once, with what the process has read, and an error is not lost."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unlearn_bench.harness.support.parallel import side_by_side, uncollected


@pytest.fixture(params=[1, 3], ids=["one core", "three cores"])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(request.param)))
    return int(request.param)


def test_every_item_is_done_once(cores: int) -> None:
    read = {number: object() for number in range(20)}  # what cannot be sent need not be
    assert list(side_by_side(lambda number: (number, read[number] is not None), range(20))) == [
        (number, True) for number in range(20)
    ]
    assert list(side_by_side(str, [])) == []


def test_it_happens_elsewhere_if_there_is_more_than_one_core(cores: int) -> None:
    assert (os.getpid() in set(side_by_side(lambda _: os.getpid(), range(9)))) == (cores == 1)


def test_an_error_reaches_the_caller(cores: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda number: 1 // number, [1, 0, 2]))
    assert sorted(side_by_side(str, [7, 8])) == ["7", "8"], "and the next work is another"


KILLED = """
import os, time
from unlearn_bench.harness.support.parallel import side_by_side

def work(number):
    os.write(1, b"%d\\n" % os.getpid())  # in one piece: two workers write at once
    time.sleep(60)

os.sched_getaffinity = lambda _: {0, 1}
list(side_by_side(work, [1, 2]))
"""


def test_a_killed_command_leaves_no_process_behind() -> None:
    command = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    workers = [int(command.stdout.readline()) for _ in range(2)]
    command.send_signal(signal.SIGKILL)
    command.wait()
    deadline = time.monotonic() + 20
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "a worker outlived its command"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to ask is none."""
    try:
        with Path(f"/proc/{pid}/stat").open() as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_garbage_is_looked_for_again_afterwards_even_after_an_error() -> None:
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled(), "the outer one goes on"
        raise ZeroDivisionError
    assert gc.isenabled()
