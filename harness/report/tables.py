"""Boards as text: a table of at most 100 columns, CSV, JSON, and the verdict on one entry."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from unlearn_bench.harness.report.columns import ordered
from unlearn_bench.harness.results.attack_panel import AttackNumber
from unlearn_bench.harness.results.badges import DISQUALIFIED, UNRANKED, UNTRUSTED
from unlearn_bench.harness.results.review import NOT_REPRODUCED, VERIFIED
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.gate import GateResult
from unlearn_bench.scoring.intervals import mean_interval
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import by_weight, grouped, leading, metric_named, ranked, shown
from unlearn_bench.scoring.paired import PairedDifference

if TYPE_CHECKING:
    from unlearn_bench.harness.results.verification import RerunDifference
    from unlearn_bench.harness.units.records import Record
    from unlearn_bench.scoring.unpaired import UnpairedDifference  # whose scipy.stats takes longer than a board

NONE = "–"
WIDTH = 100
"""Columns of the terminal's table."""
SIGNS = {VERIFIED: "✓", NOT_REPRODUCED: "?"}
"""Signs of marks after a row's name in a table."""


def table(board: pd.DataFrame, track: Track, null: Mapping[str, float], floor: float | None = None) -> str:
    """Return the board for a terminal; reference rows set apart. ``floor``: seconds of the identity entry."""
    attacked = bool(board["ulira"].notna().any())
    columns = _columns(attacked)
    head = "".join(format(name, width) for name, width, _ in columns).rstrip()
    lines = [f"{track.name} — {track.analysis.title}", head, "─" * len(head)]
    references = board["state"] == "reference"
    shown = [
        "".join(format(cell(row), width) for _, width, cell in columns).rstrip() for _, row in board.iterrows()
    ]  # reference rows stand last
    lines += [*shown[: -references.sum()], "─" * len(head), *shown[-references.sum() :]]
    band = f", U-LiRA {null['ulira_low']:.3f} to {null['ulira_high']:.3f}" if "ulira" in null else ""
    models = [metric for metric in by_weight() if metric.reads == "model" and metric.name in null]
    numbers = (f"{metric.title} {null[metric.name]:.{metric.digits}f}" for metric in models)
    lines.append(f"zero line (a second retrained model): {', '.join(numbers)}{band}")
    titles = ", ".join(metric.title for metric in _grouped(attacked))
    lines.append(f"groups: {titles}; G1 best, F failed. rank: by G1, G2, G3 counts; bootstrap range")
    lines.append("MIA: accuracy of U-MIA; above .5 F still looks seen, below .5 it looks less seen than the test set")
    if attacked:
        lines.append(
            "LiRA: accuracy of U-LiRA, forgotten against never seen. +LiRA: the rank with it as a fourth metric"
        )
    if not ((board["kind"] == "baseline") & (board["state"] == "ok")).any():
        lines.append(f"no baseline has run here: groups mean nothing yet (bench baselines --track {track.name})")
    if floor is not None:
        lines.append(f"overhead floor (the identity entry, median of its seeds): {floor:.2f} s of every run time")
    if (board["state"] == UNTRUSTED).any():
        lines.append(f"* {UNTRUSTED}: timed units of a public board come from containers; listed without a rank")
    elif not board.loc[~references, "trusted"].all():
        lines.append("* ran without a container: not for a public board")
    for word, sign in SIGNS.items():
        if (board["verified"] == word).any():
            lines.append(f"{sign} {word}: published units were run again (bench verify)")
    for _, row in board[board["state"] == DISQUALIFIED].iterrows():
        lines.append(_shortened(f"× {_shortened(str(row['entry']), 18)} disqualified: {row['reason']}", 100))
    for _, row in board[board["inconsistent"] != ""].iterrows():
        lines.append(f"! {_shortened(str(row['entry']), 18)} inconsistent: {row['inconsistent']}")
    return "\n".join(lines)


Cell = Callable[["pd.Series[Any]"], str]


def _columns(attacked: bool) -> list[tuple[str, str, Cell]]:
    """Heading, format and content of the table's columns, at most 100 characters where metrics do not claim more."""

    def name(width: int) -> Cell:
        def cell(row: pd.Series[Any]) -> str:
            signs = "×" if row["state"] == DISQUALIFIED else "" if row["trusted"] else "*"
            signs += SIGNS.get(row["verified"], "")
            return _shortened(str(row["entry"]), width - len(signs)) + signs

        return cell

    def groups(row: pd.Series[Any]) -> str:
        return "  " + " ".join(group(row, metric.name) for metric in _grouped(attacked))

    def seeds(row: pd.Series[Any]) -> str:
        return "" if row["state"] == "reference" else f"{row['seeds_ok']}/{row['seeds_total']}"

    columns: list[tuple[str, str, Cell]] = [("rank", "<6", rank)]
    if attacked:
        columns.append(("+LiRA", "<6", lambda row: rank(row, "rank_with_ulira")))
    columns.append(("method", "<15", name(15)) if attacked else ("method", "<18", name(18)))
    first = [metric for metric in leading("table") if attacked or metric.reads != "shadows"]
    columns += [_leading(metric, attacked) for metric in first]
    columns += [("  groups", f"<{3 * len(_grouped(attacked)) + 2}", groups), ("seeds", ">6", seeds)]
    room = WIDTH - sum(int(width[1:]) for _, width, _ in columns)
    room -= sum(_width(metric) for metric in shown("table") if not metric.ranked)
    for metric in by_weight():
        if metric.ranked or not metric.shown & {"table", "wide table"}:
            continue
        if "table" not in metric.shown:
            if _width(metric) > room:
                continue
            room -= _width(metric)
        columns.append((metric.heading or metric.title, f">{_width(metric)}", partial(_mean, metric)))
    return columns


def _grouped(attacked: bool) -> tuple[Metric, ...]:
    return grouped() if attacked else ranked()


def _width(metric: Metric) -> int:
    return max(6, len(metric.heading or metric.title) + 2)


def _leading(metric: Metric, attacked: bool) -> tuple[str, str, Cell]:
    """Return the column of a metric that entries are grouped by, with its interval where there is room."""
    title = metric.heading or metric.title
    if metric.ratio:
        return title, ">8" if attacked else ">7", partial(_mean, metric)
    if metric.reads == "shadows":
        return title, ">5", lambda row: _mean(metric, row) + ("!" if row["inconsistent"] else "")
    return title, "<14", lambda row: _spread(row, metric.name, metric.digits)


def _mean(metric: Metric, row: pd.Series[Any]) -> str:
    value = row.get(metric.name, math.nan)
    if metric.ratio:
        return NONE if pd.isna(value) else f"{value:.{metric.digits}f}×"
    return _number(value, metric.digits)


def _shortened(text: str, width: int) -> str:
    return text if len(text) < width else text[: width - 2] + "…"


def markdown(board: pd.DataFrame) -> str:
    """Return the board as a Markdown table; reference rows last."""
    first = leading("markdown")
    others = [metric for metric in shown("markdown") if not metric.ranked]
    titles = [metric.title for metric in first]
    heads = ["rank", "with U-LiRA", "method", *titles, "groups", "seeds", *(metric.title for metric in others)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for _, row in board.iterrows():
        badges = [
            *([row["state"]] if row["state"] in UNRANKED else []),
            *([row["verified"]] if row["verified"] else []),
        ]
        badge = f" ({', '.join(badges)})" if badges else ""
        cells = [rank(row), rank(row, "rank_with_ulira"), f"{row['entry']}{badge}"]
        for metric in first:
            cell = _mean(metric, row) if metric.ratio else _spread(row, metric.name, metric.digits)
            cells.append(cell + ("!" if metric.reads == "shadows" and row["inconsistent"] else ""))
        cells.append(" ".join(group(row, metric.name) for metric in grouped()))
        cells += [f"{row['seeds_ok']}/{row['seeds_total']}", *(_mean(metric, row) for metric in others)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def rank(row: pd.Series[Any], which: str = "rank") -> str:
    """``3``, or ``3–5`` with its bootstrap range, or ``–``."""
    if pd.isna(row[which]):
        return NONE
    low, high = int(row[f"{which}_low"]), int(row[f"{which}_high"])
    return str(low) if low == high else f"{low}–{high}"


def gate(readings: Sequence[GateResult], ran: bool) -> str:
    """Two lines: what the cheap attacks read, and whether U-LiRA is worth its cost."""
    names = {"rmia": "RMIA AUC", "umia_two_sided": "two-sided U-MIA"}
    numbers = [f"{names[r.attack]} {_number(r.value, 3)} (zero line {_number(r.null, 3)})" for r in readings]
    caught = [names[r.attack] for r in readings if r.caught]
    if caught:
        end = f"caught by {' and '.join(caught)}" + ("" if ran else ": U-LiRA would only confirm it")
    else:
        end = "passed" + ("" if ran else ": U-LiRA is worth its cost (--lira)")
    return f"cheap attacks: {', '.join(numbers)}\n{end}"


def _number(value: float, digits: int) -> str:
    text = NONE if math.isnan(value) else f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


def _spread(row: pd.Series[Any], metric: str, digits: int) -> str:
    if math.isnan(row.get(metric, math.nan)):
        return NONE
    half = (row[f"{metric}_high"] - row[f"{metric}_low"]) / 2
    return f"{row[metric]:.{digits}f}" + (f" ± {half:.{digits}f}" if half else "")


def verdict(board: pd.DataFrame, entry: str) -> str:
    """Return the last line of ``bench submit``."""
    row = board[board["entry"] == entry].iloc[0]
    ranked = int(board["rank"].notna().sum())
    seeds = f"{row['seeds_ok']}/{row['seeds_total']} seeds ok"
    if pd.isna(row["rank"]):
        places = {"reference": "reference row", UNTRUSTED: UNTRUSTED, DISQUALIFIED: f"disqualified: {row['reason']}"}
        place = places.get(row["state"], "not ranked yet")
    else:
        place = f"rank {rank(row)} of {ranked}"
    if row["seeds_ok"] == 0:
        return f"{place} · {seeds}"
    parts = []
    for metric in grouped():
        letter = group(row, metric.name)
        if metric.reads == "shadows" and math.isnan(row[metric.name]) and letter == NONE:
            continue
        if metric.name == "indisc":
            number = f"{row['indisc']:.2f}"  # no interval, to keep to one line
        elif metric.ratio or metric.reads == "shadows":
            number = _mean(metric, row)
        else:
            number = _spread(row, metric.name, metric.digits)
        parts.append(f"{metric.title} {number}" + ("" if letter == NONE else f" ({letter})"))
    return " · ".join([place, *parts, seeds, *([row["verified"]] if row["verified"] else [])])


def group(row: pd.Series[Any] | Mapping[Any, Any], metric: str) -> str:
    """G1, G2, G3, F, or a dash where the row has no place (yet)."""
    letter = row.get(f"group_{metric}")
    return NONE if row["state"] in ("incomplete", "reference", *UNRANKED) or pd.isna(letter) else str(letter)


def attack(title: str, rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return an attack's numbers by entry: mean over the seeds with its 95 % interval; reference models last."""
    last = ("original", "retrain", "null")
    ordered = [*(name for name in rows if name not in last), *(name for name in last if name in rows)]
    names = list(next(iter(rows.values()), [{}])[0])
    lines = [title, f"{'entry':<18}" + "".join(f"{name:>20}" for name in names)]
    for entry in ordered:
        cells = []
        for name in names:
            interval = mean_interval([numbers[name] for numbers in rows[entry]])
            spread = f" ± {interval.half_width:.3f}" if interval.n > 1 else ""
            cells.append(f"{interval.mean:.3f}{spread}")
        lines.append(f"{_shortened(entry, 18):<18}" + "".join(f"{cell:>20}" for cell in cells))
    lines.append("zero line: null (a second retrained model), for shadow models retrain (against its partner splits)")
    return "\n".join(lines)


def panel(attack_numbers: Sequence[AttackNumber]) -> str:
    """Every attack's numbers on an entry beside its zero line and Original."""
    lines = [f"{'attack':<16}{'number':<24}{'entry':>9}{'zero line':>11}{'Original':>10}"]
    known = ""
    for one in attack_numbers:
        name = "" if one.attack == known else one.attack
        known = one.attack
        lines.append(f"{name:<16}{one.number:<24}{one.value:>9.3f}{one.null:>11.3f}{one.original:>10.3f}")
    lines.append("zero line: retrained models; collateral: U-LiRA on retained examples, Original is before unlearning")
    return "\n".join(lines)


def comparison(a: str, b: str, differences: Sequence[PairedDifference]) -> str:
    """Paired differences of two entries; ``*`` where the interval excludes equality."""
    width = max(8, *(len(metric_named(one.metric).title) + 1 for one in differences))
    lines = [f"{'':<{width}}{_shortened(a, 16):>16}{_shortened(b, 16):>16}{'difference':>26}"]
    for one in differences:
        digits = 3 if one.ratio else metric_named(one.metric).digits
        if one.ratio:
            change = f"× {one.change.mean:.2f} ({one.change.low:.2f} to {one.change.high:.2f})"
        else:
            change = f"{one.change.mean:+.{digits}f} ± {one.change.half_width:.{digits}f}"
        values = f"{one.a:>16.{digits}f}{one.b:>16.{digits}f}"
        title = f"{metric_named(one.metric).title:<{width}}"
        lines.append(f"{title}{values}{change:>26} {'*' if one.clear else ' '} n = {one.change.n}")
    lines.append("* the 95 % interval of the paired difference excludes equality; n seeds (U-LiRA: pairs of splits)")
    return "\n".join(line.rstrip() for line in lines)


def audit(
    entry: str, changes: Sequence[UnpairedDifference], fitted: Sequence[str], zero: Mapping[str, tuple[float, float]]
) -> str:
    """Compare an entry on public and fresh seeds, with the verdict; ``*`` where the public ones are clearly better."""
    lines = [f"{_shortened(entry, 16):<16}{'public seeds':>18}{'fresh seeds':>18}{'public against fresh':>30}"]
    for one in changes:
        means = [f"{side.mean:.3f} ± {side.half_width:.3f}" for side in (one.public, one.fresh)]
        sign = "× " if one.ratio else ""
        change = f"{sign}{one.mean:{'' if one.ratio else '+'}.3f} ({one.low:.3f} to {one.high:.3f})"
        title = metric_named(one.metric).title
        star = " *" if one.metric in fitted else ""
        lines.append(f"{title:<16}{means[0]:>18}{means[1]:>18}{change:>30}{star}")
    for name, (public, fresh) in zero.items():
        zeros = f"{public:.3f} public, {fresh:.3f} fresh"
        lines.append(f"zero line of {metric_named(name).title} (a second retrained model): {zeros}")
    sizes = f"{changes[0].public.n} against {changes[0].fresh.n}"
    if fitted:
        better = " and ".join(metric_named(name).title for name in fitted)
        lines.append(f"verdict: FITTED: {better} significantly better on the public seeds ({sizes})")
    else:
        lines.append(f"verdict: no sign of fitting: nothing ranked is clearly better on the public seeds ({sizes})")
    return "\n".join(lines)


def verification(record: Record, again: Record, differences: Sequence[RerunDifference]) -> str:
    """One unit, published and again; what is not judged in brackets, ``*`` where it moved too far."""
    places = [str(one.environment.get("backend", "?")) for one in (record, again)]
    lines = [
        f"{record.name}, seed {record.seed}: published {record.date} ({places[0]}), again {again.date} ({places[1]})",
        f"{'':<8}{'published':>12}{'again':>12}{'difference':>14}{'limit':>12}",
    ]
    for one in differences:
        ratio = one.metric == "seconds"
        change = f"× {one.again / one.published:.2f}" if ratio else f"{one.again - one.published:+.4f}"
        limit = NONE if math.isnan(one.limit) else f"{'× ' if ratio else ''}{one.limit:.{2 if ratio else 4}f}"
        limit = limit if one.judged else "(elsewhere)"
        name = one.metric if ratio else metric_named(one.metric).title
        star = " *" if one.exceeds else ""
        lines.append(f"{name:<8}{one.published:>12.4f}{one.again:>12.4f}{change:>14}{limit:>12}{star}")
    return "\n".join(lines)


def csv(board: pd.DataFrame) -> str:
    """All columns of ``harness.report.columns``, six significant digits."""
    return str(ordered(board).to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def parquet(board: pd.DataFrame) -> bytes:
    """Return all columns with all digits, as Parquet."""
    content: bytes = ordered(board).to_parquet(index=False, engine="pyarrow")
    return content


def as_json(board: pd.DataFrame, track: Track, null: Mapping[str, float], floor: float | None) -> str:
    """Track, digests, zero line, overhead floor in seconds, and rows."""
    content = {
        "track": track.name,
        "title": track.analysis.title,
        "reference_digest": track.reference_digest,
        "protocol_digest": track.protocol_digest,
        "analysis_digest": track.analysis_digest,
        "null": dict(null),
        "floor_seconds": floor,
        "rows": json.loads(ordered(board).to_json(orient="records", double_precision=6)),
    }
    return json.dumps(content, indent=1, ensure_ascii=False)
