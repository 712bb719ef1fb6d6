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

from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks import DEFAULT_TRACK

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from unlearn_bench.harness.api import attack as attack
    from unlearn_bench.harness.api import plot as plot
    from unlearn_bench.harness.entries.entry import Entry
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.results.attack_panel import AttackNumber
    from unlearn_bench.harness.results.curves import Curves
    from unlearn_bench.harness.results.entry_details import EntryDetails, PublicDetails
    from unlearn_bench.harness.results.outputs import OutputScores
    from unlearn_bench.harness.tracks.specification import Track
    from unlearn_bench.harness.units.tuning import Objective, SearchChoice, Setting
    from unlearn_bench.harness.workflows.audit import Audited
    from unlearn_bench.harness.workflows.baselines import BaselinesRun
    from unlearn_bench.harness.workflows.prepare import Prepared
    from unlearn_bench.harness.workflows.rescore import AttackScores, Rescored
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
    "load_track",
    "plot",
    "prepare",
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


def tracks() -> list[str]:
    """Return the names of the tracks that ship with the benchmark."""
    from unlearn_bench.harness.tracks.loading import track_names

    return track_names()


def load_track(name: str = DEFAULT_TRACK, secret: str | PathLike[str] | None = None) -> Track:
    """Return a shipped track by its name, or any track by the path of its TOML file.

    Raises:
        BenchError: unknown name, or an invalid file; a sealed track without its ``secret``.
    """
    from unlearn_bench.harness.tracks.loading import load_track

    return load_track(name, _path(secret))


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
        given: dict[str, Any] = {"seeds": seeds, "parameters": parameters, "lira": lira, "swap": swap}
        return evaluate.evaluate(method, track, options, name=name, **given)
    from unlearn_bench.harness.workflows.submit import submit

    if name is not None:
        what = "a file has the name that it is called by"
        raise BenchError(what, "your command", "leave name=… out, or rename the file", USAGE)
    options = options if sandbox is None else replace(options, sandbox=sandbox)
    return submit(Path(method), track, options, seeds=seeds, parameters=parameters, lira=lira, swap=swap)


def run_baselines(
    names: Sequence[str] = (),
    track: str = DEFAULT_TRACK,
    options: RunOptions | None = None,
    *,
    lira: bool = False,
    swap: bool = False,
) -> BaselinesRun:
    """Run shipped methods and score them; see :func:`harness.workflows.baselines.run_baselines`."""
    from unlearn_bench.harness.workflows.baselines import run_baselines

    return run_baselines(names, track, options or RunOptions(), lira=lira, swap=swap)


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
        manifest=_path(manifest),
        train=train,
        from_scratch=from_scratch,
    )


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
    return tune(names, track, options, trials=trials, objective=objective, setting=setting, export=_path(export))


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


def board(
    track: str = DEFAULT_TRACK, secret: str | PathLike[str] | None = None, *, public: bool = False
) -> pd.DataFrame:
    """Return the board of a track, one row per entry with the columns of ``docs/columns.md``; nothing is run.

    Args:
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        public: rank only rows whose units come from trusted back ends.

    Raises:
        BenchError: unknown track, or a damaged store.
    """
    from unlearn_bench.harness.workflows.leaderboard import leaderboard

    return leaderboard(track, _path(secret), public=public).rows


def seed_rows(track: str = DEFAULT_TRACK) -> pd.DataFrame:
    """Return what the board of a track is made of: one row per entry and model seed, with every metric.

    Raises:
        BenchError: unknown track, a damaged store, or a sealed track, of which no single unit is shown.
    """
    from unlearn_bench.harness.workflows.leaderboard import seed_rows

    return seed_rows(track)


def curves(name: str, track: str = DEFAULT_TRACK) -> Mapping[str, Curves]:
    """Return the losses and ROC curves of an entry (``own``), of the ``original`` and of the ``retrained`` models.

    For :func:`unlearn_bench.plot.losses` and :func:`unlearn_bench.plot.roc`.

    Raises:
        BenchError: unknown track or entry, a sealed track, or an entry whose logits are not stored.
    """
    from unlearn_bench.harness.workflows.leaderboard import entry_curves

    return entry_curves(name, track)


def references(track: str = DEFAULT_TRACK, secret: str | PathLike[str] | None = None) -> References:
    """Return the examples and the reference models of a track, as far as they are stored; nothing is trained.

    ``references.examples`` has the images, the labels [n] and ``parts(seed)``, the indices of R, F, V and T. A model
    is named by its role: ``references.logits(Role("retrained", 0))`` are the logits [n, classes] of that of seed 0.
    :func:`prepare` trains or fetches what ``references.missing()`` lists.

    Raises:
        BenchError: unknown track, or a damaged store.
    """
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.store.store import Store

    return References(load_track(track, secret), Store())


def score(arrays: Mapping[str, NDArray[Any]] | str | PathLike[str]) -> OutputScores | list[AttackNumber]:
    """Return every number that outputs of your own models allow, with nulls and intervals; no track is needed.

    Args:
        arrays: a dictionary of arrays, or an ``.npz`` file of them. Logits: ``labels``, ``split``, ``original``,
            ``retrained``, ``unlearned``, and perhaps ``null``, as :func:`harness.results.outputs.outputs` describes
            them. Shadow models: ``labels``, and φ [n, pairs] under the names of
            :class:`scoring.evidence.ShadowEvidence`, which give U-LiRA, KLoM and ε.

    Returns:
        The metrics and attacks of logits; of shadow models the numbers of each attack.

    Raises:
        BenchError: an array is missing, or does not belong to the others.
    """
    from unlearn_bench.harness.results import outputs

    given = arrays if isinstance(arrays, Mapping) else outputs.read(Path(arrays))
    if "forgotten" in given:
        return outputs.shadow_score(outputs.shadow_evidence(given))
    return outputs.score(outputs.outputs(given))


def show(
    name: str,
    track: str = DEFAULT_TRACK,
    secret: str | PathLike[str] | None = None,
    *,
    organiser: bool = False,
) -> EntryDetails | PublicDetails:
    """Return everything about an entry; see :func:`harness.workflows.show.show`."""
    from unlearn_bench.harness.workflows.show import show

    return show(name, track, _path(secret), organiser=organiser)


def compare(
    *names: str, track: str | Sequence[str] = DEFAULT_TRACK, secret: str | PathLike[str] | None = None
) -> pd.DataFrame:
    """Return paired t-tests between entries over their seeds: one row per metric, track and pair of entries.

    Columns: ``metric``, ``track``, ``a``, ``b``; the means ``mean_a`` and ``mean_b`` (geometric for a ratio);
    ``change``, a − b or a / b, with its 95 % interval ``low`` to ``high`` over ``n`` seeds (U-LiRA: pairs of splits);
    ``p``, ``p_holm``, adjusted for the number of rows by Holm's method; and ``better``, the entry that is better by it.

    Args:
        names: of two entries or more, each on the board of every track.
        track: one or several, each a track's name or the path of a TOML file.
        secret: of sealed tracks; default: ``BENCH_SECRETS``.

    Raises:
        BenchError: fewer than two entries, an unknown track or entry, or two without a finished seed in common.
    """
    import pandas as pd

    from unlearn_bench.harness.workflows.show import compare_all

    tests = compare_all(names, [track] if isinstance(track, str) else track, _path(secret))
    rows = [
        {
            "metric": test.metric,
            "track": test.track,
            "a": test.a,
            "b": test.b,
            "mean_a": test.difference.a,
            "mean_b": test.difference.b,
            "change": test.difference.change.mean,
            "low": test.difference.change.low,
            "high": test.difference.change.high,
            "n": test.difference.change.n,
            "p": test.p,
            "p_holm": test.p_holm,
            "better": test.better,
        }
        for test in tests
    ]
    return pd.DataFrame(rows)


def rescore(
    track: str = DEFAULT_TRACK,
    attack: str | PathLike[str] | None = None,
    options: RunOptions | None = None,
) -> Rescored | AttackScores:
    """Compute every metric again, or score every entry with an ``attack``: a file, which is run, or a name.

    See :func:`harness.workflows.rescore.rescore` and :func:`harness.workflows.rescore.score_with`.
    """
    from unlearn_bench.harness.workflows import rescore

    options = options or RunOptions()
    if attack is None:
        return rescore.rescore(track, options.secret, options.observer)
    return rescore.score_with(str(attack), track, options.secret, options.observer)


def _path(path: str | PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)
