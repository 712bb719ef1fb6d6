"""The first hour of a newcomer: from a clone to a verdict, mistakes included, with the time of every step.

``python -m tests.benchmarks.first_hour`` clones the repository and runs ``make demo``; with ``--bench PATH`` it uses an
installed command. It ends with exit code 1 if a step fails, if a mistake is not answered with its exit code, what to do
and without a traceback, or if an answer takes more of a processor than ``PATIENCE``.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 10.0
"""CPU seconds that an answer to a mistake may take: seconds on a quiet machine, whatever else runs here."""
METHOD = "def unlearn(model, retain, forget, val, *, lr=0.01):\n    return model\n"
FILES = {
    "good.py": METHOD,
    "syntax.py": "def unlearn(model:\n",
    "nothing.py": "print('hello')\n",
    "few.py": "def unlearn(model): ...\n",
    "foreign.py": "import tensorflow\n" + METHOD,
    "ft.py": METHOD,
    "broken.toml": "[data\n",
    "incomplete.toml": 'extends = "digits-resnet19"\n',
    "misspelt.toml": 'extends = "digits-resnet18"\n[protocol]\nsedes = 3\n',
    "image.npz": "no array",
}
MISTAKES: tuple[tuple[int, str], ...] = (
    (2, "submitt good.py"),
    (2, "submit god.py"),
    (2, "submit ft"),
    (2, "submit ft.py"),
    (2, "submit good.py --track digits-resnet19"),
    (10, "submit good.py --set rate=0.1"),
    (2, "submit good.py --set lr"),
    (2, "submit good.py --seeds 0"),
    (2, "submit good.py --sandbox dokcer"),
    (2, "submit good.py --executor slurm"),
    (20, "submit good.py --gpu 99"),
    (10, "check syntax.py"),
    (10, "check nothing.py"),
    (10, "check few.py"),
    (10, "check foreign.py"),
    (2, "show nobody"),
    (2, "compare good fft"),
    (2, "leaderboard --format excel"),
    (2, "leaderboard --format html"),
    (2, "tracks broken.toml"),
    (2, "tracks incomplete.toml"),
    (2, "tracks misspelt.toml"),
    (20, "prepare cifar10-resnet18"),
    (2, "baselines salum"),
    (2, "tune good.py --trials 1"),
    (2, "score image.npz"),
)
"""Exit code and words of each."""
STEPS = (
    "init my_method.py",
    "check my_method.py",
    "submit my_method.py --seeds 2",
    "submit my_method.py",
    "show my_method",
    "compare my_method ft",
    "leaderboard",
)


@dataclass(frozen=True)
class Answer:
    """What a command said, and how long that took."""

    words: str
    code: int
    seconds: float
    cpu_seconds: float
    output: str

    @property
    def remedy(self) -> str:
        """The line that says what to do."""
        lines = self.output.strip().splitlines()
        return next((line for line in lines if line.startswith(("do:", "Error:"))), lines[-1] if lines else "")


def call(command: Sequence[str | Path], words: str, folder: Path, environment: Mapping[str, str]) -> Answer:
    """Run a command and time it."""
    start, before = time.monotonic(), children_seconds()
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return Answer(words, done.returncode, time.monotonic() - start, children_seconds() - before, done.stdout)


def children_seconds() -> float:
    """Return the CPU seconds of all programs that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def installed(folder: Path, environment: Mapping[str, str]) -> Path:
    """Clone the repository, run the README's first command and return the command ``bench``."""
    clone = folder / "unlearn-bench"
    for words in (["git", "clone", "--quiet", str(ROOT), str(clone)], ["make", "-C", str(clone), "demo"]):
        answer = call(words, " ".join(words[:1] + words[-1:]), folder, environment)
        report(answer, answer.code == 0)
        if answer.code != 0:
            sys.exit(answer.output[-3000:])
        for line in answer.output.splitlines():
            if line.startswith("==") or (" of " in line and "RetDev" in line):
                print(f"      {line}")
    return clone / ".venv" / "bin" / "bench"


def report(answer: Answer, good: bool) -> None:
    """Print a line about an answer."""
    print(
        f"{'ok  ' if good else 'FAIL'}{answer.seconds:7.1f} s {answer.cpu_seconds:7.1f} CPU s  {answer.words}",
        flush=True,
    )


def main() -> None:
    """Run all and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, help="an installed command, in the place of a clone and `make demo`")
    bench = parser.parse_args().bench
    with tempfile.TemporaryDirectory(prefix="first-hour-") as name:
        folder, failed = Path(name), 0
        environment = {**os.environ, "BENCH_HOME": str(folder / "home"), "BENCH_LOCKS": str(folder / "locks")}
        bench = installed(folder, environment) if bench is None else bench.absolute()
        for file, content in FILES.items():
            (folder / file).write_text(content)
        for code, words in MISTAKES:
            answer = call([bench, *words.split()], f"bench {words}", folder, environment)
            good = answer.code == code and "Traceback" not in answer.output and answer.cpu_seconds < PATIENCE
            report(answer, good)
            print(f"      {answer.code}  {answer.remedy[:200]}")
            failed += not good
        for words in STEPS:
            answer = call([bench, *words.split()], f"bench {words}", folder, environment)
            report(answer, answer.code == 0)
            failed += answer.code != 0
    print(f"{len(STEPS) + len(MISTAKES)} commands, {failed} failed")
    sys.exit(min(failed, 1))


if __name__ == "__main__":
    main()
