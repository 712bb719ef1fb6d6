"""The library: the functions of the benchmark for notebooks and scripts, also as ``import unlearn_bench``.

Each function imports what it needs when it is called. Errors are :class:`BenchError`; messages go to the logger
``unlearn_bench``; progress goes to the observer of :class:`RunOptions`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from unlearn_bench.harness.api.stored import (
    board,
    compare,
    curves,
    export,
    load_track,
    optional_path,
    references,
    rescore,
    score,
    seed_rows,
    show,
    tracks,
)
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks import DEFAULT_TRACK

if TYPE_CHECKING:
    from unlearn_bench.harness.api import attack as attack
    from unlearn_bench.harness.api import plot as plot
    from unlearn_bench.harness.entries.entry import Entry
    from unlearn_bench.harness.results.board_entries import BoardEntry
    from unlearn_bench.harness.units.tuning import Objective, SearchChoice, Setting
    from unlearn_bench.harness.workflows.audit import Audited
    from unlearn_bench.harness.workflows.baselines import BaselinesRun
    from unlearn_bench.harness.workflows.prepare import Prepared
    from unlearn_bench.harness.workflows.submit import Submitted
    from unlearn_bench.harness.workflows.verify import Verified

__all__ = [
    "BenchError",
    "RunOptions",
    "attack",
    "audit",
    "board",
    "check",
    "compare",
    "curves",
    "evaluate",
    "export",
    "load_track",
    "plot",
    "prepare",
    "promote",
    "references",
    "rescore",
    "run_baselines",
    "score",
    "seed_rows",
    "show",
    "tracks",
    "tune",
    "verify",
]


MODULES = ("attack", "plot")


def __getattr__(name: str) -> ModuleType:
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def check(path: str | PathLike[str]) -> Entry:
    """Check a submission without running it, and return what it declares.

    Raises:
        BenchError: what is wrong with it.
    """
    from unlearn_bench.harness.entries.entry import read

    return read(Path(path))


def evaluate(
    method: Callable[..., Any] | str | PathLike[str],
    track: str = DEFAULT_TRACK,
    options: RunOptions | None = None,
    *,
    name: str | None = None,
    seeds: int | None = None,
    sandbox: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    lira: bool = False,
    swap: bool = False,
    probes: bool = False,
) -> Submitted:
    """Run an unlearning method on the models of a track, score it, and return it with its place on the board.

    A **file** goes through the sandbox as ``bench submit`` sends it, and its results are stored. A **function**
    ``unlearn(model, retain, forget, val, *, …)`` runs in this process: without isolation, and without a clock, so that
    it has no speed (``rte``) and no group in it. Its row is on the returned board and nothing of it is stored. What
    it raises reaches you; random generators stay as they were.

    Args:
        method: the function, or the path of a submission.
        track: a track's name, or the path of a TOML file. Reference models that are missing are trained.
        options: how to run it.
        name: of a function on the board; default: its own.
        seeds: run only the first so many model seeds; a position needs all.
        sandbox: of a file, the back end; default: that of ``options``.
        parameters: hyper-parameters, in the place of its defaults.
        lira: also run its shadow units, for U-LiRA, KLoM and ε.
        swap: also run its swapped units.
        probes: of a file, also run the probes on its models.

    Raises:
        BenchError: the method breaks the contract of submissions, or the machine failed. A unit of a file that failed
            is reported in the result, as ``failure``.
    """
    options = options or RunOptions()
    if callable(method):
        from unlearn_bench.harness.workflows import evaluate

        if sandbox is not None:
            what = "a function runs in this process and in no sandbox"
            raise BenchError(what, "your command", "write it to a file and pass the file's path", USAGE)
        if probes:
            what = "of a function no weights are kept, which probes look at"
            raise BenchError(what, "your command", "write it to a file and pass the file's path", USAGE)
        given: dict[str, Any] = {"seeds": seeds, "parameters": parameters, "lira": lira, "swap": swap}
        return evaluate.evaluate(method, track, options, name=name, **given)
    from unlearn_bench.harness.workflows.submit import submit

    if name is not None:
        what = "a file has the name that it is called by"
        raise BenchError(what, "your command", "leave name=… out, or rename the file", USAGE)
    options = options if sandbox is None else replace(options, sandbox=sandbox)
    given = {"seeds": seeds, "parameters": parameters, "lira": lira, "swap": swap, "probes": probes}
    return submit(Path(method), track, options, **given)


def run_baselines(
    names: Sequence[str] = (),
    track: str = DEFAULT_TRACK,
    options: RunOptions | None = None,
    *,
    lira: bool = False,
    swap: bool = False,
    probes: bool = False,
) -> BaselinesRun:
    """Run shipped methods and score them; see :func:`harness.workflows.baselines.run_baselines`."""
    from unlearn_bench.harness.workflows.baselines import run_baselines

    return run_baselines(names, track, options or RunOptions(), lira=lira, swap=swap, probes=probes)


def prepare(
    track: str = DEFAULT_TRACK,
    options: RunOptions | None = None,
    *,
    workers: int | None = None,
    gpus: Sequence[int] = (),
    in_flight: int | None = None,
    download: bool = False,
    lira: bool = False,
    swap: bool = False,
    fetch: str | None = None,
    manifest: str | PathLike[str] | None = None,
    train: bool = True,
    from_scratch: bool = False,
) -> Prepared:
    """Train or fetch the reference models of a track; see :func:`harness.workflows.prepare.prepare`."""
    from unlearn_bench.harness.workflows.prepare import prepare

    return prepare(
        track,
        options or RunOptions(),
        workers=workers,
        gpus=gpus,
        in_flight=in_flight,
        download=download,
        lira=lira,
        swap=swap,
        fetch=fetch,
        manifest=optional_path(manifest),
        train=train,
        from_scratch=from_scratch,
    )


def promote(name: str, track: str = DEFAULT_TRACK, secret: str | PathLike[str] | None = None) -> BoardEntry:
    """Let a complete version of an entry be its row until another one is promoted.

    See :func:`harness.workflows.versions.promote`. ``bench show NAME --versions`` lists the versions.

    Args:
        name: ``NAME@VERSION``, or the name of an entry for its complete version that ran last.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.

    Returns:
        The version that stands now.

    Raises:
        BenchError: no such entry or version, one that is not complete, or one of a shipped method.
    """
    from unlearn_bench.harness.workflows.versions import promote

    return promote(name, track, optional_path(secret))


def tune(
    names: Sequence[str],
    track: str = DEFAULT_TRACK,
    options: RunOptions | None = None,
    *,
    trials: int | None = None,
    objective: Objective = "paper",
    setting: Setting = "seed",
    export: str | PathLike[str] | None = None,
) -> Iterator[SearchChoice]:
    """Search hyper-parameters, and yield the choice for each entry; see :func:`harness.workflows.tune.tune`."""
    from unlearn_bench.harness.workflows.tune import tune

    options = options or RunOptions()
    return tune(
        names, track, options, trials=trials, objective=objective, setting=setting, export=optional_path(export)
    )


def audit(
    name: str,
    track: str = DEFAULT_TRACK,
    options: RunOptions | None = None,
    *,
    seeds: int = 5,
    parameters: Mapping[str, Any] | None = None,
    redraw: bool = False,
) -> Audited:
    """Run an entry on fresh splits and models; see :func:`harness.workflows.audit.audit`."""
    from unlearn_bench.harness.workflows.audit import audit

    return audit(name, track, options or RunOptions(), seeds=seeds, parameters=parameters, redraw=redraw)


def verify(name: str, seed: int, track: str = DEFAULT_TRACK, options: RunOptions | None = None) -> Verified:
    """Run a published unit again and judge the difference; see :func:`harness.workflows.verify.verify`."""
    from unlearn_bench.harness.workflows.verify import verify

    return verify(name, seed, track, options or RunOptions())
