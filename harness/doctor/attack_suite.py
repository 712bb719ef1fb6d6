"""The attack suite on a back end of this machine, with the attacks that only the harness can judge."""

from __future__ import annotations

import datetime
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import docker

from unlearn_bench.harness.entries import entry as entries
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.hardware import hardware
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext, attempt
from unlearn_bench.sandbox import backends, limit_checks, suite, trust
from unlearn_bench.sandbox.backends.docker import Docker
from unlearn_bench.sandbox.engine import remains
from unlearn_bench.sandbox.engine.client import connect
from unlearn_bench.sandbox.suite import AttackOutcome
from unlearn_bench.sandbox.tiny import MODEL, tiny_job
from unlearn_bench.sandbox.types import LIMITS, Limits, Sandbox

HEADLINE = "| attack | expected | status | seconds |\n|---|---|---|---:|"
MARKERS = ("<!-- attacks: bench doctor --attacks markdown -->", "<!-- end of attacks -->")
OVERFLOWING = "overflowing_outputs"
DEADLINE = 60.0
NESTED = 60_000

UNLEARN = b"def unlearn(model, retain, forget, val):\n    return model\n"
SOURCES: dict[str, bytes] = {
    "oversized": UNLEARN + b"#" * entries.SIZE,
    "NUL": UNLEARN + b"text = 'a\0b'\n",
    "latin-1": UNLEARN + "# é\n".encode("latin-1"),
    "deeply nested": UNLEARN + b"x = " + b"-" * NESTED + b"1\n",
    "deeply nested brackets": UNLEARN + b"x = " + b"[" * (NESTED // 2) + b"]" * (NESTED // 2) + b"\n",
}
FILES: dict[str, Callable[[Path], None]] = {
    "symlink": lambda path: path.symlink_to("/etc/passwd"),
    "FIFO": os.mkfifo,
    "folder": Path.mkdir,
}


def run(sandbox: str | None = None) -> Iterator[AttackOutcome]:
    """Yield the outcome of every attack on a back end, and then what is left of them on this machine.

    Without a name the attacked back end is the trusted one that ``auto`` prefers.

    Raises:
        BenchError: There is no such back end, or it cannot be used here.
    """
    backend = attacked(sandbox)
    run_id = f"attacks-{secrets.token_hex(4)}"
    with remains.engine(_connection(backend)) as client, tiny_job(b"", Limits(deadline=0), run_id=run_id) as job:
        before = remains.look(client, suite.sources())
        yield from statically_refused()
        yield from suite.run(backend, job)
        yield outputs(backend, run_id)
        start = time.monotonic()
        leftovers = remains.remains(client, suite.sources(), before)
        seconds = round(time.monotonic() - start, 1)
    yield AttackOutcome(
        "what is left", "nothing", "something" if leftovers else "nothing", seconds, "", "; ".join(leftovers)
    )


def conclude(sandbox: str | None, results: Sequence[AttackOutcome]) -> str:
    """Decide on the trust in a back end that has to earn it, write that down, and return it as a line.

    It must have passed the whole suite, and promise and keep every limit. For other back ends the line is empty.
    """
    backend = attacked(sandbox)
    if not isinstance(backend, trust.OnProbation):
        return ""
    unkept = sorted(LIMITS - backend.enforces) + [check.name for check in limit_checks.check(backend) if check.remedy]
    deviations = sum(not result.ok for result in results)
    trust.write(backend, passed=not deviations and not unkept)
    if not deviations and not unkept:
        return f"{backend.name} is trusted on this machine, as it is configured now"
    reasons = [f"deviations: {deviations}"] if deviations else []
    reasons += [f"limits that it does not keep: {', '.join(unkept)}; {backend.advice}"] if unkept else []
    return f"{backend.name} is not trusted on this machine: {'; '.join(reasons)}"


def attacked(sandbox: str | None) -> Sandbox:
    """Return the usable back end of this name, or the preferred one of the trusted ones.

    Raises:
        BenchError: There is no such back end, or it cannot be used here.
    """
    name = sandbox or next(backend.name for backend in backends.by_preference() if backend.trusted)
    try:
        return backends.choose(name, MODEL, "cpu")[0]
    except backends.SandboxUnavailable as error:
        raise BenchError(error.what, "this machine", error.remedy, EXIT_CODES["infra"]) from None


def _connection(backend: Sandbox) -> AbstractContextManager[docker.DockerClient]:
    """Return a client of the engine of a back end, or of Docker where it has none."""
    return backend.connection() if isinstance(backend, Docker) else connect()


def statically_refused() -> Iterator[AttackOutcome]:
    """Yield the outcomes of submissions that no sandbox sees; they are made here, as none can be kept as a file."""
    with tempfile.TemporaryDirectory() as folder:
        for name in (*SOURCES, *FILES):
            path = Path(folder, f"{name.replace(' ', '_')}.py")
            if name in SOURCES:
                path.write_bytes(SOURCES[name])
            else:
                FILES[name](path)
            start = time.monotonic()
            try:
                entries.read(path)
                status, reason = "ok", ""
            except entries.InvalidEntry as error:
                status, reason = "invalid", error.message.replace(f"{folder}/", "")
            why = "" if status == "invalid" else "it was accepted"
            yield AttackOutcome(
                f"{name} submission", "invalid", status, round(time.monotonic() - start, 1), reason, why
            )


def outputs(backend: Sandbox, run_id: str) -> AttackOutcome:
    """Attack the default track with finite weights whose outputs overflow, which the sandbox cannot see."""
    references = References(load_track("digits-resnet18"), Store())
    entry = entries.read(suite.FOLDER / f"{OVERFLOWING}.py")
    start = time.monotonic()
    logits, outcome = attempt(
        UnitContext(references, backend, run_id), SeedUnit(entry, references.track, 0), Slot(), deadline=DEADLINE
    )
    refused = logits is None and outcome.status == "invalid" and "not finite" in outcome.reason
    why = "" if refused else f"ended as {outcome.status}: {outcome.reason}"
    seconds = round(time.monotonic() - start, 1)
    return AttackOutcome(f"{OVERFLOWING}, inferred", "invalid", outcome.status, seconds, outcome.reason, why)


def line(result: AttackOutcome) -> str:
    """Return one outcome as a line of text."""
    text = f"{'ok  ' if result.ok else 'FAIL'}  {result.attack:<44} {result.expected:<8} {result.status:<8}"
    return f"{text} {result.seconds:6.1f} s" + (f"  → {result.why}" if result.why else "")


def markdown(sandbox: str | None, results: Sequence[AttackOutcome]) -> str:
    """Return the table of docs/sandbox.md: one row per attack file, with the slowest of its units."""
    rows: dict[str, list[AttackOutcome]] = {}
    for result in results:
        rows.setdefault(result.attack.partition("[")[0], []).append(result)
    lines = [HEADLINE]
    for name, units in rows.items():
        times = f" × {len(units)}" if len(units) > 1 else ""
        expected = ", ".join(dict.fromkeys(unit.expected for unit in units))
        status = ", ".join(dict.fromkeys(unit.status for unit in units))
        lines.append(f"| {name}{times} | {expected} | {status} | {max(unit.seconds for unit in units):.1f} |")
    return "\n".join([MARKERS[0], summary(sandbox, results), "", *lines, MARKERS[1]])


def summary(sandbox: str | None, results: Sequence[AttackOutcome]) -> str:
    """Return how many attacks on a back end deviated, and on which machine and day."""
    machine, deviations = hardware(), sum(not result.ok for result in results)
    backend, day = attacked(sandbox), datetime.date.today().isoformat()
    platform = f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, {backend.name}"
    if isinstance(backend, Docker):
        with remains.engine(backend.connection()) as client:
            platform += f" {client.version()['Version']}" if client else ""
    return f"{len(results)} attacks and controls, {deviations} deviations; {platform}; {day}."
