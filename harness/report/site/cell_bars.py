"""A mean with its interval inside a cell of a table, on the scale from retrained models to Original."""

from __future__ import annotations

from markupsafe import Markup

from unlearn_bench.harness.report.site.page_data import Number
from unlearn_bench.harness.report.site.svg import tag
from unlearn_bench.harness.report.verdicts import REACHES_ORIGINAL

WIDTH, HEIGHT, BEYOND = 64, 12, 0.2
"""Pixels, and how far the scale goes on beyond its ends, as a share of it."""


def bar(number: Number, scale: tuple[float, float]) -> Markup:
    """Return the picture of a number: a line at the null, one at Original, the interval, and a dot at the mean."""
    null, original = scale
    mean, low, high = ((value - null) / (original - null) for value in (number.mean, number.low, number.high))
    low, high = min(low, high), max(low, high)
    kind = "other" if mean > REACHES_ORIGINAL and high >= 1 else "mark"
    middle = HEIGHT / 2
    ends = [tag("path", class_=end, d=f"M{_x(at):.0f} 1V{HEIGHT - 1}") for at, end in ((0, "null"), (1, "top"))]
    interval = tag("path", d=f"M{_x(low):.1f} {middle:g}H{_x(high):.1f}")
    dot = tag("circle", cx=_x(mean), cy=middle, r=3)
    parts = [*ends, tag("g", interval, dot, class_=kind)]
    return tag("svg", *parts, class_="bar", viewBox=f"0 0 {WIDTH} {HEIGHT}", aria_hidden="true")


def _x(share: float) -> float:
    clipped = min(max(share, -BEYOND), 1 + BEYOND)
    return 4 + (clipped + BEYOND) / (1 + 2 * BEYOND) * (WIDTH - 8)
