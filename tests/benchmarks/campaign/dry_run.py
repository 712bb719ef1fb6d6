"""A trial of the campaign on tiny tracks and the CPU: killed at random moments, and moved from machine to machine.

One store is filled without a break. Others, each of which stands for a machine, are filled by sessions that are killed,
or that end because their time is up and hand their files on. In the end all files together must hold the same units,
models and trials as the first store, each once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path

import tests.benchmarks.campaign.__main__ as campaign
from unlearn_bench.harness.store.store import Store

TRACK = """
extends = "digits-resnet18"

[splits]
seed = {seed}
retain = 192
forget = 64
val = 64
test = 128

[recipe]
epochs = 2
batch_size = 64

[protocol]
seeds = 2
lira_splits = 4
lira_forget_sets = 2

[analysis]
max_epochs = 2
tuning_seeds = 1
"""
LOG = "log.txt"
KINDS = ("units", "shadow-units", "shadows", "tuned")
"""Documents that must be there under the same names as without a break; except Retrain's, which are kept where
nothing disturbed them."""


@dataclass(frozen=True)
class Contents:
    """What a store holds of a campaign."""

    documents: frozenset[str]
    models: frozenset[str]
    units: Counter[tuple[str, str, int]]
    """How many records there are of a track, a method and a seed."""
    trials: Counter[str]
    """Finished trials by journal."""


def contents(root: Path) -> Contents:
    """Read what a store holds."""
    store = Store(root, behind=None)
    documents = [(f"{kind}/{name}", content) for kind in KINDS for name, content in store.all(kind)]
    names = frozenset(name for name, content in documents if content.get("name") != "retrain")
    manifests = dict(store.all("references"))
    models = frozenset(f"{digest}/{role}" for digest, manifest in manifests.items() for role in manifest["roles"])
    units = Counter((record["track"], record["name"], record["seed"]) for _, record in store.all("units"))
    return Contents(names, models, units, Counter({path.stem: finished(path) for path in root.rglob("*.journal")}))


def finished(journal: Path) -> int:
    """Return how many trials of a journal ended with a value; state 1 is Optuna's for these."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return sum(line.get("state") == 1 and "values" in line for line in lines)


def differences(expected: Contents, found: Contents) -> list[str]:
    """Return what is missing, in excess or there twice."""
    problems = []
    for title in ("documents", "models"):
        wanted, there = getattr(expected, title), getattr(found, title)
        problems += [f"missing: {name}" for name in sorted(wanted - there)]
        problems += [f"in excess: {name}" for name in sorted(there - wanted)]
    problems += [f"{count} records of {unit}" for unit, count in found.units.items() if count != 1]
    if expected.trials != found.trials:
        problems.append(f"trials: {dict(found.trials)}, not {dict(expected.trials)}")
    return problems


@dataclass(frozen=True)
class Trial:
    """A campaign on tiny tracks, below one folder."""

    folder: Path
    arguments: tuple[str, ...]

    def start(self, home: Path, *more: str) -> ForkProcess:
        """Start a session on the machine whose store is ``home``."""
        process = multiprocessing.get_context("fork").Process(target=self._be, args=(home, [*self.arguments, *more]))
        process.start()
        return process

    def session(self, home: Path, *more: str) -> None:
        """Run a session to its end.

        Raises:
            RuntimeError: it failed.
        """
        process = self.start(home, *more)
        process.join()
        if process.exitcode:
            raise RuntimeError(f"a session ended with exit code {process.exitcode}; see {self.folder / LOG}")

    def killed(self, home: Path, after: float, *more: str) -> bool:
        """Start a session, kill it after some seconds, and return whether it was still running."""
        process = self.start(home, *more)
        process.join(after)
        running = process.is_alive()
        process.kill()
        process.join()
        return running

    def _be(self, home: Path, arguments: Sequence[str]) -> None:
        os.environ |= {"BENCH_HOME": str(home), "BENCH_LOCKS": str(self.folder / "locks")}
        with (self.folder / LOG).open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        campaign.main(arguments)


@dataclass(frozen=True)
class Breaks:
    """How a campaign is interrupted."""

    machines: int
    """How many machines have a session that ends in the middle, before the last one."""
    kills: int
    """How often the sessions of each are killed before."""
    seconds: tuple[float, float]
    """The shortest and the longest time until a kill, and until a session is over."""
    seed: int | None = None
    """Of the random moments."""


def drive(trial: Trial, breaks: Breaks) -> list[str]:
    """Fill a store without a break, and others with breaks; return how they differ."""
    began = time.monotonic()
    trial.session(trial.folder / "whole", "--minutes", "600")
    print(f"without a break: {time.monotonic() - began:.0f} s", flush=True)
    return differences(contents(trial.folder / "whole"), contents(interrupted(trial, breaks)))


def interrupted(trial: Trial, breaks: Breaks) -> Path:
    """Work with kills on one machine after the other; return a store with the files of all."""
    rng, folder = random.Random(breaks.seed), trial.folder
    files: list[str] = []
    for machine in range(breaks.machines):
        home, out = folder / f"machine-{machine}", folder / f"files-{machine}"
        options = ["--from", *files[-1:], "--out", str(out)]
        moments = [rng.uniform(*breaks.seconds) for _ in range(breaks.kills + 1)]
        hit = sum(trial.killed(home, moment, "--minutes", "600", *options) for moment in moments[1:])
        trial.session(home, "--minutes", f"{moments[0] / 60:.3f}", *options)
        files.append(str(out))
        print(f"machine {machine}: {hit} kills, {len(contents(home).documents)} documents by now", flush=True)
    last = str(folder / f"files-{breaks.machines}")
    trial.session(folder / f"machine-{breaks.machines}", "--from", *files[-1:], "--minutes", "600", "--out", last)
    trial.session(folder / "home", "--from", *files, last, "--minutes", "600")  # rows of U-LiRA need all files
    return folder / "home"


def write_tracks(folder: Path, count: int) -> list[str]:
    """Write tiny tracks into a folder; return their paths."""
    paths = [folder / f"dry-{number}.toml" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(TRACK.format(seed=number))
    return [str(path) for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.campaign.dry_run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--kills", type=int, default=2, help="on each of them")
    parser.add_argument("--tracks", type=int, default=2, help="how many")
    parser.add_argument("--methods", nargs="+", default=["ft", "ga", "salun"])
    parser.add_argument("--seconds", type=float, nargs=2, default=(15.0, 60.0), help="range of the random moments")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--sandbox", default="process")
    parser.add_argument("--folder", type=Path, help="where stores and the log are kept; default: nowhere")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="campaign-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        arguments = ["--tracks", *write_tracks(folder, options.tracks), "--methods", *options.methods, "--trials", "2"]
        arguments += ["--sandbox", options.sandbox]
        breaks = Breaks(options.machines, options.kills, tuple(options.seconds), options.seed)
        problems = drive(Trial(folder, tuple(arguments)), breaks)
    print("\n".join(problems) or "the same units, models and trials, each once")
    raise SystemExit(1 if problems else 0)


if __name__ == "__main__":
    main()
