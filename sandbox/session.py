"""The conversation with a running sandbox, the same for every back end.

R (ready) → clock on, G (go) → the first of W (weights), E (error), end of stream, memory limit, deadline → stop →
verdict. The host relies on the bytes that it received, on its own monotonic clock, and on the exit code and the memory
that the engine reports.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unlearn_bench.sandbox import frames, gpu, weights
from unlearn_bench.sandbox.text import Log, one_line, tail
from unlearn_bench.sandbox.types import Job, Outcome, RunningSandbox
from unlearn_bench.sandbox.verdict import Ending, Verdict, ending_before_go, judge

if TYPE_CHECKING:
    from unlearn_bench.sandbox.inside.models import SafetensorsLayout

TICK = 0.1
"""Seconds between two checks of the deadline and the memory."""
BLAMED = ("crash", "oom", "timeout")
"""Statuses that a GPU may have caused by ceasing to work."""
REPORT_BOUND = 64 * 1024
ERROR_BOUND = 256 * 1024


@dataclass
class _Conversation:
    sandbox: RunningSandbox
    parser: frames.Parser
    log: Log
    stop: threading.Event | None
    memory_checked: float = 0.0
    """When the memory was last checked."""

    def next(self, deadline: float) -> tuple[frames.Frame | Ending, float]:
        """Return the next frame, or why there is none, and the host's time at its last byte."""
        while True:
            chunks = self.sandbox.receive(min(TICK, max(0.0, deadline - time.monotonic())))
            now = time.monotonic()
            if chunks is None:
                return Ending("closed"), now
            for data in [data for source, data in chunks if source == "log"]:  # before a frame can end the loop
                self.log.add(data)
            for data in [data for source, data in chunks if source == "channel"]:
                try:
                    frame, frame_bytes = self.parser.feed(data)
                except frames.ProtocolError as error:
                    return Ending("protocol", str(error)), now
                if frame is not None and frame.kind == frames.READY and frame_bytes < len(data):
                    return Ending("protocol", "it went on without the go signal"), now
                if frame is not None:  # only the first one counts; what follows is never read
                    return (frame, now) if now <= deadline else (Ending("deadline"), now)
            if now > deadline:
                return Ending("deadline"), now
            if self.stop is not None and self.stop.is_set():
                return Ending("stopped"), now
            if now >= self.memory_checked + TICK:
                self.memory_checked = now
                if self.sandbox.over_memory():
                    return Ending("memory"), now


def conduct(
    job: Job,
    layout: SafetensorsLayout,
    sandbox: RunningSandbox,
    clock: AbstractContextManager[Any],
    environment: Mapping[str, Any],
    stop: threading.Event | None = None,
) -> Outcome:
    """Run ``job`` in a started sandbox to its outcome; the sandbox is stopped afterwards.

    ``layout`` is the architecture's; ``environment`` is what the back end knows and overrides the sandbox's own report.
    """
    log = Log(job.limits.log)
    before = _Conversation(sandbox, frames.Parser({frames.READY: REPORT_BOUND, frames.ERROR: ERROR_BOUND}), log, stop)
    frame, _ = before.next(time.monotonic() + job.limits.startup)
    if isinstance(frame, Ending) or frame.kind != frames.READY:
        exit_ = sandbox.stop(grace=1.0 if isinstance(frame, Ending) and frame.why == "closed" else 0.0)
        log.add(exit_.log)
        verdict = ending_before_go(frame, exit_, job.limits)
        return Outcome("infra", verdict.reason, log=tail(_with_traceback(log, verdict)), environment=dict(environment))
    environment = {**_report(frame.payload), **environment}

    after = _Conversation(
        sandbox, frames.Parser({frames.WEIGHTS: weights.bound(layout), frames.ERROR: ERROR_BOUND}), log, stop
    )
    with clock:
        cpu_before = sandbox.cpu_seconds()
        started = time.monotonic()
        try:
            sandbox.send(frames.encode(frames.GO))
            end, finished = after.next(started + job.limits.deadline)
        except ConnectionError:
            end, finished = Ending("closed"), time.monotonic()
        cpu_after = sandbox.cpu_seconds()
        exit_ = sandbox.stop(grace=1.0 if isinstance(end, Ending) and end.why == "closed" else 0.0)
    log.add(exit_.log)

    verdict = judge(end, exit_, layout, job.limits)
    if job.device != "cpu" and verdict.status in BLAMED and (lost := gpu.lost(job.device)):
        verdict = Verdict("infra", lost)
    return Outcome(
        status=verdict.status,
        reason=verdict.reason,
        weights=verdict.weights,
        seconds=finished - started if verdict.weights is not None else None,
        cpu_seconds=None if cpu_before is None or cpu_after is None else cpu_after - cpu_before,
        peak_memory=exit_.peak_memory,
        log=tail(_with_traceback(log, verdict)),
        warnings=verdict.warnings,
        environment=environment,
    )


def _with_traceback(log: Log, verdict: Verdict) -> bytes:
    return bytes(log) + (b"\n" if verdict.traceback else b"") + verdict.traceback.encode(errors="replace")


def _report(payload: bytearray) -> dict[str, str]:
    """Return what the sandbox reports of its environment: a few short strings."""
    try:
        report = json.loads(payload.decode())
    except (ValueError, RecursionError):
        return {}
    if not isinstance(report, dict):
        return {}
    texts = [(name, text) for name, text in report.items() if isinstance(text, str)]
    return {one_line(name, 40): one_line(text, 200) for name, text in texts[:32]}
