"""What the stored boards say, in sentences with their numbers and the command that shows them, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from unlearn_bench.harness.report.cells import number
from unlearn_bench.harness.report.paper_sentences import sentences, tau
from unlearn_bench.harness.report.track_notes import access
from unlearn_bench.harness.report.wording import counted, listed
from unlearn_bench.harness.results import findings, paper_comparison
from unlearn_bench.harness.results.findings import SettingChange
from unlearn_bench.harness.results.track_boards import FAILED, TrackBoard
from unlearn_bench.harness.tracks import DEFAULT_TRACK
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.metric_table import metric_named
from unlearn_bench.scoring.seed_rows import NO_BETTER, NOT_APPLICABLE, OK

OVERALL = "bench leaderboard --overall"
HEAD = """# What the boards say

`bench findings > docs/findings.md` writes this page from the records that ship. Every sentence has its numbers and the
command that shows them; [the guide for readers](reader.md) says how to read both."""
METRICS = ("retdev", "forgetting", "indisc")


def page(boards: Sequence[TrackBoard], less_access: Sequence[TrackBoard] = ()) -> str:
    """Return the page of findings of these boards, which have one access tier.

    ``less_access``: those of tracks on which entries get less.
    """
    sections = {
        "Which methods are in the first group": [*_first_groups(boards), *_no_better(boards)],
        "What the cheap attacks do not see": [line for board in boards for line in _unseen(board)],
        "What a method costs": [line for board in boards for line in _cost(board)],
        "What changes between settings": list(_changes(boards)),
        "What entries can do with less of R, F and V": [_with_less(board) for board in less_access],
        "Beside the paper": [_sentence(each, OVERALL) for each in sentences(paper_comparison.compare(boards))],
    }
    blocks = [HEAD, "\n".join(_settings(boards))]
    blocks += [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items() if lines]
    return "\n\n".join(blocks)


def _sentence(text: str, command: str) -> str:
    return f"* {text} (`{command}`)"


def _of_track(board: TrackBoard) -> str:
    return f"bench leaderboard --track {board.name}"


def _settings(boards: Sequence[TrackBoard]) -> Iterator[str]:
    for board in boards:
        methods = int(board.letters("retdev").notna().sum())
        title, originals = board.track.analysis.title or board.name, counted(board.track.protocol.seeds, "original")
        yield _sentence(f"{title}: {counted(methods, 'method')} with a group, each on {originals}.", _of_track(board))


def _first_groups(boards: Sequence[TrackBoard]) -> Iterator[str]:
    for metrics in (*((metric,) for metric in METRICS), ("retdev", "forgetting")):
        by_count = findings.first_group(boards, metrics)
        counts = (f"on {hits} of {tracks} settings: {', '.join(names)}" for (hits, tracks), names in by_count.items())
        title = " and by ".join(metric_named(metric).title for metric in metrics)
        yield _sentence(f"By {title} methods are in G1 {'; '.join(counts)}.", OVERALL)


def _no_better(boards: Sequence[TrackBoard]) -> Iterator[str]:
    for board in boards:
        rows = board.rows[board.rows["state"] == NO_BETTER].sort_index()
        if len(rows):
            reasons = (reason.removeprefix("no better than Original: ") for reason in rows["reason"])
            named = (
                f"{name} ({reason.removesuffix(' of what it finds there')})"
                for name, reason in zip(rows.index, reasons, strict=True)
            )
            text = (
                f"No better than Original on {board.name}, in shares of what an attack finds there: {'; '.join(named)}."
            )
            yield _sentence(text, _of_track(board))


def _unseen(board: TrackBoard) -> Iterator[str]:
    seen = findings.cheap_attacks(board)
    if not seen.attacks:
        yield _sentence(f"No cheap attack tells Original from a retrained model on {board.name}.", _of_track(board))
        return
    passed = f": {', '.join(seen.passed)}" if seen.passed else ""
    passes = "passes" if len(seen.passed) == 1 else "pass"
    rate = f"{len(seen.passed)} of {counted(seen.methods, 'method')} {passes} {listed(seen.attacks)}"
    yield _sentence(f"On {board.name} {rate}{passed}.", _of_track(board))
    if not seen.clearing:
        reason = "even of a retrained model they may find .9 of what they find in Original"
        yield _sentence(
            f"These attacks are too imprecise to clear a method on {board.name}: {reason}.", _of_track(board)
        )
    if not seen.costly:
        yield _sentence(f"Neither U-LiRA nor a probe that finds Original has run on {board.name}.", _of_track(board))
    elif not seen.unseen:
        text = f"Of these {listed(seen.costly)} {'finds' if len(seen.costly) == 1 else 'find'} none."
        yield _sentence(text, _of_track(board))
    for each in seen.unseen:
        shares = (f"{s.attack} {_number(s.value)} ({_number(s.low)} to {_number(s.high)})" for s in each.found)
        where = "where 0 is a retrained model and 1 is Original"
        text = f"Of these {each.method} is found by others, {where}: {listed(shares)}."
        yield _sentence(text, f"bench show {each.method} --track {board.name}")


def _number(value: float) -> str:
    return ("−" if value < 0 else "") + number(abs(value), 2)


def _cost(board: TrackBoard) -> Iterator[str]:
    usable = board.letters("rte").isin(GROUPS) & board.rows["rte"].notna()
    rows = board.rows[usable].sort_values("rte", ascending=False)
    if rows.empty:
        yield _sentence(f"No method has a time on {board.name}.", _of_track(board))
        return
    first, last = _times(rows.iloc[0]), _times(rows.iloc[-1])
    text = f"On {board.name} the fastest method with usable models is {first}, the slowest {last}"
    slow = rows[rows["rte"] <= 1]
    text += f"; no faster than retraining: {listed(map(str, slow.index))}" if len(slow) else ""
    good = rows[(board.letters("retdev")[rows.index] == "G1") & (board.letters("forgetting")[rows.index] == "G1")]
    none = "; no method is in G1 by RetDev and by Forgetting"
    text += f"; of those in G1 by RetDev and by Forgetting {_times(good.iloc[0])} is the fastest" if len(good) else none
    yield _sentence(f"{text}.", _of_track(board))
    baselines = board.rows.index[board.rows["kind"] == "baseline"]
    searches = {name: found.cpu_seconds for name, found in board.results.searches.items() if name in baselines}
    if searches:
        least, most = min(searches, key=searches.__getitem__), max(searches, key=searches.__getitem__)
        yield _sentence(
            f"The searches for parameters on {board.name} took from {searches[least]:,.0f} CPU seconds "
            f"({least}) to {searches[most]:,.0f} ({most}).",
            f"bench show {most} --track {board.name}",
        )


def _times(row: pd.Series[float]) -> str:
    return f"{row.name} with {row['rte']:.1f}× ({row['rte_low']:.1f} to {row['rte_high']:.1f})"


def _changes(boards: Sequence[TrackBoard]) -> Iterator[str]:
    for metric in ("retdev", "forgetting"):
        counts = []
        for board in boards:
            letters = board.letters(metric).dropna()
            counts.append(f"{int((letters == 'G1').sum())} of {len(letters)} methods on {board.name}")
        yield _sentence(f"In G1 by {metric_named(metric).title} are {listed(counts)}.", OVERALL)
    if len(boards) < 2:
        yield _sentence("Only one setting has a board, so that nothing can be said of changes yet.", OVERALL)
    first, *others = sorted(boards, key=lambda board: board.name != DEFAULT_TRACK)
    for change in findings.changes(first, others, ("retdev", "forgetting")):
        yield _sentence(_change(first.name, change), f"{OVERALL} --track {first.name} --track {change.track}")


def _with_less(board: TrackBoard) -> str:
    methods = board.rows[board.rows["kind"] == "baseline"]
    parts = {
        "with a position": methods["state"] == OK,
        "no better than Original": methods["state"] == NO_BETTER,
        "without usable models": methods["state"].isin(FAILED),
    }
    applying = methods[methods["state"] != NOT_APPLICABLE]
    text = f"{board.name} ({access(board.track)}): {len(applying)} of {counted(len(methods), 'method')} "
    text += "applies" if len(applying) == 1 else "apply"
    for words, chosen in parts.items():
        if chosen.any():
            text += f"; {words}: {listed(map(str, methods.index[chosen]))}"
    return _sentence(f"{text}.", _of_track(board))


def _change(first: str, change: SettingChange) -> str:
    orders = (f"{tau(found)} by {metric_named(metric).title}" for metric, found in change.order.items())
    order = f"Kendall’s τ between the orders of the methods is {listed(orders)}"
    order = order if change.order else "too few methods stand on both boards"
    text = f"From {first} to {change.track} ({'; '.join(change.differs) or 'in details'}) {order}"
    for metric, moved in change.moved.items():
        if moved:
            named = ", ".join(f"{name} {before} → {after}" for name, before, after in moved)
            text += f"; by {metric_named(metric).title} these change by two groups or more: {named}"
    return f"{text}."
