"""SVG elements as escaped text, and the axes that all plots share. Plots follow the page's light or dark scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from markupsafe import Markup, escape

from unlearn_bench.harness.support.text import visible

Scale = Callable[[float], float]
WIDTH = 720
STYLE = Markup(
    """<style>
svg { --ink: #1f2328; --soft: #59636e; --rule: #d1d9e0; --band: #d7e8d4; --mark: #0550ae; --other: #a40e26; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --soft: #9198a1; --rule: #3d444d; --band: #23402a;
  --mark: #79c0ff; --other: #ff9492; } }
text { font: 13px system-ui, sans-serif; fill: var(--ink); } .soft { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--rule); } .band { fill: var(--band); } .mark { stroke: var(--mark); fill: var(--mark); }
.other { stroke: var(--other); fill: var(--other); } .dot { fill-opacity: .45; } .tick { stroke-width: 2; fill: none; }
.front { stroke: var(--soft); stroke-width: 2; stroke-dasharray: 5 4; }
</style>"""
)
"""What a plot needs where no page's style sheet is."""


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Return an element; text in it and in its attributes is escaped. ``class_``, ``stroke_width`` as in SVG."""
    written_attributes = "".join(
        [f' {_attribute(key)}="{_text(value)}"' for key, value in attributes.items() if value is not None]
    )
    if not children:
        return Markup(f"<{name}{written_attributes}/>")
    inside = "".join([child if isinstance(child, Markup) else escape(child) for child in children])
    return Markup(f"<{name}{written_attributes}>{inside}</{name}>")


@cache
def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _text(value: object) -> str:
    """Return the value of an attribute; thousands of pages have dozens of numbers each, and nothing to escape there."""
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value) if isinstance(value, int) else escape(str(value))


def picture(title: str, height: float, parts: Iterable[str], standalone: bool = False, width: int = WIDTH) -> Markup:
    """Return a whole picture; ``title`` is what a screen reader says of it."""
    attributes: dict[str, object] = {
        "xmlns": "http://www.w3.org/2000/svg" if standalone else None,
        "viewBox": f"0 0 {width} {height:.0f}",
        "role": "img",
        "aria_label": title,
    }
    style = [STYLE] if standalone else []
    return tag("svg", *style, *parts, **attributes)


def text(x: float, y: float, content: str, anchor: str | None = None, soft: bool = False, **more: object) -> Markup:
    """Return a text element; ``soft``: smaller and paler."""
    attributes = {"class_": "soft" if soft else None, "text_anchor": anchor, **more}
    return tag("text", visible(content), x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid", **more: object) -> Markup:
    """Return a straight line of the style sheet's class ``kind``."""
    return tag("line", class_=kind, x1=x1, y1=y1, x2=x2, y2=y2, **more)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Values in [low, high] to pixels in [start, end]."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def steps(low: float, high: float, wanted: int = 6) -> list[float]:
    """Round values between low and high, about as many as wanted."""
    span = (high - low) / max(wanted, 1)
    for exponent in range(-6, 7):
        for factor in (1, 2, 5):
            step = factor * 10.0**exponent
            if step >= span:
                first = int(low / step) - 1
                multiples = [round(step * k, 10) for k in range(first, first + 4 * wanted + 4)]
                return [value for value in multiples if low - 1e-9 <= value <= high + 1e-9]
    return [low, high]


def across(x: Scale, ticks: Sequence[float], top: float, bottom: float, labels: Sequence[str]) -> list[Markup]:
    """Vertical grid lines with labels below."""
    return [
        part
        for tick, label in zip(ticks, labels, strict=True)
        for part in (line(x(tick), top, x(tick), bottom), text(x(tick), bottom + 16, label, "middle", soft=True))
    ]


def up(y: Scale, ticks: Sequence[float], left: float, right: float, labels: Sequence[str]) -> list[Markup]:
    """Horizontal grid lines with labels at the left."""
    return [
        part
        for tick, label in zip(ticks, labels, strict=True)
        for part in (line(left, y(tick), right, y(tick)), text(left - 6, y(tick) + 4, label, "end", soft=True))
    ]
