"""Plots as SVG without script or foreign fonts; they follow the reader's light or dark scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import pandas as pd

LEFT, RIGHT, ROW, TOP, BOTTOM, WIDTH = 130, 24, 22, 64, 52, 720
STYLE = """<style>
svg { --ink: #1f2328; --soft: #656d76; --rule: #d8dee4; --band: #d7e8d4; --mark: #0550ae; --end: #a40e26; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --soft: #9198a1; --rule: #3d444d; --band: #23402a;
  --mark: #79c0ff; --end: #ff9492; } }
text { font: 13px system-ui, sans-serif; fill: var(--ink); } .soft { fill: var(--soft); font-size: 12px; }
.title { font-weight: 600; font-size: 15px; } .grid { stroke: var(--rule); } .zero { fill: var(--band); }
.mark { stroke: var(--mark); fill: var(--mark); stroke-width: 2; } .reference { stroke: var(--end); fill: var(--end); }
</style>"""


def ulira(board: pd.DataFrame, null: Mapping[str, float], title: str) -> str:
    """U-LiRA's accuracy per method with its 95 % interval over pairs of splits, best first, and the null band.

    The paper's Figure 1, with held-out decisions: chance is .5, the band is what retrained models read.
    Rows that were disqualified are left out. ``ValueError`` where no row has run it.
    """
    rows = board[board["ulira"].notna() & (board["state"] != "disqualified")].sort_values(
        ["ulira", "entry"], kind="stable"
    )
    if rows.empty or "ulira" not in null:
        raise ValueError("no row of this board has run U-LiRA")
    low = min(0.45, rows["ulira_low"].min())
    high = max(0.6, rows["ulira_high"].max()) + 0.01
    height = TOP + ROW * len(rows) + BOTTOM

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">',
        STYLE,
        f'<text class="title" x="12" y="24">{escape(title)}</text>',
        '<text class="soft" x="12" y="44">accuracy of U-LiRA, forgotten against never seen: .5 is chance; '
        "shaded: what retrained models read</text>",
        _rect(x(null["ulira_low"]), TOP - 6, x(null["ulira_high"]), height - BOTTOM + 6),
        *_grid(low, high, x, height),
        *(_row(row, TOP + ROW * (index + 0.5), x) for index, (_, row) in enumerate(rows.iterrows())),
        f'<text class="soft" x="12" y="{height - 10}">bars: 95 % over pairs of shadow splits; '
        "red: reference rows</text>",
        "</svg>",
    ]
    return "\n".join(parts)


def _rect(left: float, top: float, right: float, bottom: float) -> str:
    return f'<rect class="zero" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>'


def _grid(low: float, high: float, x: Callable[[float], float], height: int) -> list[str]:
    top, bottom = TOP - 6, height - BOTTOM + 6
    ticks = [tick for tick in (round(0.05 * step, 2) for step in range(21)) if low <= tick <= high]
    return [
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}"/>'
        f'<text class="soft" text-anchor="middle" x="{x(tick):.1f}" y="{bottom + 16}">{tick:.2f}</text>'
        for tick in ticks
    ]


def _row(row: pd.Series[Any], y: float, x: Callable[[float], float]) -> str:
    mean, low, high = (float(row[name]) for name in ("ulira", "ulira_low", "ulira_high"))
    kind = "reference" if row["state"] == "reference" else "mark"
    name = escape(str(row["entry"]))
    return (
        f'<g class="{kind}"><title>{name}: {mean:.3f} ({low:.3f} to {high:.3f})</title>'
        f'<line class="{kind}" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke-width="2"/>'
        f'<circle cx="{x(mean):.1f}" cy="{y:.1f}" r="4"/></g>'
        f'<text text-anchor="end" x="{LEFT - 12}" y="{y + 4:.1f}">{name}</text>'
    )
