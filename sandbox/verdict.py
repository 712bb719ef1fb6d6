"""The status of a unit and its reason in one line, from how the conversation with it ended."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from unlearn_bench.sandbox import frames, weights
from unlearn_bench.sandbox.text import one_line
from unlearn_bench.sandbox.types import MIB, Exit, Limits, Status

if TYPE_CHECKING:
    from unlearn_bench.sandbox.inside.models import SafetensorsLayout

STRUCK = "the memory limit struck a process in the sandbox"
STOPPED = "stopped on request"
SILENT = "an error that says nothing of itself"
OUT_OF_GPU_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What torch says, as a plain RuntimeError, if an allocation fails that is not a tensor's."""
UNEXPLAINED = "the method does not say why"


class Ending(NamedTuple):
    """Why no frame came."""

    why: Literal["closed", "protocol", "deadline", "memory", "stopped"]
    detail: str = ""


@dataclass(frozen=True)
class Verdict:
    """The parts of an ``Outcome`` that the bytes received decide."""

    status: Status
    reason: str = ""
    weights: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    traceback: str = ""


def judge(end: frames.Frame | Ending, exit_: Exit, layout: SafetensorsLayout, limits: Limits) -> Verdict:
    """Return the verdict on an entry, after the go signal.

    What has arrived counts, even if the sandbox could not be stopped. If nothing arrived from a sandbox that no longer
    answers, the entry is not to blame.
    """
    verdict = _judge(end, exit_, layout, limits)
    if not exit_.failure:
        return verdict
    if isinstance(end, Ending) and end.why in ("closed", "deadline"):
        return Verdict("infra", exit_.failure)
    return replace(verdict, warnings=(*verdict.warnings, one_line(f"the sandbox was not stopped: {exit_.failure}")))


def _judge(end: frames.Frame | Ending, exit_: Exit, layout: SafetensorsLayout, limits: Limits) -> Verdict:
    if isinstance(end, frames.Frame):
        return (
            _weights(end.payload, exit_, layout) if end.kind == frames.WEIGHTS else _error(end.payload, exit_, limits)
        )
    if end.why == "stopped":
        return Verdict("infra", STOPPED)
    if end.why == "deadline":
        warnings = (STRUCK,) if exit_.oom else ()
        return Verdict("timeout", f"no weights within the deadline of {limits.deadline:g} s", warnings=warnings)
    if end.why == "memory" or exit_.oom:
        return Verdict("oom", _too_much(limits))
    if end.why == "protocol":
        return Verdict("invalid", one_line(f"something other than weights was written to the channel: {end.detail}"))
    return Verdict("crash", f"{ended(exit_.code)} before any weights arrived")


def ending_before_go(end: frames.Frame | Ending, exit_: Exit, limits: Limits) -> Verdict:
    """Return the verdict on a sandbox that never became ready, so that the entry did not run."""
    if isinstance(end, frames.Frame):
        error = _error(end.payload, exit_, limits)
        return Verdict("infra", f"the sandbox could not start: {error.reason}", traceback=error.traceback)
    reasons = {
        "closed": ended(exit_.code),
        "deadline": f"it was not ready within {limits.startup:g} s",
        "memory": _too_much(limits),
        "protocol": end.detail,
        "stopped": STOPPED,
    }
    reason = exit_.failure or (_too_much(limits) if exit_.oom else reasons[end.why])
    return Verdict("infra", one_line(f"the sandbox could not start: {reason}"))


def ended(code: int | None) -> str:
    """Say in words how a process ended."""
    if code is None:
        return "the channel was closed"
    if code < 0:
        has_name = -code in {s.value for s in signal.Signals}
        return f"the process was killed by {signal.Signals(-code).name if has_name else f'signal {-code}'}"
    return f"the process ended with exit code {code}"


def _too_much(limits: Limits) -> str:
    return f"more than the {limits.memory / MIB:g} MiB of memory that a unit may use"


def _weights(payload: bytearray, exit_: Exit, layout: SafetensorsLayout) -> Verdict:
    try:
        arrays = weights.check(payload, layout)
    except weights.InvalidWeights as error:
        return Verdict("invalid", one_line(str(error)))
    return Verdict("ok", weights=arrays, warnings=(f"{STRUCK}, yet the weights arrived",) if exit_.oom else ())


def _error(payload: bytearray, exit_: Exit, limits: Limits) -> Verdict:
    try:
        report = json.loads(payload.decode())
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict):
        report = {"message": payload[:4096].decode(errors="replace")}
    status = report.get("status")
    kind, message = _line(report.get("type")), _line(report.get("message"))
    traceback = report["traceback"] if isinstance(report.get("traceback"), str) else ""
    if status == "invalid":
        return Verdict("invalid", message or SILENT, traceback=traceback)
    if status == "not-applicable" and not exit_.oom:
        return Verdict("not-applicable", message or UNEXPLAINED)
    if status == "oom" or exit_.oom or any(text in message for text in OUT_OF_GPU_MEMORY):
        return Verdict(
            "oom", one_line(f"{_too_much(limits)}, or than the device has: {kind}: {message}"), traceback=traceback
        )
    reason = ": ".join(part for part in (kind, message) if part)
    return Verdict("crash", one_line(reason) or SILENT, traceback=traceback)


def _line(value: object) -> str:
    return one_line(value) if isinstance(value, str) else ""
