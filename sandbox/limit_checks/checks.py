"""Every limit that a back end promises, tried in real units: what was requested, and what happened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_bench.sandbox.engine import settings
from unlearn_bench.sandbox.tiny import tiny_job
from unlearn_bench.sandbox.types import MIB, Limit, Limits, Outcome, Sandbox

ENTRIES = Path(__file__).with_name("entries")
MEMORY, PROCESSES, SCRATCH = 1024 * MIB, 48, 32 * MIB
SLACK = 0.2
"""Fraction of a core by which a limit on CPU time may be exceeded while it is measured for a second."""


@dataclass(frozen=True)
class LimitCheck:
    """One limit; ``remedy`` is empty when it holds."""

    name: Limit
    text: str
    """What was requested, and what happened."""
    remedy: str = ""


def check(backend: Sandbox) -> Iterator[LimitCheck]:
    """Try every limit that the back end promises, in at most three units."""
    core = max(os.sched_getaffinity(0))
    limits = Limits(deadline=60, memory=MEMORY, processes=PROCESSES, scratch=SCRATCH)
    reported = [name for name in JUDGES if name in backend.enforces]
    if reported:
        outcome = _run(backend, "limits", limits, {"limits": reported, "scratch": SCRATCH}, (core,))
        report = {line["name"]: line for line in map(_parsed, outcome.log.splitlines()) if line is not None}
        if outcome.status != "ok":
            failure = f"the unit that tries them ended as {outcome.status}: {outcome.reason}"
            yield from (LimitCheck(name, failure, backend.advice) for name in reported)
            return
        yield from judge({name: report.get(name, {}) for name in reported}, core, backend.advice)
    if "memory limit" in backend.enforces:
        yield _memory(_run(backend, "memory", limits, {"size": 2 * MEMORY}), backend.advice)
    if "deadline" in backend.enforces:
        yield _deadline(_run(backend, "sleep", Limits(deadline=1.0, memory=MEMORY)), backend.advice)


def _run(
    backend: Sandbox, entry: str, limits: Limits, parameters: dict[str, Any] | None = None, cpus: tuple[int, ...] = ()
) -> Outcome:
    source = (ENTRIES / f"{entry}.py").read_bytes()
    with tiny_job(source, limits, parameters=parameters or {}, cpus=cpus) as job:
        return backend.run(job, nullcontext())


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and "name" in content else None


def judge(report: Mapping[Limit, dict[str, Any]], core: int, advice: str) -> Iterator[LimitCheck]:
    """Turn the report of the unit that tries limits into one line for each; ``core`` is where it was pinned."""
    for name, line in report.items():
        if not line:
            yield LimitCheck(name, "the unit that tries it did not report", advice)
            continue
        holds, text = JUDGES[name]({**line, "asked core": core})
        yield LimitCheck(name, text, "" if holds else advice)


Judgement = tuple[bool, str]
"""Whether a limit holds, and the text of a :class:`LimitCheck`."""


def _user(line: Mapping[str, Any]) -> Judgement:
    capabilities = int(line["effective"], 16) | int(line["bounding"], 16)
    holds = line["uid"] != 0 and capabilities == 0 and line["no_new_privileges"] == "1" and line["seccomp"] == "2"
    return holds, (
        f"user {line['uid']}, capabilities {capabilities:x}, no-new-privileges {line['no_new_privileges']}, "
        f"seccomp mode {line['seccomp']} of 2"
    )


def _read_only(line: Mapping[str, Any]) -> Judgement:
    places = {"write": "/var/tmp", "stage": "the inputs", "proc": "/proc/sys"}
    writable = [place for name, place in places.items() if not line[name]]
    text = f"/ is mounted {line['mount']}; writing to {', '.join(places.values())}: "
    text += f"POSSIBLE in {', '.join(writable)}" if writable else "refused"
    return not writable and line["mount"] == "ro", text


def _network(line: Mapping[str, Any]) -> Judgement:
    text = f"interfaces {', '.join(line['interfaces'])}; connecting: {line['connect'] or 'POSSIBLE'}"
    return line["interfaces"] == ["lo"] and bool(line["connect"]), text


def _noexec(line: Mapping[str, Any]) -> Judgement:
    executable = [name for name in ("tmp", "shm") if not line[name]]
    text = "starting a program from /tmp or /dev/shm: " + (
        f"{', '.join(executable)} POSSIBLE" if executable else "refused"
    )
    return not executable, text


def _ulimits(line: Mapping[str, Any]) -> Judgement:
    asked = [settings.OPEN_FILES, 0, SCRATCH, settings.MEMLOCK]
    holds = line["opened"] < settings.OPEN_FILES and bool(line["large"]) and line["mlock"] != 0
    text = (
        f"open files {settings.OPEN_FILES}: {line['opened']} opened; core 0; file of {SCRATCH / MIB:g} MiB: "
        f"{line['large'] or 'LARGER POSSIBLE'}; locking 1 MiB of memory: {'refused' if line['mlock'] else 'POSSIBLE'}"
    )
    if line["hard"] != asked:
        text += f"; {asked} asked for, {line['hard']} set"
    return holds and line["hard"] == asked, text


def _scratch(line: Mapping[str, Any]) -> Judgement:
    return line["bytes"] <= SCRATCH and line["inodes"] <= settings.INODES, (
        f"/tmp of {SCRATCH / MIB:g} MiB and {settings.INODES} files took {line['bytes'] / MIB:.1f} MiB "
        f"and {line['inodes']} files"
    )


def _shm(line: Mapping[str, Any]) -> Judgement:
    return line["bytes"] <= SCRATCH, f"/dev/shm of {SCRATCH / MIB:g} MiB took {line['bytes'] / MIB:.1f} MiB"


def _cpu(line: Mapping[str, Any]) -> Judgement:
    core = line["asked core"]
    holds = line["affinity"] == [core] and line["used"] <= 1 + SLACK
    text = f"core {core} asked for, {line['affinity']} given; three busy processes used {line['used']:.2f} cores"
    return holds, text


def _processes(line: Mapping[str, Any]) -> Judgement:
    text = f"{PROCESSES} allowed, {line['forked']} children could be started"
    return line["forked"] < PROCESSES, text


JUDGES: dict[Limit, Callable[[Mapping[str, Any]], Judgement]] = {
    "user": _user,
    "read-only": _read_only,
    "network": _network,
    "noexec": _noexec,
    "ulimits": _ulimits,
    "scratch": _scratch,
    "shm": _shm,
    "cpu limit": _cpu,
    "processes": _processes,
}
"""How to judge what ``entries/limits.py`` reports of a limit."""


def _memory(outcome: Outcome, advice: str) -> LimitCheck:
    ended = outcome.status if outcome.status == "ok" else f"{outcome.status}: {outcome.reason}"
    text = f"a unit with {MEMORY / MIB:g} MiB touched twice that: {ended}"
    return LimitCheck("memory limit", text, "" if outcome.status == "oom" else advice)


def _deadline(outcome: Outcome, advice: str) -> LimitCheck:
    text = f"a unit that sleeps past its deadline of 1 s: {outcome.status}"
    failed = f"{text}: {outcome.reason}"
    return LimitCheck("deadline", text) if outcome.status == "timeout" else LimitCheck("deadline", failed, advice)
