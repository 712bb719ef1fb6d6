"""The conversation with scripted sandboxes: no process, no torch."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from unlearn_bench.sandbox.frames import encode, header
from unlearn_bench.sandbox.session import conduct
from unlearn_bench.sandbox.types import MIB, Chunk, Exit, Job, Limits, Outcome

LAYOUT = {"w": ("F32", (4,))}
READY = encode(b"R", json.dumps({"torch": "1.0\x1b[31m", "backend": "forged"}).encode())
GOOD = encode(b"W", save({"w": np.arange(4, dtype=np.float32)}))
BETTER = encode(b"W", save({"w": np.full(4, 9, dtype=np.float32)}))
JOB = Job(b"", {}, {}, b"", Path(), (), (), 1, 0, Limits(deadline=0.5, startup=0.5, memory=64 * MIB))


def error(**said: Any) -> bytes:
    return encode(b"E", json.dumps(said).encode())


class Script:
    """A sandbox that says what it is told to; ``after`` may hold functions, called when their turn comes."""

    def __init__(self, before: list[Any], after: list[Any], exit_: Exit | None = None, hungry: bool = False) -> None:
        self.said: list[Any] = list(before)
        self.after, self.exit, self.hungry = after, exit_ or Exit(None), hungry
        self.events: list[str] = []

    def receive(self, timeout: float) -> list[Chunk] | None:
        if not self.said:
            time.sleep(timeout)
            return []
        item = self.said.pop(0)
        if callable(item):
            item = item()
        if item is None:
            return None
        return item if isinstance(item, list) else [item if isinstance(item, tuple) else ("channel", item)]

    def send(self, data: bytes) -> None:
        assert data == encode(b"G")
        self.events.append("go")
        self.said = list(self.after)

    def cpu_seconds(self) -> float | None:
        return float(len(self.events))

    def over_memory(self) -> bool:
        return self.hungry and "go" in self.events

    def stop(self, grace: float) -> Exit:
        self.events.append("stop")
        return self.exit


def run(*after: Any, before: tuple[Any, ...] = (READY,), **more: Any) -> Outcome:
    return conduct(JOB, LAYOUT, Script(list(before), list(after), **more), _clock([]), {"backend": "script"})


@contextmanager
def _clock(events: list[str]) -> Any:
    events.append("clock on")
    yield
    events.append("clock off")


def test_weights_that_arrive_are_ok_and_timed() -> None:
    outcome = run(GOOD[:10], GOOD[10:])
    assert (outcome.status, outcome.reason, outcome.warnings) == ("ok", "", ())
    assert outcome.weights is not None and outcome.weights["w"].tolist() == [0, 1, 2, 3]
    assert outcome.seconds is not None and 0 <= outcome.seconds < 0.5
    assert outcome.cpu_seconds == 1.0
    assert outcome.environment == {"torch": "1.0", "backend": "script"}


def test_the_clock_runs_from_before_go_until_the_sandbox_is_stopped() -> None:
    box = Script([READY], [GOOD])
    conduct(JOB, LAYOUT, box, _clock(box.events), {})
    assert box.events == ["clock on", "go", "stop", "clock off"]


def test_only_the_first_weights_count() -> None:
    outcome = run(GOOD + BETTER)
    assert outcome.weights is not None and outcome.weights["w"].tolist() == [0, 1, 2, 3]
    bad_first = run(encode(b"W", b"junk") + BETTER)
    assert bad_first.status == "invalid" and bad_first.weights is None


def test_a_sandbox_that_does_not_wait_for_the_go_signal_has_not_started() -> None:
    outcome = run(GOOD, before=(READY + GOOD,))
    assert outcome.status == "infra" and "without the go signal" in outcome.reason


def test_weights_completed_after_the_deadline_are_late() -> None:
    def late() -> bytes:
        time.sleep(0.6)
        return GOOD[10:]

    assert run(GOOD[:10], late).status == "timeout"


def test_a_slow_trickle_ends_at_the_deadline() -> None:
    def drop() -> bytes:
        time.sleep(0.02)
        return b"x"

    assert run(header(b"W", 100), *[drop] * 99, GOOD).status == "timeout"


@pytest.mark.parametrize(
    "junk", [b"hello world", header(b"W", 2**40), encode(b"R", b"{}"), encode(b"X", b"score=1"), header(b"E", 2**30)]
)
def test_anything_but_the_protocol_is_invalid(junk: bytes) -> None:
    outcome = run(junk, GOOD)
    assert outcome.status == "invalid" and "channel" in outcome.reason


@pytest.mark.parametrize(
    "code, words", [(3, "exit code 3"), (-11, "killed by SIGSEGV"), (-77, "signal 77"), (None, "channel was closed")]
)
def test_a_closed_channel_is_a_crash_that_says_how_it_ended(code: int | None, words: str) -> None:
    outcome = run(None, exit_=Exit(code))
    assert outcome.status == "crash" and words in outcome.reason


def test_errors_carry_type_message_and_traceback_without_control_characters() -> None:
    said = error(status="crash", type="ValueError", message="a\n\x1b[2Jb\u202e", traceback="Trace\x07back\n  line")
    outcome = run(("log", b"printed\r\n"), said)
    assert (outcome.status, outcome.reason) == ("crash", "ValueError: a b")
    assert outcome.log == "printed\n\nTraceback\n  line"


@pytest.mark.parametrize(
    "said, status",
    [
        (error(status="oom", type="MemoryError"), "oom"),
        (error(status="invalid", message="no `unlearn`"), "invalid"),
        (error(status="not-applicable", message="no convolution"), "not-applicable"),
        (error(status="ok", type="X"), "crash"),
        (error(status="infra", type="X"), "crash"),
        (error(status=["oom"], type={}), "crash"),
        (encode(b"E", b"\xff not json"), "crash"),
        (encode(b"E", b"[" * 100_000), "crash"),
        (encode(b"E", b"3"), "crash"),
    ],
)
def test_an_entry_chooses_only_among_its_own_failures(said: bytes, status: str) -> None:
    assert run(said).status == status


def test_memory_verdicts() -> None:
    struck = Exit(None, oom=True)
    assert run(None, exit_=struck).status == "oom"
    assert run(error(status="crash", type="RuntimeError"), exit_=struck).status == "oom"
    assert run(hungry=True).status == "oom"
    delivered = run(GOOD, exit_=struck)
    assert delivered.status == "ok" and "memory" in delivered.warnings[0]
    silent = run(exit_=struck)
    assert silent.status == "timeout" and "memory" in silent.warnings[0]


@pytest.mark.parametrize(
    "before, words",
    [
        ((None,), "exit code 1"),
        ((), "not ready within 0.5 s"),
        ((b"garbage....",), "unknown frame"),
        ((error(status="crash", type="RuntimeError", message="no GPU"),), "RuntimeError: no GPU"),
    ],
)
def test_whatever_happens_before_ready_is_not_the_entry_s_fault(before: tuple[Any, ...], words: str) -> None:
    box = Script(list(before), [], Exit(1))
    outcome = conduct(JOB, LAYOUT, box, _clock(box.events), {})
    assert outcome.status == "infra" and words in outcome.reason
    assert box.events == ["stop"]


def test_a_flooded_log_is_bounded_and_its_end_is_shown() -> None:
    flood: list[Callable[[], Chunk] | Chunk] = [("log", b"x" * 60_000 + b"\n")] * 100
    outcome = run(*flood, ("log", "die letzte Zeile: ü".encode()), GOOD)
    assert outcome.status == "ok"
    assert outcome.log.endswith("die letzte Zeile: ü") and len(outcome.log.encode()) <= 4096


def test_log_that_came_last_is_kept() -> None:
    assert run(GOOD, exit_=Exit(None, log=b"bye")).log == "bye"


def test_log_that_arrives_together_with_the_last_frame_is_kept() -> None:
    assert run([("channel", GOOD), ("log", b"bye")]).log == "bye"


@pytest.mark.parametrize("started", [False, True])
def test_a_stop_ends_a_unit_as_our_own_doing(started: bool) -> None:
    stop = threading.Event()
    box = Script([READY] if started else [], [])
    stop.set()
    outcome = conduct(replace(JOB, limits=Limits(deadline=60, startup=60)), LAYOUT, box, _clock([]), {}, stop)
    assert outcome.status == "infra" and "stopped on request" in outcome.reason
    assert box.events[-1] == "stop"
