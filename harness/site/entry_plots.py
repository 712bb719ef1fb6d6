"""Plots of an entry: losses on F against T, and ROC curves of U-MIA's attack on log axes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from markupsafe import Markup

from harness.curves import Curves
from harness.site.svg import across, linear, picture, tag, text, up
from scoring.curves import EDGES, FPR

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 480, 300, 52, 30, 250
LABELS = {"own": "this entry", "original": "Original", "retrained": "Retrain"}


def losses(curves: Curves) -> Markup:
    """Shares of the losses on F and on T, pooled over the seeds, in bins of the loss's logarithm."""
    shares = {
        side: [count / max(sum(counts), 1) for count in counts]
        for side, counts in (("forget", curves.forget), ("test", curves.test))
    }
    most = max(max(of) for of in shares.values())
    used = [i for i in range(len(EDGES) - 1) if any(of[i] for of in shares.values())]
    low, high = math.floor(EDGES[used[0]]), EDGES[used[-1] + 1]
    x, y = linear(low, high, LEFT, WIDTH - 12), linear(0, most, BOTTOM, TOP)
    ticks = [float(t) for t in range(int(low), math.floor(high) + 1)]
    percent = [t for t in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0) if t <= most]
    parts = [
        *across(x, ticks, TOP, BOTTOM, [_power(int(t)) for t in ticks]),
        *up(y, percent, LEFT, WIDTH - 12, [f"{t:.0%}" for t in percent]),
        text(WIDTH / 2, HEIGHT - 12, "cross-entropy loss, nats", "middle", soft=True),
        *_legend([("test", "T, never seen"), ("forget", "F, forgotten")]),
    ]
    for side in ("test", "forget"):
        steps = "".join(f"H{x(EDGES[i]):.1f}V{y(shares[side][i]):.1f}H{x(EDGES[i + 1]):.1f}" for i in used)
        outline = f"M{x(EDGES[used[0]]):.1f} {y(0):.1f}{steps}V{y(0):.1f}"
        parts.append(tag("path", class_=f"losses {side}", d=outline))
    return picture(f"Losses on F and on T of the models of {curves.seeds} seeds", HEIGHT, parts, width=WIDTH)


def roc(curves: Mapping[str, Curves]) -> Markup:
    """True against false positive rate of "a small loss was forgotten", mean over the seeds, on log axes."""
    own = curves["own"]
    low = 10.0 ** math.floor(math.log10(own.smallest))
    x = linear(math.log10(low), 0, LEFT, WIDTH - 12)
    y = linear(math.log10(low), 0, BOTTOM, TOP)
    powers = [float(p) for p in range(round(math.log10(low)), 1)]
    words = [_power(int(p)) for p in powers]
    parts = [
        *across(x, powers, TOP, BOTTOM, words),
        *up(y, powers, LEFT, WIDTH - 12, words),
        tag("path", class_="chance", d=f"M{x(math.log10(low)):.1f} {y(math.log10(low)):.1f}L{x(0):.1f} {y(0):.1f}"),
        text(WIDTH / 2, HEIGHT - 12, "false positive rate; across: true positive rate", "middle", soft=True),
        *_legend([(kind, LABELS[kind]) for kind in curves]),
    ]
    for kind, one in reversed(list(curves.items())):  # the entry's own on top
        spots = [(f, t) for f, t in zip(FPR, one.tpr, strict=True) if f >= own.smallest * 0.999]
        path = "L".join(f"{x(math.log10(f)):.1f} {y(math.log10(max(t, low))):.1f}" for f, t in spots)
        parts.append(tag("path", class_=f"roc {kind}", d=f"M{path}"))
    title = f"ROC curves of the attack on losses, false positive rates from {own.smallest:.4f} on"
    return picture(title, HEIGHT, parts, width=WIDTH)


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
