"""The part of the library that reads: tracks, boards, entries, references and outputs, from what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.tracks import DEFAULT_TRACK

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.results.attack_panel import AttackNumber
    from unlearn_bench.harness.results.curves import Curves
    from unlearn_bench.harness.results.entry_details import EntryDetails, PublicDetails
    from unlearn_bench.harness.results.outputs import OutputScores
    from unlearn_bench.harness.tracks.specification import Track
    from unlearn_bench.harness.workflows.rescore import AttackScores, Rescored


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

    return load_track(name, optional_path(secret))


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

    return leaderboard(track, optional_path(secret), public=public).rows


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

    return show(name, track, optional_path(secret), organiser=organiser)


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

    tests = compare_all(names, [track] if isinstance(track, str) else track, optional_path(secret))
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


def optional_path(path: str | PathLike[str] | None) -> Path | None:
    """Return a path that may be absent, and may be given as a string, as a path."""
    return None if path is None else Path(path)
