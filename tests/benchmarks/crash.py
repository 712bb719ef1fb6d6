"""Kill every command that writes to the store at random moments: is anything lost, half-written or made twice?

The moments are the operations on files of the store that the command makes; the kernel kills it before one of them.
After each kill every file must match its digest, and the same command must end well and leave the documents that it
leaves undisturbed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.harness import warm_command
from tests.harness.conftest import SMALL, believe_every_time, undisturbed
from unlearn_bench.harness.doctor import store_checks
from unlearn_bench.harness.store.store import SHIPPED, Store
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store

OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link")
KILL, COUNT = "CRASH_BEFORE", "CRASH_COUNT"
"""Variables of a command: the operation before which it is killed; the file that gets the number of operations."""
TRACK = SMALL.replace("epochs = 5", "epochs = 1")
ENTRY = 'def unlearn(model, retain, *, x=0.1):\n    return model\n\n\nSEARCH_SPACE = {"x": ("uniform", 0, 1)}\n'
EXPECTED = (0, 14, 15)
"""Exit codes of commands that end well; ``verify`` also says that it cannot tell."""
RUN = ("--track", "TRACK", "--sandbox", "process")


@dataclass(frozen=True)
class Command:
    """A command that writes to the store."""

    arguments: tuple[str, ...]
    """``TRACK`` and ``ENTRY`` stand for their files."""
    after: tuple[str, ...] = ()
    """What has happened before: names of commands, and of :data:`PREPARATIONS`."""


COMMANDS: Mapping[str, Command] = {
    "prepare": Command(("prepare", "TRACK", "--workers", "1")),
    "submit": Command(("submit", "ENTRY", "--seeds", "1", *RUN), ("prepare",)),
    "tune": Command(("tune", "ENTRY", "--trials", "2", *RUN), ("prepare",)),
    "verify": Command(("verify", "mine", "--seed", "0", *RUN), ("prepare", "submit")),
    "leaderboard": Command(("leaderboard",), ("unscored records",)),
    "literature": Command(("leaderboard", "--columns", "literature"), ()),
    "rescore": Command(("rescore",), ()),
    "disqualify": Command(("disqualify", "mine", "--reason", "a copy"), ("unscored records",)),
    "doctor --store": Command(("doctor", "--store"), ("old documents",)),
    "clean": Command(("clean", "--inputs", "--logs", "--yes"), ("inputs",)),
}
"""Commands that run units have a tiny track of their own; the others work on what ships of the default track."""


@dataclass(frozen=True)
class Kill:
    """One kill, and what was found afterwards; all lists are empty if all is well."""

    command: str
    before: int
    """The operation before which the command was killed."""
    damaged: list[str]
    exit_codes: tuple[int, int]
    """Of the same command undisturbed, and after the kill."""
    missing: list[str]
    """Documents that it leaves undisturbed and did not leave after the kill."""
    more: list[str]

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, damaged or made twice."""
        return len(set(self.exit_codes)) == 1 and not (self.damaged or self.missing or self.more)


def armed() -> None:
    """Let a command count its operations on files of the store, and kill itself before one of them."""
    believe_every_time()
    home, last = os.environ["BENCH_HOME"], int(os.environ.get(KILL, 0))
    me, count = os.getpid(), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        written = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (written or event in OPERATIONS) or os.getpid() != me or not str(arguments[0]).startswith(home):
            return
        count += 1
        if count == last:
            os.kill(me, signal.SIGKILL)
        elif not last:
            os.write(counter, b"x")

    counter = os.open(os.environ[COUNT], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if not last else -1
    sys.addaudithook(hook)


class Machine:
    """A folder with stores, the track, the entry and the program ``bench``."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder, self.program = folder, program
        folder.mkdir(exist_ok=True)
        (folder / "track.toml").write_text(TRACK)
        (folder / "mine.py").write_text(ENTRY)

    def run(self, command: Command, home: Path, kill: int = 0) -> int:
        """Run a command and return its exit code."""
        files = {"TRACK": str(self.folder / "track.toml"), "ENTRY": str(self.folder / "mine.py")}
        arguments = [str(self.program), *(files.get(word, word) for word in command.arguments)]
        places = {"BENCH_HOME": str(home), "BENCH_LOCKS": str(self.folder / "locks"), COUNT: str(self.folder / "count")}
        environment = {**os.environ, **places, KILL: str(kill)}
        return subprocess.run(arguments, env=environment, capture_output=True).returncode

    def operations(self) -> int:
        """Return how many operations the last undisturbed command made."""
        return (self.folder / "count").stat().st_size

    def state(self, command: Command) -> Path:
        """Return a store in which everything has happened that happens before a command."""
        home = self.folder / "-".join(["state", *command.after]).replace(" ", "-")
        if home.exists():
            return home
        home.mkdir()
        os.environ["BENCH_HOME"] = str(home)
        undisturbed()
        for name in command.after:
            if name in PREPARATIONS:
                PREPARATIONS[name](Store(home))
            elif code := self.run(COMMANDS[name], home):
                raise SystemExit(f"{name} ends with {code} undisturbed")
        return home


def _unscored_records(store: Store) -> None:
    """Give an entry of another name the records of a shipped method, whose scores are not known."""
    track = load_track("digits-resnet18")
    ft = [record for record in unit_store.seed_records(store, track) if record.name == "ft"]
    for record in ft:
        replace(record, name="mine", sha256="0" * 64, entry="1" * 64, key=f"{record.seed:064}").save(store)


def _old_documents(store: Store) -> None:
    """Add what ships as an older version wrote it, without digests."""
    for kind in ("units", "shadow-scores"):
        for path in (SHIPPED / kind).rglob("*.json"):
            lines = path.read_bytes().splitlines(keepends=True)
            target = store.root / path.relative_to(SHIPPED)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"".join(lines[:1] + lines[2:]))


def _inputs(store: Store) -> None:
    for number in range(20):
        content = bytes([number])
        write_file(store.root / "inputs" / f"{number}-{hashlib.sha256(content).hexdigest()}.safetensors", content)


PREPARATIONS: Mapping[str, Callable[[Store], None]] = {
    "unscored records": _unscored_records,
    "old documents": _old_documents,
    "inputs": _inputs,
}


def places(home: Path) -> set[str]:
    """Return the documents of a store."""
    return {path.relative_to(home).as_posix() for path in home.rglob("*.json")}


def kills(machine: Machine, name: str, count: int, rng: random.Random) -> list[Kill]:
    """Kill a command ``count`` times, and run it again each time."""
    command, home = COMMANDS[name], machine.folder / "home"
    start = machine.state(command)
    shutil.copytree(start, home)
    expected = machine.run(command, home)
    if expected not in EXPECTED:
        raise SystemExit(f"{name} ends with {expected} undisturbed")
    operations, undisturbed_places = machine.operations(), places(home)
    found = []
    for _ in range(count):
        shutil.rmtree(home)
        shutil.copytree(start, home)
        before = rng.randint(1, operations)
        machine.run(command, home, kill=before)
        checks = store_checks.examine_folder(Store(home, behind=None)) if name != "doctor --store" else ()
        damaged = [check.text for check in checks if check.subject == "damaged"]
        code, left = machine.run(command, home), places(home)
        missing, more = sorted(undisturbed_places - left), sorted(left - undisturbed_places)
        found.append(Kill(name, before, damaged, (expected, code), missing, more))
    shutil.rmtree(home)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)}; default: all")
    parser.add_argument("--kills", type=int, default=100, help="of each command")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    rng, all_clean = random.Random(options.seed), True
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        program = Path(folder) / "bench"
        with warm_command.program(program, armed):
            machine = Machine(Path(folder), program)
            for name in options.names or COMMANDS:
                found = kills(machine, name, options.kills, rng)
                moments = len({kill.before for kill in found})
                clean = sum(kill.clean for kill in found)
                print(f"{name:<16}{len(found):>4} kills before {moments:>3} operations, {clean:>4} clean", flush=True)
                for kill in found:
                    if not kill.clean:
                        all_clean = False
                        print(f"  {kill}", flush=True)
    raise SystemExit(0 if all_clean else 1)


if __name__ == "__main__":
    main()
