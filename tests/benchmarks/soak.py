"""Many units in a row, honest and hostile, two at a time, while the harness is killed at random moments.

A driver keeps a worker running, which keeps a journal of finished units. Every so many units the driver kills it
(SIGKILL) and starts it again. In the end every unit must be accounted for exactly once, with its expected status,
and no container, process, folder or mount may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from unlearn_bench.sandbox.engine.client import connect
from unlearn_bench.sandbox.engine.reap import RUN_LABEL
from unlearn_bench.sandbox.types import Status

AT_ONCE = 2
MEMORY = 1024
"""MiB that a unit may use, so that a memory bomb goes off soon."""
JOURNAL = "journal.jsonl"


class Kind(NamedTuple):
    source: str
    status: Status
    deadline: float = 120.0
    share: int = 1


KINDS: dict[str, Kind] = {
    "identity": Kind("def unlearn(model, retain): return model", "ok", share=5),
    "fine-tuning": Kind(
        """
import torch

def unlearn(model, retain):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()
    for images, labels in retain:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
""",
        "ok",
        share=5,
    ),
    "crash": Kind("def unlearn(model, retain): raise ValueError('x' * 5_000_000)", "crash"),
    "early exit": Kind("import os\ndef unlearn(model, retain): os._exit(0)", "crash"),
    "endless loop": Kind("def unlearn(model, retain):\n while True: pass", "timeout", 3.0),
    "stops itself": Kind(
        "import os, signal\ndef unlearn(model, retain): os.kill(os.getpid(), signal.SIGSTOP)", "timeout", 3.0
    ),
    "memory bomb": Kind("def unlearn(model, retain):\n x = []\n while True: x.append(bytearray(b'x') * 2**24)", "oom"),
    "fork bomb": Kind(
        """
import os, time

def unlearn(model, retain):
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.1)
""",
        "timeout",
        3.0,
    ),
    "flood": Kind("def unlearn(model, retain):\n while True: print('y' * 65536)", "timeout", 3.0),
    "malformed frames": Kind(
        """
import os, stat

def unlearn(model, retain):
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, b"W" + b"\\xff" * 70_000)
        except OSError:
            pass
""",
        "invalid",
    ),
}


@dataclass(frozen=True)
class Report:
    lines: list[dict[str, Any]]
    kills: int
    missing: list[int]
    twice: list[int]
    unexpected: list[str]
    left: list[str]
    """Containers, processes, mounts and folders that are still there."""
    seconds: float

    @property
    def clean(self) -> bool:
        return not (self.missing or self.twice or self.unexpected or self.left)


def plan(units: int) -> list[str]:
    """The kind of every unit, the same in every process; each kind occurs."""
    kinds = [*KINDS, *(name for name, kind in KINDS.items() for _ in range(1, kind.share))]
    chosen = [kinds[index % len(kinds)] for index in range(units)]
    random.Random(1).shuffle(chosen)
    return chosen


def finished(folder: Path) -> list[dict[str, Any]]:
    """The journal's lines, oldest first."""
    path = folder / JOURNAL
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def work(folder: Path, units: int) -> None:
    """Run what the journal lacks; what ends this process may be a kill at any moment."""
    from unlearn_bench.harness.entries.entry import read
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units.slots import Slot
    from unlearn_bench.harness.units.unit_kinds import SeedUnit
    from unlearn_bench.harness.units.unit_run import UnitContext, attempt
    from unlearn_bench.sandbox import backends

    backend = backends.load("docker")
    backend.reap()
    track = load_track("digits-resnet18")
    track = replace(track, protocol=replace(track.protocol, memory_mib=MEMORY))
    bench = UnitContext(References(track, Store(folder / "store")), backend, run_id=folder.name)
    entries = {}
    for name, kind in KINDS.items():
        path = folder / f"{name.replace(' ', '_').replace('-', '_')}.py"
        path.write_text(kind.source)
        entries[name] = read(path)
    done = {line["unit"] for line in finished(folder)}
    waiting: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
    for number, name in enumerate(plan(units)):
        if number not in done:
            waiting.put((number, name))
    journal = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def serve(core: int) -> None:
        os.sched_setaffinity(0, {core})
        while True:
            try:
                number, name = waiting.get_nowait()
            except queue.Empty:
                return
            kind = KINDS[name]
            began = time.monotonic()
            _, outcome = attempt(bench, SeedUnit(entries[name], track, number % 2), Slot(cores=(core,)), kind.deadline)
            inside = {"ok": outcome.seconds, "timeout": kind.deadline}.get(outcome.status)
            outside = None if inside is None else time.monotonic() - began - inside
            line = {"unit": number, "kind": name, "status": outcome.status, "reason": outcome.reason}
            line |= {"inside": inside, "outside": outside, "warnings": outcome.warnings}
            os.write(journal, json.dumps(line).encode() + b"\n")  # one write: whole or not there

    cores = sorted(os.sched_getaffinity(0))
    threads = [threading.Thread(target=serve, args=(cores[i % len(cores)],)) for i in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def drive(folder: Path, units: int, every: int, seed: int | None = None) -> Report:
    """Run ``units`` units; the worker is killed some random seconds after every ``every`` finished ones."""
    began, rng = time.monotonic(), random.Random(seed)
    (folder / "tmp").mkdir()
    command = [sys.executable, "-m", "tests.benchmarks.soak", "--work", str(folder), "--units", str(units)]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    kills = 0
    for limit in (*range(every, units, every), None):
        with subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2]) as worker:
            while limit is not None and len(finished(folder)) < limit and worker.poll() is None:
                time.sleep(0.1)
            if limit is not None:
                time.sleep(rng.uniform(0, 6))
                kills += worker.poll() is None
                worker.kill()
            elif worker.wait():
                raise SystemExit(f"the worker failed with exit code {worker.returncode}")
    return judge(finished(folder), units, left(folder), kills, time.monotonic() - began)


def judge(lines: list[dict[str, Any]], units: int, left: list[str], kills: int, seconds: float) -> Report:
    """Hold a journal against the plan."""
    counts = Counter(line["unit"] for line in lines)
    wrong = [line for line in lines if line["status"] != KINDS[line["kind"]].status]
    return Report(
        lines=lines,
        kills=kills,
        missing=[unit for unit in range(units) if unit not in counts],
        twice=[unit for unit, count in counts.items() if count > 1],
        unexpected=[f"unit {line['unit']} {line['kind']}: {line['status']}: {line['reason']}" for line in wrong],
        left=left,
        seconds=seconds,
    )


def left(folder: Path) -> list[str]:
    """What is still there of the units of this run."""
    with connect() as client:
        found = client.containers.list(all=True, filters={"label": f"{RUN_LABEL}={folder.name}"}, ignore_removed=True)
    things = [f"container {container.name}" for container in found]
    things += [f"folder {path}" for path in (folder / "tmp").glob("unlearn-bench-unit-*")]
    for path in Path("/proc").glob("[0-9]*/mountinfo"):  # all that ran in a container has the stage mounted
        try:
            mounted = str(folder / "tmp") in path.read_text()
        except OSError:
            continue
        if mounted:
            things.append(f"process or mount {path.parent.name}")
    return things


def show(report: Report) -> None:
    units = len(report.lines)
    print(f"{units} units, {AT_ONCE} at a time, {report.kills} kills of the harness, {report.seconds:.0f} s")
    print(
        f"{'entry':<18}{'units':>6}{'expected':>10}{'as expected':>13}{'inside [s]':>12}{'outside [s]':>13}{'max':>7}"
    )
    for name, kind in KINDS.items():
        lines = [line for line in report.lines if line["kind"] == name]
        if not lines:
            continue
        right = sum(line["status"] == kind.status for line in lines)
        inside = [line["inside"] for line in lines if line["inside"] is not None]
        outside = [line["outside"] for line in lines if line["outside"] is not None]
        times = f"{'–':>12}{'–':>13}{'–':>7}"
        if inside:
            times = f"{statistics.median(inside):>12.2f}{statistics.median(outside):>13.2f}{max(outside):>7.2f}"
        print(f"{name:<18}{len(lines):>6}{kind.status:>10}{right:>13}{times}")
    for title in ("missing", "twice", "unexpected", "left"):
        found = getattr(report, title)
        print(f"{title + ':':<12}{', '.join(map(str, found)) or 'nothing'}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--every", type=int, default=20, help="units between two kills of the harness")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work is not None:
        work(options.work, options.units)
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report = drive(Path(folder), options.units, options.every)
    show(report)
    raise SystemExit(0 if report.clean else 1)


if __name__ == "__main__":
    main()
