"""What the commands that run entries have in common: references, sandbox, slots, and the ends of a run."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import click

from harness import runs
from harness.entries import Entry, baseline, read
from harness.errors import EXIT_CODES, USAGE, BenchError, Owner
from harness.evaluate import Bench
from harness.executors import local
from harness.progress import UnitProgress
from harness.references import References
from harness.store import Store
from harness.track import Track
from harness.units import Record, Unit
from sandbox import backends

BLAME: dict[str, tuple[Owner, str]] = {
    "invalid": ("your method", "return a model of the same architecture with finite weights; see submissions/RULES.md"),
    "crash": ("your method", "mend the error above; `bench check` and the log help"),
    "oom": ("your method", "use less memory: smaller batches, torch.no_grad() where no gradient is needed"),
    "timeout": ("your method", "do less: the deadline is twice Retrain's time, or a minute if that is longer"),
    "infra": ("this machine", "run `bench doctor`, then the same command again: it goes on where it stopped"),
}


def open_references(track: Track) -> References:
    """A track's references, trained where they lack and every file read against its digest."""
    import torch

    from harness.commands.prepare import train_missing

    torch.set_num_threads(1)
    references = References(track, Store())
    train_missing(references)
    for _ in references.verify():  # a damaged file is named before anything runs
        pass
    return references


def find_entry(name: str) -> Entry:
    """A submission by its path, or a shipped method by its name."""
    return read(Path(name)) if name.endswith(".py") else baseline(name)


def nothing_to_tune(entry: Entry) -> BenchError:
    return BenchError(
        f"{entry.name} declares no SEARCH_SPACE", "your method", "declare one; see submissions/README.md", USAGE
    )


def open_bench(track: Track, sandbox: str, gpu: int | None) -> tuple[Bench, str]:
    """References (trained where they lack) and the sandbox, with one line that says which it is.

    Raises:
        BenchError: no usable sandbox, a data set that is missing, a damaged store.
    """
    device = "cpu" if gpu is None else f"cuda:{gpu}"
    try:
        backend, line = backends.choose(sandbox, track.model_spec, device)
    except backends.SandboxUnavailable as error:
        raise BenchError(error.what, "this machine", error.remedy, EXIT_CODES["infra"]) from None
    backend.reap()
    return Bench(open_references(track), backend, run_id=secrets.token_hex(8)), line


def execute(bench: Bench, todo: Sequence[Unit], gpu: int | None, resume: str) -> list[Record]:
    """Run units with progress. Ctrl-C stops what runs, keeps what is finished and says how to go on."""
    if not todo:
        return []
    slots = local.timed_slots(bench.references.store, "cpu" if gpu is None else f"cuda:{gpu}")
    try:
        return runs.run(bench, todo, slots, UnitProgress())
    except KeyboardInterrupt:
        click.echo(f"\nstopped; finished units are kept. Go on with: {resume}", err=True)
        raise click.exceptions.Exit(130) from None


def failure(store: Store, entry: Entry, record: Record) -> BenchError:
    """The three lines and the exit code for a unit that failed, with its log in a file."""
    whose, remedy = BLAME[record.status]
    log = _write_log(store, record) if record.log else ""
    what = f"{entry.name}, seed {record.seed}: {record.status}: {record.reason}"
    return BenchError(what, whose, remedy, EXIT_CODES[record.status], log)


def _write_log(store: Store, record: Record) -> str:
    from harness.store import write_file

    path: Path = store.root / "logs" / f"{record.name}-seed{record.seed}-{record.key[:8]}.txt"
    write_file(path, record.log.encode() + b"\n")
    return str(path)
