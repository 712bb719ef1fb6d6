"""Many pull requests scored at once on one machine whose disk is nearly full: is anything lost, doubled or mistimed?

Every ``bench score-pr`` is a process of its own, and all share one store on a small tmpfs (mounted by root) that is
filled to 95 % first. One pull request is scored alone before, to compare times. With ``--restart-engine`` units
run in containers of an engine of the script's own, which is killed and started again once half of the units have run.
In the end space is freed, and the commands that blamed the machine run again.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness import warm_command
from tests.harness.conftest import SMALL, undisturbed
from tests.harness.gitrepo import Repo, entry
from tests.sandbox.private_engine import PrivateEngine, private_engine
from unlearn_bench.harness.doctor import store_checks
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import Record

SIZE = 64 << 20
ALONE = "alone"
DISK_IS_FULL = "the disk of the store is full"
MISTIMED = 1.5
"""A time that is not marked as disturbed counts as wrong from this multiple of the median time alone on."""
SLEEP = "import time; time.sleep(0.5)"
"""What every entry does, so that its time does not rest on what torch does first in a process."""


@dataclass(frozen=True)
class Call:
    """One ``bench score-pr``, from the start of all to its end."""

    name: str
    exit_code: int
    seconds: float
    waited: bool
    """Whether it said that it waits, and for whom."""
    errors: str


@contextmanager
def nearly_full(place: Path) -> Iterator[None]:
    """Mount a small disk and, within, leave it to be filled by :func:`fill`."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(place: Path, share: float) -> Path:
    """Write a file that takes the disk to this share, and return it."""
    disk = os.statvfs(place)
    taken = (disk.f_blocks - disk.f_bavail) * disk.f_frsize
    filler = place / "filler"
    filler.write_bytes(bytes(max(0, int(share * SIZE) - taken)))
    return filler


def repository(folder: Path, names: Sequence[str]) -> Repo:
    """Return a repository with a branch per name that adds an entry of this name."""
    repo = Repo(folder)
    repo.write("submissions/first.py", entry(lr=0.125))
    repo.commit()
    for number, name in enumerate(names):
        repo.git("checkout", "--quiet", "-B", name, "main")
        repo.write(f"submissions/{name}.py", entry(SLEEP, lr=1 + number / 64))
        repo.commit()
    return repo


@dataclass(frozen=True)
class Setting:
    """What all calls share."""

    program: Path
    repo: Repo
    track: Path
    folder: Path
    sandbox: str


def score(setting: Setting, names: Sequence[str], between: Callable[[], None] = lambda: None) -> list[Call]:
    """Score the pull requests of these branches at once; return the calls in the order in which they ended.

    ``between`` is called again and again meanwhile.
    """
    start, running, folder = time.monotonic(), {}, setting.folder
    for name in names:
        arguments = ["--base", "main", "--head", name, "--repo", setting.repo.path]
        arguments += ["--track", setting.track, "--sandbox", setting.sandbox]
        with (folder / f"{name}.err").open("wb") as errors:
            command = [setting.program, "score-pr", *arguments]
            running[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    calls = []
    while running:
        for name in [name for name, process in running.items() if process.poll() is not None]:
            code, text = running.pop(name).returncode, (folder / f"{name}.err").read_text()
            calls.append(Call(name, code, time.monotonic() - start, "waiting for" in text, text))
        between()
        time.sleep(0.05)
    return calls


def restart_at(engine: PrivateEngine, units: Path, count: int) -> Callable[[], None]:
    """Return a function that restarts the engine when it is first called with ``count`` records stored."""
    restarted = False

    def between() -> None:
        nonlocal restarted
        if not restarted and sum(1 for _ in units.rglob("*.json")) >= count:
            restarted = True
            engine.send(signal.SIGKILL)
            engine.start()
            print(f"the engine was killed and started again with {count} records stored", flush=True)

    return between


@contextmanager
def own_engine(folder: Path, wanted: bool) -> Iterator[PrivateEngine | None]:
    """Start an engine, and let commands use it, if it is wanted."""
    if not wanted:
        yield None
        return
    with private_engine(folder / "engine" / "root") as engine:
        os.environ["DOCKER_HOST"] = engine.host
        yield engine


def faults(calls: Sequence[Call], records: Sequence[Record], seeds: int, alone: float) -> list[str]:
    """Return what was lost, doubled or mistimed, in words; nothing if all is well."""
    found = [f"{call.name} ends with {call.exit_code}: {call.errors[-300:]}" for call in calls if call.exit_code]
    stored = Counter((record.name, record.seed) for record in records if record.status == "ok")
    found += [
        f"{call.name} has {stored[call.name, seed]} records of seed {seed}"
        for call in calls
        for seed in range(seeds)
        if stored[call.name, seed] != 1
    ]
    found += [
        f"{record.name}, seed {record.seed}: {record.seconds:.2f} s, alone {alone:.2f} s, unmarked"
        for record in records
        if record.seconds is not None and not record.disturbed and record.seconds > MISTIMED * alone
    ]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the load and print what came of it; exit code 1 if anything was lost, doubled or mistimed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=20)
    parser.add_argument("--full", type=float, default=0.95, help="share of the disk that is taken before")
    parser.add_argument("--restart-engine", action="store_true", help="run in containers, and kill their engine once")
    options = parser.parse_args(arguments)
    names = [f"e{number:02}" for number in range(options.submissions)]
    with tempfile.TemporaryDirectory(prefix="load-") as temporary:
        folder = Path(temporary)
        home, program, track = folder / "home", folder / "bench", folder / "track.toml"
        track.write_text(SMALL.replace("epochs = 5", "epochs = 1"))
        os.environ |= {"BENCH_HOME": str(home), "BENCH_LOCKS": str(folder / "locks")}
        repo, loaded = repository(folder / "repo", [ALONE, *names]), load_track(str(track))
        setting = Setting(program, repo, track, folder, "docker" if options.restart_engine else "process")
        with nearly_full(home), warm_command.program(program), own_engine(folder, options.restart_engine) as engine:
            undisturbed()
            subprocess.run([program, "prepare", track], check=True, capture_output=True)
            (first,) = score(setting, [ALONE])
            filler = fill(home, options.full)
            half = loaded.protocol.seeds * (1 + len(names) // 2)
            restart = () if engine is None else (restart_at(engine, home / "units", half),)
            calls = score(setting, names, *restart)
            disk = os.statvfs(home)
            filler.unlink()
            stopped = [call for call in calls if call.exit_code == EXIT_CODES["infra"]]
            again = score(setting, [call.name for call in stopped])
            records = unit_store.seed_records(Store(), loaded)
            checks = store_checks.examine_folder(Store(home, behind=None))
            damaged = [check.text for check in checks if check.subject == "damaged"]
    times = [record.seconds for record in records if record.name == ALONE and record.seconds is not None]
    last = {call.name: call for call in [first, *calls, *again]}
    found = [*faults([*last.values()], records, loaded.protocol.seeds, statistics.median(times)), *damaged]
    disturbed = sum(bool(record.disturbed) for record in records)
    full = 1 - disk.f_bavail / disk.f_blocks
    print(f"{len(calls)} ended after {calls[0].seconds:.0f} to {calls[-1].seconds:.0f} s; alone {first.seconds:.0f} s")
    print(
        f"{sum(call.waited for call in calls)} said for whom they wait; in the order {' '.join(c.name for c in calls)}"
    )
    full_disk = sum(DISK_IS_FULL in call.errors for call in stopped)
    print(f"{len(stopped)} blamed the machine, {full_disk} of them its disk, and ran again afterwards")
    print(f"{len(records)} records, {disturbed} marked as disturbed; the disk was {full:.0%} full")
    print(*(found or ["nothing lost, doubled or mistimed"]), sep="\n")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
