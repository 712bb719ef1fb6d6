"""Plots of a board as SVG without script: trade-off, U-LiRA with its null band, seeds, map of groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd
from markupsafe import Markup

from unlearn_bench.harness.report.site.page_data import LETTERS, Board, Row
from unlearn_bench.harness.report.site.svg import WIDTH, across, line, linear, picture, steps, tag, text, up
from unlearn_bench.harness.results.badges import DISQUALIFIED, INCONSISTENT, UNRANKED
from unlearn_bench.scoring.group_membership import FORGETTING
from unlearn_bench.scoring.metric_table import by_weight, grouped, titles

MOST = 40
"""Rows of a plot that has one line per method; the first ones by position are shown."""
NAMES, ROW = 150, 22
Named = Sequence[tuple[str, bool, float, float, float]]
"""Name, whether it is a reference row, mean, low, high."""


def trade_off(board: Board, standalone: bool = False) -> Markup | None:
    """RetDev against what is left, both better where they are low; the area of a point its speed-up; Pareto front."""
    rows = [row for row in board.rows if {"retdev", FORGETTING} <= set(row.values) and row.state not in UNRANKED]
    if not any(row.part == "ranked" for row in rows):
        return None
    points = {row.name: (row.values["retdev"].mean, row.values[FORGETTING].mean) for row in rows}
    right = max(x for x, _ in points.values()) * 1.08 + 0.01
    low, high = -0.05, max(1.0, *(y for _, y in points.values())) * 1.05
    height, left, top, bottom = 440, 56, 16, 392
    x, y = linear(0, right, left, WIDTH - 24), linear(low, high, bottom, top)
    xs, ys = steps(0, right, 8), steps(0, high, 6)
    parts = [
        *across(x, xs, top, bottom, [f"{tick:g}" for tick in xs]),
        *up(y, ys, left, WIDTH - 24, [f"{tick:.2f}" for tick in ys]),
        text((left + WIDTH) / 2, height - 10, "RetDev: ← better", "middle", soft=True),
        _turned("← better: left of F", 12, height / 2 - 20, -90, text_anchor="middle", class_="soft"),
    ]
    front = pareto([points[row.name] for row in rows if row.part == "ranked"])
    corners = "".join(f"H{x(b[0]):.1f}V{y(b[1]):.1f}" for b in front[1:])
    parts.append(tag("path", class_="front", d=f"M{x(front[0][0]):.1f} {y(front[0][1]):.1f}{corners}", fill="none"))
    boxes = [(x(a[0]) + 1, y(a[1]) - 1, x(b[0]), y(a[1]) + 1) for a, b in pairwise(front)]  # of its level parts
    boxes += [(x(b[0]) - 1, y(b[1]), x(b[0]) + 1, y(a[1])) for a, b in pairwise(front)]
    sizes = {row.name: _radius(row) for row in rows}
    for row in rows:
        cx, cy = x(points[row.name][0]), y(points[row.name][1])
        boxes.append((cx - sizes[row.name], cy - 6, cx + sizes[row.name], cy + 6))
    dots: dict[str, list[Markup]] = {"mark": [], "other": []}
    labels = []
    for row in rows:
        cx, cy = x(points[row.name][0]), y(points[row.name][1])
        speed = f", {row.values['rte'].mean:.1f}×" if "rte" in row.values else ""
        numbers = f": RetDev {points[row.name][0]:.3f}, left {points[row.name][1]:.2f}{speed}"
        tooltip = tag("title", row.name + (numbers if len(rows) <= MOST else ""))
        dot = tag("circle", tooltip, cx=f"{cx:.0f}", cy=f"{cy:.0f}", r=sizes[row.name])
        dots["other" if row.part == "reference" else "mark"].append(dot)
        if len(rows) <= MOST and (spot := free_spot(row.name, cx, cy, sizes[row.name], boxes)):
            labels.append(text(spot[0], spot[1], row.name, spot[2]))
    parts += [tag("g", *of_kind, class_=f"dot {kind}") for kind, of_kind in dots.items() if of_kind] + labels
    title = f"Retention against forgetting of {len(rows)} methods; the Pareto front has {len(front)} of them"
    return picture(title, height, parts, standalone)


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (RetDev, what is left) that no other beats in both, by RetDev."""
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _radius(row: Row) -> float:
    rte = row.values["rte"].mean if "rte" in row.values else 1.0
    return min(max(4.0 * math.sqrt(max(rte, 0.1)), 3.0), 16.0)


def free_spot(
    name: str, cx: float, cy: float, radius: float, boxes: list[tuple[float, float, float, float]]
) -> tuple[float, float, str] | None:
    """Return where a label fits without touching another, in pixels of a picture that is 720 wide; it takes the place.

    Args:
        name: the label.
        cx: horizontal centre of what is labelled.
        cy: vertical centre, downwards.
        radius: of what is labelled.
        boxes: (left, top, right, bottom) of what stands there already; the label's is added.

    Returns:
        Its horizontal position, its baseline and its anchor; ``None`` where it does not fit.
    """
    width = 7.0 * len(name)
    around = (
        (radius + 4, 4.0, "start"),
        (-radius - 4, 4.0, "end"),
        (0.0, -radius - 5, "middle"),
        (0.0, radius + 14, "middle"),
    )
    for dx, dy, anchor in around:
        left = cx + dx - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        box = (left, cy + dy - 11, left + width, cy + dy + 2)
        if box[0] > 40 and box[2] < WIDTH and not any(_touch(box, other) for other in boxes):
            boxes.append(box)
            return cx + dx, cy + dy, anchor
    return None


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def ulira(rows: Named, null: Mapping[str, float], title: str, standalone: bool = False) -> Markup:
    """U-LiRA's accuracy per method with its 95 % interval over pairs of splits, best first, and the null band.

    The paper's Figure 1, with held-out decisions: chance is .5, and 95 % of perfect unlearners lie in the band.
    ``ValueError`` where no row has run it.
    """
    ordered = sorted(rows, key=lambda row: (row[2], row[0]))[:MOST]
    if not ordered or "ulira" not in null:
        raise ValueError("no row of this board has run U-LiRA")
    low = min(0.45, *(row[3] for row in ordered))
    high = max(0.6, *(row[4] for row in ordered)) + 0.01
    top = 58 if standalone else 8
    bottom = top + ROW * len(ordered) + 6
    x = linear(low, high, NAMES, WIDTH - 24)
    ticks = [tick for tick in (round(0.05 * step, 2) for step in range(21)) if low <= tick <= high]
    words = "accuracy of U-LiRA, forgotten against never seen: .5 is chance; shaded: 95 % of perfect unlearners"
    left, right = x(null["ulira_low"]), x(null["ulira_high"])
    parts = [
        tag("rect", class_="band", x=left, y=float(top), width=right - left, height=float(bottom - top)),
        *across(x, ticks, top, bottom, [f"{tick:.2f}" for tick in ticks]),
    ]
    if standalone:
        parts += [text(12, 24, title, font_weight="600"), text(12, 44, words, soft=True)]
    for index, (name, reference, mean, start, end) in enumerate(ordered):
        y, kind = top + 3 + ROW * (index + 0.5), "other" if reference else "mark"
        tooltip = tag("title", f"{name}: {mean:.3f} ({start:.3f} to {end:.3f})")
        bar = line(x(start), y, x(end), y, kind, stroke_width=2)
        parts.append(tag("g", tooltip, bar, tag("circle", cx=x(mean), cy=y, r=4), class_=kind))
        parts.append(text(NAMES - 12, y + 4, shortened(name), "end"))
    parts.append(text(12, bottom + 40, "bars: 95 % over pairs of shadow splits; red: reference rows", soft=True))
    return picture(title, bottom + 52, parts, standalone)


def attacked_rows(board: Board) -> Named:
    """Return what :func:`ulira` draws of a board's page; nothing where its null band is not known."""
    if "ulira" not in board.null:
        return []
    attacked = [row for row in board.rows if "ulira" in row.values and row.state not in (DISQUALIFIED, INCONSISTENT)]
    numbers = [(row, row.values["ulira"]) for row in attacked]
    return [(row.name, row.part == "reference", each.mean, each.low, each.high) for row, each in numbers]


def ulira_rows(board: pd.DataFrame) -> Named:
    """Return what :func:`ulira` draws, from the table of a board: not disqualified and inconsistent rows."""
    rows = board[board["ulira"].notna() & ~board["state"].isin([DISQUALIFIED, INCONSISTENT])]
    columns = rows[["entry", "state", "ulira", "ulira_low", "ulira_high"]].itertuples(index=False)
    return [(str(name), state == "reference", *map(float, numbers)) for name, state, *numbers in columns]


def strips(board: Board, standalone: bool = False) -> Markup | None:
    """Metrics that declare a spread, of every seed, one line per method: how far a method can be relied on."""
    metrics = [metric for metric in by_weight() if metric.spread]
    rows = [row for row in board.rows if metrics and all(row.seeds.get(metric.name) for metric in metrics)][:MOST]
    if not rows:
        return None
    top, half = 26, (WIDTH - NAMES) / len(metrics)
    bottom = top + ROW * len(rows) + 4
    parts = []
    for index, metric in enumerate(metrics):
        values = [value for row in rows for value in row.seeds[metric.name]]
        low, high = (0.0, max(values) * 1.02 + 0.01) if metric.better == "low" else (min(values) - 0.02, 1.0)
        left = NAMES + index * half
        x = linear(low, high, left + 8, left + half - 12)
        ticks = steps(low, high, 4)
        parts += across(x, ticks, top, bottom, [f"{tick:g}" for tick in ticks])
        parts.append(text(left + half / 2, 16, metric.title, "middle", font_weight="600"))
        for place, row in enumerate(rows):
            y = top + 2 + ROW * (place + 0.5)
            marks = "".join(f"M{x(value):.1f} {y - 6:.0f}v12" for value in row.seeds[metric.name])
            tooltip = tag("title", f"{row.name}: " + ", ".join(f"{value:.3f}" for value in row.seeds[metric.name]))
            kind = "other" if row.part == "reference" else "mark"
            parts.append(tag("path", tooltip, class_=f"tick {kind}", d=marks))
    parts += [text(NAMES - 12, top + 6 + ROW * (i + 0.5), shortened(row.name), "end") for i, row in enumerate(rows)]
    return picture(f"{titles(metrics)} of every seed of {len(rows)} methods", bottom + 24, parts, standalone)


def group_map(board: Board) -> Markup | None:
    """Draw the group of every method on every track and metric: the paper's Table 1 at a glance."""
    grouped_metrics = [
        each for each in grouped() if any(key[1] == each.name for row in board.rows for key in row.cells)
    ]
    names = {metric.name: metric.title for metric in grouped_metrics}
    metrics = list(names)
    keys = [(track, m) for m in metrics for track in board.tracks if any((track, m) in row.cells for row in board.rows)]
    rows = [row for row in board.rows if row.cells][:MOST]
    if not rows or not keys:
        return None
    gap, top = 10, 34 if board.single else 128
    cell = min(64.0, (WIDTH - NAMES - gap * len(metrics) - (0 if board.single else 40)) / len(keys))
    starts = {key: NAMES + cell * i + gap * metrics.index(key[1]) for i, key in enumerate(keys)}
    parts = []
    for metric in metrics:
        metric_starts = [starts[key] for key in keys if key[1] == metric]
        parts.append(
            text((metric_starts[0] + metric_starts[-1] + cell) / 2, 18, names[metric], "middle", font_weight="600")
        )
    if not board.single:
        for key, start in starts.items():
            parts.append(_turned(shortened(key[0], 17), start + cell / 2 + 4, top - 6, -60, class_="soft small"))
    parts.append(tag("defs", *(_group_cell(letter, cell) for letter in (*LETTERS, "–"))))
    for index, row in enumerate(rows):
        cells = [tag("use", href=f"#{_kind(row.cells.get(key, '–'))}", x=start) for key, start in starts.items()]
        name = text(NAMES - 12, 15, shortened(row.name), "end")
        parts.append(tag("g", tag("title", row.name), name, *cells, transform=f"translate(0 {top + ROW * index})"))
    title = f"Groups of {len(rows)} methods on {len(board.tracks)} tracks by {len(metrics)} metrics"
    return picture(title, top + ROW * len(rows) + 8, parts)


def _group_cell(letter: str, width: float) -> Markup:
    """Return a cell of the map, drawn once; a map may have thousands of cells, which are uses of it."""
    box = tag("rect", width=width - 2, height=ROW - 2.0, class_=_kind(letter))
    short = letter if width > 22 else letter[-1]
    word = text(width / 2 - 1, 15, short, "middle", class_=f"in {_kind(letter)}")
    return tag("g", box, word, id=_kind(letter))


def _turned(content: str, x: float, y: float, degrees: int, **more: object) -> Markup:
    return tag("text", content, transform=f"translate({x:.1f} {y:.1f}) rotate({degrees})", **more)


def _kind(letter: str) -> str:
    return letter.lower() if letter in LETTERS else "none"


def shortened(name: str, most: int = 19) -> str:
    """Return a name of at most ``most`` characters, cut with an ellipsis."""
    return name if len(name) <= most else name[: most - 1] + "…"
