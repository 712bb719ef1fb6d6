"""Plots of boards and entries with matplotlib, for papers and notebooks: what the site draws, as figures.

Every function draws into ``ax``, or into a new figure, and returns the axes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from unlearn_bench.harness.report.cells import group
from unlearn_bench.harness.report.site.board_plots import MOST, free_spot, pareto, shortened, ulira_rows
from unlearn_bench.harness.report.site.entry_plots import LABELS, LIMIT
from unlearn_bench.harness.report.site.page_data import LETTERS
from unlearn_bench.harness.report.site.svg import WIDTH
from unlearn_bench.harness.results.badges import UNRANKED
from unlearn_bench.harness.results.board_entries import REFERENCES
from unlearn_bench.harness.results.curves import Curves
from unlearn_bench.harness.results.relearning import RelearningCurve
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError
from unlearn_bench.scoring.curves import EDGES, FPR
from unlearn_bench.scoring.forgetting import Share
from unlearn_bench.scoring.group_membership import FORGETTING
from unlearn_bench.scoring.intervals import mean_interval
from unlearn_bench.scoring.metric_table import grouped, metric_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

INK, MARK, OTHER, SOFT, BAND = "#1f2328", "#0550ae", "#a40e26", "#59636e", "#d7e8d4"
GROUP_COLOURS = {"G1": "#b7dfb9", "G2": "#f3e3a2", "G3": "#f0c19a", "F": "#e5a3a3"}
LINES = {"own": (MARK, "-"), "original": (OTHER, "--"), "retrained": (INK, ":")}
METHODS = ("#0550ae", "#bc6c00", "#1a7f37", "#8250df", "#0a7ea4")
"""Colours of the lines of several methods in one plot."""
ROW = 0.24
"""Inches that a method takes in a plot with one line per method."""


def trade_off(board: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw RetDev against what is left of F: lower left is best.

    The area of a point is the speed-up over retraining; the dashed line is the Pareto front of the methods with a
    position; reference rows are red.

    Args:
        board: as :func:`unlearn_bench.board` returns it.
        ax: where to draw; default: a new figure.

    Raises:
        BenchError: no row with a position has both numbers.
    """
    rows = board[board["retdev"].notna() & board[FORGETTING].notna() & ~board["state"].isin(UNRANKED)]
    ranked = rows[rows["position"].notna()]
    if ranked.empty:
        raise _nothing("no method on this board has a RetDev, a Forgetting and a position", "run baselines first")
    ax = _axes(ax, 4.4)
    front = pareto([(float(x), float(y)) for x, y in zip(ranked["retdev"], ranked[FORGETTING], strict=True)])
    ax.step(*zip(*front, strict=True), where="post", color=SOFT, linestyle="--", linewidth=1)
    speeds = rows["rte"].fillna(1.0).clip(lower=0.1).to_numpy(float)
    radii = np.clip(4.0 * np.sqrt(speeds), 3.0, 16.0)
    colours = [OTHER if state == "reference" else MARK for state in rows["state"]]
    points = 72 / 100  # of one pixel where the figure has 100 to an inch
    ax.scatter(rows["retdev"], rows[FORGETTING], s=(2 * radii * points) ** 2, c=colours, alpha=0.75, linewidths=0)
    ax.set_xlim(-0.01, float(rows["retdev"].max()) * 1.08 + 0.01)
    ax.set_ylim(-0.05, max(1.0, float(rows[FORGETTING].max())) * 1.05)
    ax.set_xlabel("RetDev (low is better)")
    ax.set_ylabel("left of F (low is better)")
    if len(rows) <= MOST:
        _name_points(ax, rows, radii)
    return ax


def panel(shares: Sequence[Share], ax: Axes | None = None) -> Axes:
    """Draw what every attack and probe finds of an entry, from its null (0) to Original (1), with 95 % intervals.

    The intervals of those that cannot clear a retrained model are dotted.

    Args:
        shares: as ``unlearn_bench.scoring.forgetting.shares`` returns them.
        ax: where to draw; default: a new figure.

    Raises:
        BenchError: no attack finds Original.
    """
    if not shares:
        raise _nothing("no attack tells this track's originals from retrained models", "choose another track")
    ax = _axes(ax, 0.9 + ROW * len(shares))
    ax.axvline(0.0, color=SOFT, linewidth=0.8)
    ax.axvline(1.0, color=OTHER, linewidth=0.8)
    for place, share in enumerate(shares):
        style = "-" if share.clears else ":"
        ax.plot([share.low, share.high], [place, place], color=MARK, linewidth=1.5, linestyle=style)
        ax.plot([share.value], [place], marker="o", markersize=4, color=MARK)
    _methods(ax, [share.attack for share in shares])
    ax.set_xlim(max(ax.get_xlim()[0], -LIMIT), min(ax.get_xlim()[1], LIMIT))
    ax.set_xlabel("0: a second retrained model · 1: Original")
    return ax


def relearning(curves: Mapping[str, RelearningCurve], ax: Axes | None = None) -> Axes:
    """Draw how the accuracy on F changes while models are trained on R, means over the seeds with 95 % intervals.

    Drawn are Original, Retrain, and the five methods whose accuracy rises most.

    Args:
        curves: by row, as ``harness.results.relearning.curves`` returns them.
        ax: where to draw; default: a new figure.

    Raises:
        BenchError: the probe has looked at no method.
    """
    methods = sorted((name for name in curves if name not in REFERENCES), key=lambda name: -_rise(curves[name]))
    if not methods:
        raise _nothing("no method has been looked at by the relearning probe", "run `bench baselines --probes`")
    ax = _axes(ax, 4.4)
    styles: dict[str, dict[str, Any]] = {name: {"color": c} for name, c in zip(methods, METHODS, strict=False)}
    styles |= {
        "original": {"color": OTHER, "linestyle": "--"},
        "retrain": {"color": INK, "linestyle": ":"},
    }
    for name in (name for name in styles if name in curves):
        curve = curves[name]
        intervals = [mean_interval(column) for column in curve.accuracy.T]
        means = [interval.mean for interval in intervals]
        (drawn,) = ax.plot(curve.steps, means, marker="o", markersize=3, label=name, **styles[name])
        if len(curve.accuracy) > 1:
            low, high = zip(*((i.mean - i.half_width, i.mean + i.half_width) for i in intervals), strict=True)
            ax.fill_between(curve.steps, low, high, color=drawn.get_color(), alpha=0.12, linewidth=0)
    ax.set_xlabel("steps of training on R")
    ax.set_ylabel("accuracy on F")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8, frameon=False)
    return ax


def _rise(curve: RelearningCurve) -> float:
    return float((curve.accuracy[:, -1] - curve.accuracy[:, 0]).mean())


def ulira(board: pd.DataFrame, null: Mapping[str, float] | None = None, ax: Axes | None = None) -> Axes:
    """Draw U-LiRA's accuracy per method with its 95 % interval over pairs of splits, best first; .5 is chance.

    Args:
        board: as :func:`unlearn_bench.board` returns it.
        null: what a second retrained model reads, with ``ulira_low`` and ``ulira_high``: the band, which is shaded, in
            which 95 % of perfect unlearners lie.
        ax: where to draw; default: a new figure.

    Raises:
        BenchError: no row has run U-LiRA.
    """
    ordered = sorted(ulira_rows(board), key=lambda row: (row[2], row[0]))[:MOST]
    if not ordered:
        raise _nothing("no row of this board has run U-LiRA", "run `bench baselines --lira`")
    ax = _axes(ax, 0.9 + ROW * len(ordered))
    if null is not None and "ulira_low" in null:
        ax.axvspan(null["ulira_low"], null["ulira_high"], color=BAND, linewidth=0)
    ax.axvline(0.5, color=SOFT, linewidth=0.8)
    for place, (_, reference, mean, low, high) in enumerate(ordered):
        colour = OTHER if reference else MARK
        ax.plot([low, high], [place, place], color=colour, linewidth=1.5)
        ax.plot([mean], [place], marker="o", markersize=4, color=colour)
    _methods(ax, [row[0] for row in ordered])
    ax.set_xlabel("accuracy of U-LiRA: forgotten against never seen")
    return ax


def seeds(rows: pd.DataFrame, metric: str = "retdev", ax: Axes | None = None) -> Axes:
    """Draw a metric of every seed, one line per method, by its mean: how far a mean can be relied on.

    Args:
        rows: as :func:`unlearn_bench.seed_rows` returns them.
        metric: its name, a column of ``rows``.
        ax: where to draw; default: a new figure.

    Raises:
        BenchError: no seed has a value of this metric.
    """
    finished = rows[(rows["status"] == "ok") & rows[metric].notna()] if metric in rows else rows[:0]
    if finished.empty:
        raise _nothing(f"no seed has a value of {metric!r}", f"choose among {', '.join(rows.columns)}")
    descending = metric_named(metric).better == "high"
    names = list(finished.groupby("entry")[metric].mean().sort_values(ascending=not descending).index[:MOST])
    references = set(finished[finished["kind"] == "reference"]["entry"])
    ax = _axes(ax, 0.9 + ROW * len(names))
    for place, name in enumerate(names):
        values = finished[finished["entry"] == name][metric].to_numpy(float)
        colour = OTHER if name in references else MARK
        ax.plot(values, np.full(len(values), place), "|", color=colour, markersize=8)
    _methods(ax, [str(name) for name in names])
    if metric_named(metric).ratio:
        ax.set_xscale("log")
    ax.set_xlabel(f"{metric_named(metric).title} of every seed")
    return ax


def groups(boards: pd.DataFrame | Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Draw the group of every method by every metric, on one or on several tracks: the paper's Table 1 at a glance.

    Args:
        boards: one board, or several by the names of their tracks.
        ax: where to draw; default: a new figure.

    Raises:
        BenchError: no row is in a group.
    """
    by_track = {"": boards} if isinstance(boards, pd.DataFrame) else boards
    cells = {
        (str(row["entry"]), track, metric.name): letter
        for track, board in by_track.items()
        for row in board.to_dict("records")
        for metric in grouped()
        if (letter := group(row, metric.name)) in LETTERS
    }
    names = list(dict.fromkeys(name for name, _, _ in cells))[:MOST]
    columns = [(t, m.name) for m in grouped() for t in by_track if any(key[1:] == (t, m.name) for key in cells)]
    if not names:
        raise _nothing("no row of this board is in a group", "run baselines first")
    ax = _axes(ax, 1.2 + ROW * len(names) + (0 if len(by_track) == 1 else 1.0))
    for row_place, name in enumerate(names):
        for place, key in enumerate(columns):
            shown = cells.get((name, *key), "–")
            ax.add_patch(_cell(place, row_place, GROUP_COLOURS.get(shown, "#eeeeee")))
            ax.text(place, row_place, shown, ha="center", va="center", fontsize=8, color=INK)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    titles = [metric_named(metric).title + (f"\n{shortened(track)}" if track else "") for track, metric in columns]
    ax.set_xticks(range(len(columns)), titles, rotation=0 if len(by_track) == 1 else 60, fontsize=8)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    _methods(ax, names)
    return ax


def losses(curves: Curves | Mapping[str, Curves], ax: Axes | None = None) -> Axes:
    """Draw the shares of the losses on F and on T, pooled over the seeds: after perfect unlearning both look the same.

    Args:
        curves: of the entry, or as :func:`unlearn_bench.curves` returns them.
        ax: where to draw; default: a new figure.
    """
    own = curves if isinstance(curves, Curves) else curves["own"]
    ax = _axes(ax, 3.0, 4.8)
    for counts, label, colour in ((own.test, "T, never seen", SOFT), (own.forget, "F, forgotten", MARK)):
        shares = np.asarray(counts) / max(sum(counts), 1)
        ax.stairs(shares, 10.0 ** np.asarray(EDGES), label=label, color=colour, linewidth=1.5)
    ax.set_xscale("log")
    used = np.flatnonzero(np.asarray(own.forget) + np.asarray(own.test))
    ax.set_xlim(10.0 ** EDGES[used[0]], 10.0 ** EDGES[used[-1] + 1])
    ax.set_xlabel("cross-entropy loss, nats")
    ax.set_ylabel("share of the examples")
    ax.legend(frameon=False, fontsize=8)
    return ax


def roc(curves: Mapping[str, Curves], ax: Axes | None = None) -> Axes:
    """Draw the ROC curves of U-MIA's attack, "a small loss was forgotten", mean over the seeds, on logarithmic axes.

    Args:
        curves: of the entry (``own``), and perhaps of the ``original`` and the ``retrained`` models, as
            :func:`unlearn_bench.curves` returns them.
        ax: where to draw; default: a new figure.
    """
    smallest = curves["own"].smallest
    ax = _axes(ax, 3.0, 4.8)
    low = 10.0 ** math.floor(math.log10(smallest))
    ax.plot([low, 1], [low, 1], color=SOFT, linewidth=0.8)
    for kind, kind_curves in curves.items():
        colour, style = LINES[kind]
        spots = [(f, max(t, low)) for f, t in zip(FPR, kind_curves.tpr, strict=True) if f >= smallest * 0.999]
        ax.plot(*zip(*spots, strict=True), style, color=colour, linewidth=1.5, label=LABELS[kind])
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low, 1)
    ax.set_ylim(low, 1)
    ax.set_xlabel("false positive rate")
    ax.set_ylabel("true positive rate")
    ax.legend(frameon=False, fontsize=8)
    return ax


def _axes(ax: Axes | None, height: float, width: float = WIDTH / 100) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError:
        remedy = "pip install 'unlearn-bench[plot]'"
        raise BenchError("plots need matplotlib", "this machine", remedy, EXIT_CODES["infra"]) from None
    figure = pyplot.figure(figsize=(width, height), dpi=100, layout="constrained")
    new_axes: Axes = figure.add_subplot()
    return new_axes


def _methods(ax: Axes, names: Sequence[str]) -> None:
    """Label one line per method, the first at the top."""
    ax.set_yticks(range(len(names)), [shortened(name) for name in names], fontsize=8)
    ax.set_ylim(len(names) - 0.5, -0.5)


def _name_points(ax: Axes, rows: pd.DataFrame, radii: np.ndarray) -> None:
    """Write the names of the methods beside their points, where they fit."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # now the axes have their place
    scale, height = 100 / figure.dpi, figure.get_figheight() * 100
    spots = ax.transData.transform(rows[["retdev", FORGETTING]].to_numpy(float)) * scale
    spots[:, 1] = height - spots[:, 1]
    boxes = [(x - r, y - 6, x + r, y + 6) for (x, y), r in zip(spots, radii, strict=True)]
    for name, (x, y), radius in zip(rows["entry"], spots, radii, strict=True):
        if spot := free_spot(str(name), float(x), float(y), float(radius), boxes):
            at = ax.transData.inverted().transform((spot[0] / scale, (height - spot[1]) / scale))
            anchor = {"start": "left", "end": "right", "middle": "center"}[spot[2]]
            ax.text(at[0], at[1], str(name), ha=anchor, va="baseline", fontsize=8)


def _cell(x: float, y: float, colour: str) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colour, linewidth=0)


def _nothing(what: str, remedy: str) -> BenchError:
    return BenchError(what, "your command", remedy, USAGE)
