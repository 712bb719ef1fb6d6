"""Kill every command that writes files at random moments: is anything lost, half-written or made twice?

The moments are the operations on files of the store and of the folder of the command, which holds its track, entry,
clone and outputs; the kernel kills it before one of them, or when a file has been opened and nothing is written. After
each kill every file of the store must match its digest, and the same command must end well and leave the documents that
it leaves undisturbed.

Not here: ``compare``, ``findings`` and ``show`` store scores as ``leaderboard`` does and print; ``leaderboard``'s site
and figures are written over by the next run; ``image`` writes to the engine, ``show --export`` to a tracker.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.harness import warm_command
from tests.harness.conftest import SMALL, believe_every_time, undisturbed
from tests.harness.gitrepo import entry_beside
from unlearn_bench.harness.doctor import store_checks
from unlearn_bench.harness.store.store import SHIPPED, Store
from unlearn_bench.harness.support.files import PART, write_file
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store

OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link")
KILL, COUNT = "CRASH_BEFORE", "CRASH_COUNT"
"""Variables of a command: the operation before which it is killed; the file that gets the number of operations."""
TRACK = SMALL.replace("deadline_floor = 6", "deadline_floor = 60")
ENTRY = 'def unlearn(model, retain, *, x=0.1):\n    return model\n\n\nSEARCH_SPACE = {"x": ("uniform", 0, 1)}\n'
EXPECTED = (0, 14, 15)
"""Exit codes of commands that end well; ``verify`` also says that it cannot tell."""
RUN = "--track track.toml --sandbox process"


@dataclass(frozen=True)
class Command:
    """A command that writes files."""

    line: str
    """What follows ``bench``, in a folder with ``track.toml`` and ``mine.py`` whose store is ``home``."""
    after: tuple[str, ...] = ()
    """What has happened before: names of commands, and of :data:`PREPARATIONS`."""
    refused: int = 0
    """The exit code with which it may refuse to write over what it wrote whole before a kill."""
    draws: bool = False
    """Whether digests in names of documents follow from seeds that it draws, so that only their number is known."""


COMMANDS: Mapping[str, Command] = {
    "prepare": Command("prepare track.toml --workers 1"),
    "prepare --publish": Command("prepare track.toml --publish there", ("prepare",)),
    "prepare --fetch": Command("prepare track.toml --fetch there", ("prepare", "prepare --publish", "no store")),
    "references export": Command("references export track.toml --out models", ("prepare",)),
    "references import": Command(
        "references import track.toml --originals models/original --retrained models/retrained",
        ("prepare", "references export", "no store"),
    ),
    "memorisation": Command("memorisation --track track.toml --out memorised.npy", ("prepare",)),
    "submit": Command(f"submit mine.py --seeds 1 {RUN}", ("prepare",)),
    "submit --probes": Command(f"submit mine.py --probes --keep-weights {RUN}", ("prepare",)),
    "score": Command("score models/retrained --track track.toml", ("prepare", "references export")),
    "export": Command("export mine --weights unlearned --track track.toml", ("prepare", "submit --probes")),
    "baselines": Command(f"baselines cf_k {RUN}", ("prepare",)),
    "tune": Command(f"tune mine.py --trials 2 {RUN}", ("prepare",)),
    "verify": Command(f"verify mine --seed 0 {RUN}", ("prepare", "submit")),
    "audit": Command(f"audit mine.py --seeds 2 {RUN}", ("prepare",), draws=True),
    "score-pr": Command(f"score-pr --base main --head pr --repo clone --out result {RUN}", ("prepare", "clone")),
    "publish": Command(
        "publish result --track track.toml --repo clone --other-harness --comment comment.md",
        ("prepare", "clone", "score-pr", "no units"),
    ),
    "promote": Command("promote mine", ("unscored records",)),
    "disqualify": Command("disqualify mine --reason copied", ("unscored records",)),
    "leaderboard": Command("leaderboard --format csv --out board", ("unscored records",)),
    "literature": Command("leaderboard --columns literature"),
    "rescore": Command("rescore"),
    "doctor --store": Command("doctor --store", ("old documents",)),
    "clean": Command("clean --inputs --logs --yes", ("inputs",)),
    "tracks new": Command("tracks new images.toml --data images.npz", ("images",)),
    "duplicates": Command("duplicates --track images.toml --out groups.npy", ("images", "tracks new")),
    "init": Command("init template.py", refused=2),
    "check --bundle": Command("check package --bundle bundle.py", ("package",)),
    "seal": Command("seal track.toml --secret secret.toml", refused=2),
    "reveal": Command("reveal track.toml --secret secret.toml --out revealed.toml", ("seal",), refused=2),
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
        undisturbed, again = self.exit_codes
        ended_well = again in (undisturbed, COMMANDS[self.command].refused)
        return ended_well and not (self.damaged or self.missing or self.more)


def armed() -> None:
    """Let a command count its operations on files of its folder, and kill itself before one of them."""
    believe_every_time()
    folder, last = f"{Path.cwd()}/", int(os.environ.get(KILL, 0))
    me, count = os.getpid(), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        written = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (written or event in OPERATIONS) or os.getpid() != me or isinstance(arguments[0], int):
            return
        if not str(Path(os.fsdecode(arguments[0])).absolute()).startswith(folder):
            return
        count += 1
        if count == last:
            if written:
                os.open(arguments[0], arguments[2], 0o644)
            os.kill(me, signal.SIGKILL)
        elif not last:
            os.write(counter, b"x")

    counter = os.open(os.environ[COUNT], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if not last else -1
    sys.addaudithook(hook)


class Machine:
    """A folder with the folders of commands, and the program ``bench``."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.folder, self.program = folder, program
        folder.mkdir(exist_ok=True)

    def run(self, command: Command, place: Path, kill: int = 0) -> int:
        """Run a command in its folder and return its exit code."""
        places = {COUNT: str(self.folder / "count"), "BENCH_LOCKS": str(self.folder / "locks")}
        environment = {**os.environ, **places, "BENCH_HOME": str(place / "home"), KILL: str(kill)}
        arguments = [str(self.program), *command.line.split()]
        return subprocess.run(arguments, cwd=place, env=environment, capture_output=True).returncode

    def operations(self) -> int:
        """Return how many operations the last undisturbed command made."""
        return (self.folder / "count").stat().st_size

    def state(self, command: Command) -> Path:
        """Return a folder in which everything has happened that happens before a command."""
        place = self.folder / "-".join(["state", *command.after]).replace(" ", "-")
        if place.exists():
            return place
        (place / "home").mkdir(parents=True)
        (place / "track.toml").write_text(TRACK)
        (place / "mine.py").write_text(ENTRY)
        os.environ["BENCH_HOME"] = str(place / "home")
        undisturbed()
        for name in command.after:
            if name in PREPARATIONS:
                PREPARATIONS[name](place)
            elif code := self.run(COMMANDS[name], place):
                raise SystemExit(f"{name} ends with {code} undisturbed")
        return place


def _unscored_records(place: Path) -> None:
    """Give an entry of another name the records of a shipped method, whose scores are not known."""
    store, track = Store(place / "home"), load_track("digits-resnet18")
    ft = [record for record in unit_store.seed_records(store, track) if record.name == "ft"]
    for record in ft:
        replace(record, name="mine", sha256="0" * 64, entry="1" * 64, key=f"{record.seed:064}").save(store)


def _old_documents(place: Path) -> None:
    """Add what ships as an older version wrote it, without digests."""
    for kind in ("units", "shadow-scores"):
        for path in (SHIPPED / kind).rglob("*.json"):
            lines = path.read_bytes().splitlines(keepends=True)
            target = place / "home" / path.relative_to(SHIPPED)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"".join(lines[:1] + lines[2:]))


def _inputs(place: Path) -> None:
    for number in range(20):
        content = bytes([number])
        name = f"{number}-{hashlib.sha256(content).hexdigest()}.safetensors"
        write_file(place / "home" / "inputs" / name, content)


def _images(place: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (320, 16, 16), dtype=np.uint8)
    np.savez(place / "images.npz", images=pixels, labels=np.arange(320) % 4)


def _package(place: Path) -> None:
    (place / "package").mkdir()
    (place / "package" / "__init__.py").write_text(f"from .same import same\n\n\n{ENTRY}")
    (place / "package" / "same.py").write_text("def same(model):\n    return model\n")


def _no_units(place: Path) -> None:
    """Leave of a store what a publisher has that scored nothing: reference models."""
    for kind in (place / "home").iterdir():
        if kind.name not in ("references", "blobs", "machines"):
            shutil.rmtree(kind) if kind.is_dir() else kind.unlink()


PREPARATIONS: Mapping[str, Callable[[Path], object]] = {
    "unscored records": _unscored_records,
    "old documents": _old_documents,
    "inputs": _inputs,
    "images": _images,
    "package": _package,
    "clone": lambda place: entry_beside(place / "clone"),
    "no units": _no_units,
    "no store": lambda place: shutil.rmtree(place / "home"),
}


def documents(place: Path, command: Command) -> Counter[str]:
    """Return the documents of the store and the files beside it, by name."""
    paths = (path.relative_to(place) for path in place.rglob("*") if path.is_file())
    files = (path for path in paths if path.parts[0] != "home" or path.suffix == ".json")
    names = (path.as_posix() for path in files if path.suffix != PART)
    return Counter(re.sub("[0-9a-f]{16,}", "#", name) if command.draws else name for name in names)


def kills(machine: Machine, name: str, count: int, rng: random.Random) -> tuple[int, list[Kill]]:
    """Kill a command before each of ``count`` random operations, or before all if it has fewer, and run it again.

    Return how many operations it makes undisturbed, and the kills.
    """
    command, place = COMMANDS[name], machine.folder / "place"
    start = machine.state(command)
    shutil.copytree(start, place)
    expected = machine.run(command, place)
    if expected not in EXPECTED:
        raise SystemExit(f"{name} ends with {expected} undisturbed")
    operations, undisturbed_files = machine.operations(), documents(place, command)
    found = []
    for before in rng.sample(range(1, operations + 1), min(count, operations)):
        shutil.rmtree(place)
        shutil.copytree(start, place)
        machine.run(command, place, kill=before)
        damaged = [] if name == "doctor --store" else damage(place / "home")
        code, left = machine.run(command, place), documents(place, command)
        missing, more = sorted((undisturbed_files - left).elements()), sorted((left - undisturbed_files).elements())
        found.append(Kill(name, before, damaged, (expected, code), missing, more))
    shutil.rmtree(place)
    return operations, found


def damage(home: Path) -> list[str]:
    """Return what a store's files that do not match their digests are called by ``bench doctor``."""
    checks = store_checks.examine_folder(Store(home, behind=None)) if home.is_dir() else ()
    return [check.text for check in checks if check.subject == "damaged"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)}; default: all")
    parser.add_argument("--kills", type=int, default=100, help="of each command, at most one before each operation")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    rng, all_clean = random.Random(options.seed), True
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        program = Path(folder) / "bench"
        with warm_command.program(program, armed):
            machine = Machine(Path(folder), program)
            for name in options.names or COMMANDS:
                operations, found = kills(machine, name, options.kills, rng)
                clean = sum(kill.clean for kill in found)
                print(f"{name:<24}{operations:>4} operations, {len(found):>4} kills, {clean:>4} clean", flush=True)
                for kill in found:
                    if not kill.clean:
                        all_clean = False
                        print(f"  {kill}", flush=True)
    raise SystemExit(0 if all_clean else 1)


if __name__ == "__main__":
    main()
