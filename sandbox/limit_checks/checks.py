"""Every limit of the container back end, tried in real containers: what was asked for, and what happened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from unlearn_bench.sandbox.engine import settings
from unlearn_bench.sandbox.limit_checks import ENTRIES
from unlearn_bench.sandbox.tiny import tiny_job
from unlearn_bench.sandbox.types import MIB, Limits, Outcome, Sandbox

MEMORY, PROCESSES, SCRATCH = 1024 * MIB, 48, 32 * MIB
SLACK = 0.2
"""By which share of a core a limit on CPU time may be exceeded while it is measured for a second."""
UPDATE = (
    "use an engine that enforces it: rootful, version 20.10 or later, its cgroup controllers on (see `docker info`)"
)


@dataclass(frozen=True)
class LimitCheck:
    """One limit; ``remedy`` is empty when it holds."""

    name: str
    text: str
    """What was asked for, and what happened."""
    remedy: str = ""


def check(backend: Sandbox) -> Iterator[LimitCheck]:
    """Try every limit, in three containers."""
    core = max(os.sched_getaffinity(0))
    limits = Limits(deadline=60, memory=MEMORY, processes=PROCESSES, scratch=SCRATCH)
    outcome = _run(backend, "limits", limits, {"scratch": SCRATCH}, (core,))
    found = {line["name"]: line for line in map(_parsed, outcome.log.splitlines()) if line is not None}
    if outcome.status != "ok" or not found:
        yield LimitCheck("limits", f"the probing unit ended as {outcome.status}: {outcome.reason}", "see `docker info`")
        return
    yield from judge(found, core)
    yield _memory(_run(backend, "memory", limits, {"size": 2 * MEMORY}))
    yield _deadline(_run(backend, "sleep", Limits(deadline=1.0, memory=MEMORY)))


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


def judge(found: dict[str, dict[str, Any]], core: int) -> Iterator[LimitCheck]:
    """From the probing unit's report to one line per limit."""
    user = found["user"]
    capabilities = int(user["effective"], 16) | int(user["bounding"], 16)
    yield _line(
        "user",
        user["uid"] != 0 and capabilities == 0 and user["no_new_privileges"] == "1" and user["seccomp"] == "2",
        f"user {user['uid']}, capabilities {capabilities:x}, no-new-privileges {user['no_new_privileges']}, "
        f"seccomp mode {user['seccomp']} of 2",
        "run the engine with its default security options (no --privileged, no seccomp=unconfined)",
    )
    root = found["root"]
    places = {"write": "/var/tmp", "stage": "the inputs", "proc": "/proc/sys"}
    wrote = [place for name, place in places.items() if not root[name]]
    text = f"/ is mounted {root['mount']}; writing to {', '.join(places.values())}: "
    text += f"POSSIBLE in {', '.join(wrote)}" if wrote else "refused"
    yield _line("read-only", not wrote and root["mount"] == "ro", text, UPDATE)
    network = found["network"]
    yield _line(
        "network",
        network["interfaces"] == ["lo"] and bool(network["connect"]),
        f"interfaces {', '.join(network['interfaces'])}; connecting: {network['connect'] or 'POSSIBLE'}",
        "use an engine that honours network mode none",
    )
    noexec = found["noexec"]
    ran = [name for name in ("tmp", "shm") if not noexec[name]]
    text = "starting a program from /tmp or /dev/shm: " + (f"{', '.join(ran)} POSSIBLE" if ran else "refused")
    yield _line("noexec", not ran, text, UPDATE)
    yield _ulimits(found["ulimits"])
    scratch = found["scratch"]
    yield _line(
        "scratch",
        scratch["bytes"] <= SCRATCH and scratch["inodes"] <= settings.INODES,
        f"/tmp of {SCRATCH / MIB:g} MiB and {settings.INODES} files took {scratch['bytes'] / MIB:.1f} MiB "
        f"and {scratch['inodes']} files",
        UPDATE,
    )
    shm = found["shm"]["bytes"]
    yield _line("shm", shm <= SCRATCH, f"/dev/shm of {SCRATCH / MIB:g} MiB took {shm / MIB:.1f} MiB", UPDATE)
    cores = found["cores"]
    yield _line(
        "cpu limit",
        cores["affinity"] == [core] and cores["used"] <= 1 + SLACK,
        f"core {core} asked for, {cores['affinity']} given; three busy processes used {cores['used']:.2f} cores",
        UPDATE,
    )
    forked = found["processes"]["forked"]
    yield _line("processes", forked < PROCESSES, f"{PROCESSES} allowed, {forked} children could be started", UPDATE)


def _ulimits(found: dict[str, Any]) -> LimitCheck:
    wanted = [settings.OPEN_FILES, 0, SCRATCH, settings.MEMLOCK]
    held = found["opened"] < settings.OPEN_FILES and bool(found["large"]) and found["mlock"] != 0
    text = (
        f"open files {settings.OPEN_FILES}: {found['opened']} opened; core 0; file of {SCRATCH / MIB:g} MiB: "
        f"{found['large'] or 'LARGER POSSIBLE'}; locking 1 MiB of memory: {'refused' if found['mlock'] else 'POSSIBLE'}"
    )
    if found["hard"] != wanted:
        text += f"; {wanted} asked for, {found['hard']} set"
    return _line("ulimits", held and found["hard"] == wanted, text, UPDATE)


def _memory(outcome: Outcome) -> LimitCheck:
    ended = outcome.status if outcome.status == "ok" else f"{outcome.status}: {outcome.reason}"
    text = f"a unit with {MEMORY / MIB:g} MiB touched twice that: {ended}"
    remedy = "" if outcome.status == "oom" else UPDATE + "; rootless engines on cgroup v1 ignore limits"
    return LimitCheck("memory limit", text, remedy)


def _deadline(outcome: Outcome) -> LimitCheck:
    text = f"a unit that sleeps past its deadline of 1 s: {outcome.status}"
    return LimitCheck("deadline", text, "" if outcome.status == "timeout" else f"{outcome.reason}: try again")


def _line(name: str, holds: bool, text: str, remedy: str) -> LimitCheck:
    return LimitCheck(name, text, "" if holds else remedy)
