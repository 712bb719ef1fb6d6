"""Plots of an entry: the panel, its seeds, relearning, losses on F against T, and ROC curves of U-MIA's attack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from markupsafe import Markup

from unlearn_bench.harness.report.site.page_data import Seed
from unlearn_bench.harness.report.site.svg import across, line, linear, picture, steps, tag, text, up
from unlearn_bench.harness.results.curves import Curves
from unlearn_bench.harness.results.relearning import RelearningCurve
from unlearn_bench.scoring.curves import EDGES, FPR
from unlearn_bench.scoring.forgetting import Share
from unlearn_bench.scoring.metric_table import shown

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 480, 300, 52, 30, 250
PANEL_LEFT, ROW, LIMIT = 170, 20, 3.0
"""Of the panel: where its scale begins, the height of a line, and where long intervals are cut."""
LABELS = {"own": "this entry", "original": "Original", "retrained": "Retrain"}


def panel(shares: Sequence[Share]) -> Markup:
    """Draw what every attack and probe finds, from its null (0) to Original (1), with its interval; strongest first.

    The intervals of those that cannot clear a retrained model are dashed.
    """
    height = 64 + ROW * len(shares)
    low = min(-0.25, *(max(share.low, -LIMIT) for share in shares))
    high = max(1.25, *(min(share.high, LIMIT) for share in shares))
    x, bottom = linear(low, high, PANEL_LEFT, WIDTH - 12), height - 44
    ticks = steps(low, high, 5)
    parts = across(x, ticks, 8, bottom, [f"{tick:g}" for tick in ticks])
    parts += [line(x(at), 8, x(at), bottom, kind) for at, kind in ((0.0, "mark"), (1.0, "other"))]
    for place, share in enumerate(shares):
        y = 8 + ROW * (place + 0.5)
        ends = [x(min(max(end, low), high)) for end in (share.low, share.high)]
        parts.append(text(PANEL_LEFT - 8, y + 4, share.attack, "end"))
        dashes = {} if share.clears else {"stroke_dasharray": "2 3"}
        parts.append(line(ends[0], y, ends[1], y, "mark", stroke_width=2, **dashes))
        parts.append(tag("circle", class_="mark", cx=x(min(max(share.value, low), high)), cy=y, r=3.5))
    parts.append(text(WIDTH / 2, height - 8, "0: a second retrained model · 1: Original", "middle", soft=True))
    return picture("What every attack and probe finds of the entry", height, parts, width=WIDTH)


def seeds(units: Sequence[Seed], scales: Mapping[str, tuple[float, float]]) -> Markup | None:
    """Draw what the metrics of every seed read, a line each; ``scales``: metric → what the null and Original read."""
    lines = []
    for metric in shown("seeds page"):
        values = [value for unit in units if (value := unit.numbers.get(metric.name)) is not None]
        if (metric.better or metric.attack) and metric.name in scales and values:
            null, original = scales[metric.name]
            lines.append((metric, values, [(value - null) / (original - null) for value in values]))
    if not lines:
        return None
    height = 64 + ROW * len(lines)
    drawn = [min(max(share, -LIMIT), LIMIT) for _, _, shares in lines for share in shares]
    low, high = min(-0.25, *drawn), max(1.25, *drawn)
    x, bottom = linear(low, high, PANEL_LEFT, WIDTH - 12), height - 44
    ticks = steps(low, high, 5)
    parts = across(x, ticks, 8, bottom, [f"{tick:g}" for tick in ticks])
    parts += [line(x(at), 8, x(at), bottom, kind) for at, kind in ((0.0, "mark"), (1.0, "other"))]
    for place, (metric, values, shares) in enumerate(lines):
        y = 8 + ROW * (place + 0.5)
        marks = "".join(f"M{x(min(max(share, low), high)):.1f} {y - 6:.0f}v12" for share in shares)
        tooltip = tag("title", f"{metric.title}: " + ", ".join(f"{value:.{metric.digits}f}" for value in values))
        parts.append(text(PANEL_LEFT - 8, y + 4, metric.title, "end"))
        parts.append(tag("path", tooltip, class_="tick mark", d=marks, fill="none"))
    parts.append(text(WIDTH / 2, height - 8, "0: a second retrained model · 1: Original", "middle", soft=True))
    return picture(f"Every seed by {len(lines)} metrics", height, parts, width=WIDTH)


def relearning(curves: Mapping[str, RelearningCurve]) -> Markup:
    """Draw the accuracy on F along the steps of training on R, mean over the seeds, of an entry and reference rows."""
    kinds = {name: {"original": "original", "retrain": "retrained"}.get(name, "own") for name in curves}
    last = max(max(curve.steps) for curve in curves.values())
    x, y = linear(0, last, LEFT, WIDTH - 12), linear(0, 1, BOTTOM, TOP)
    levels = [0.0, 0.25, 0.5, 0.75, 1.0]
    ticks = steps(0, last, 5)
    parts = [
        *across(x, ticks, TOP, BOTTOM, [f"{tick:g}" for tick in ticks]),
        *up(y, levels, LEFT, WIDTH - 12, [f"{level:g}" for level in levels]),
        text(WIDTH / 2, HEIGHT - 12, "steps of training on R", "middle", soft=True),
        *_legend([(kind, LABELS[kind]) for kind in kinds.values()]),
    ]
    for name, curve in sorted(curves.items(), key=lambda pair: kinds[pair[0]] == "own"):
        means = curve.accuracy.mean(axis=0)
        path = "L".join(f"{x(step):.1f} {y(float(mean)):.1f}" for step, mean in zip(curve.steps, means, strict=True))
        parts.append(tag("path", class_=f"relearning {kinds[name]}", d=f"M{path}"))
    return picture("Accuracy on F while the models are trained on R", HEIGHT, parts, width=WIDTH)


def losses(curves: Curves) -> Markup:
    """Draw the shares of the losses on F and on T, pooled over the seeds, in bins of the loss's logarithm."""
    shares = {
        side: [count / max(sum(counts), 1) for count in counts]
        for side, counts in (("forget", curves.forget), ("test", curves.test))
    }
    largest = max(max(side_shares) for side_shares in shares.values())
    used = [i for i in range(len(EDGES) - 1) if any(side_shares[i] for side_shares in shares.values())]
    low, high = math.floor(EDGES[used[0]]), EDGES[used[-1] + 1]
    x, y = linear(low, high, LEFT, WIDTH - 12), linear(0, largest, BOTTOM, TOP)
    percent = [t for t in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0) if t <= largest]
    parts = [_loss_axis(low, high), *up(y, percent, LEFT, WIDTH - 12, [f"{t:.0%}" for t in percent])]
    for side in ("test", "forget"):
        steps = "".join(f"H{x(EDGES[i]):.1f}V{y(shares[side][i]):.1f}H{x(EDGES[i + 1]):.1f}" for i in used)
        outline = f"M{x(EDGES[used[0]]):.1f} {y(0):.1f}{steps}V{y(0):.1f}"
        parts.append(tag("path", class_=f"losses {side}", d=outline))
    return picture(f"Losses on F and on T of the models of {curves.seeds} seeds", HEIGHT, parts, width=WIDTH)


def roc(curves: Mapping[str, Curves]) -> Markup:
    """Draw true against false positive rate of "a small loss was forgotten", mean over the seeds, on log axes."""
    entry_curves = curves["own"]
    low = math.floor(math.log10(entry_curves.smallest))
    parts = [_roc_axes(low, tuple(curves))]
    for kind, kind_curves in reversed(list(curves.items())):  # the entry's own curve on top
        parts.append(_roc_line(kind, kind_curves, low, entry_curves.smallest))
    title = f"ROC curves of the attack on losses, false positive rates from {entry_curves.smallest:.4f} on"
    return picture(title, HEIGHT, parts, width=WIDTH)


@cache
def _loss_axis(low: int, high: float) -> Markup:
    x = linear(low, high, LEFT, WIDTH - 12)
    ticks = [float(t) for t in range(low, math.floor(high) + 1)]
    label = text(WIDTH / 2, HEIGHT - 12, "cross-entropy loss, nats", "middle", soft=True)
    axis = across(x, ticks, TOP, BOTTOM, [_power(int(t)) for t in ticks])
    return Markup("").join([*axis, label, *_legend([("test", "T, never seen"), ("forget", "F, forgotten")])])


@cache
def _roc_axes(low: int, kinds: tuple[str, ...]) -> Markup:
    x, y = linear(low, 0, LEFT, WIDTH - 12), linear(low, 0, BOTTOM, TOP)
    powers = [float(p) for p in range(low, 1)]
    words = [_power(int(p)) for p in powers]
    parts = [
        *across(x, powers, TOP, BOTTOM, words),
        *up(y, powers, LEFT, WIDTH - 12, words),
        tag("path", class_="chance", d=f"M{x(low):.1f} {y(low):.1f}L{x(0):.1f} {y(0):.1f}"),
        text(WIDTH / 2, HEIGHT - 12, "false positive rate; upwards: true positive rate", "middle", soft=True),
        *_legend([(kind, LABELS[kind]) for kind in kinds]),
    ]
    return Markup("").join(parts)


@lru_cache(maxsize=8)
def _roc_line(kind: str, curves: Curves, low: int, smallest: float) -> Markup:
    x, y = linear(low, 0, LEFT, WIDTH - 12), linear(low, 0, BOTTOM, TOP)
    spots = [(f, max(t, 10.0**low)) for f, t in zip(FPR, curves.tpr, strict=True) if f >= smallest * 0.999]
    path = "L".join(f"{x(math.log10(f)):.1f} {y(math.log10(t)):.1f}" for f, t in spots)
    return tag("path", class_=f"roc {kind}", d=f"M{path}")


def _power(exponent: int) -> str:
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return "1" if exponent == 0 else f"10{raised}"


def _legend(entries: list[tuple[str, str]]) -> list[Markup]:
    parts, at = [], float(LEFT)
    for kind, word in entries:
        parts.append(tag("rect", class_=f"key {kind}", x=at, y=8.0, width=12.0, height=12.0))
        parts.append(text(at + 17, 18, word))
        at += 34 + 7.2 * len(word)
    return parts
