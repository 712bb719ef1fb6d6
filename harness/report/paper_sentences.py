"""Where boards differ from the published numbers, and what of the stored records may explain it, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pandas as pd

from unlearn_bench.harness.report.cells import number, unconverged
from unlearn_bench.harness.report.wording import counted, listed
from unlearn_bench.harness.results.paper_comparison import OVERALL, REPLICATION, PaperComparison
from unlearn_bench.harness.results.published import RESISTANT, SETTINGS
from unlearn_bench.harness.results.track_boards import FAILED
from unlearn_bench.scoring.agreement import Agreement
from unlearn_bench.scoring.metric_table import metric_named

RETAINED = (14_508, 45_900)
"""Images in R on the paper's smallest and largest setting."""
EPOCHS = (50, 182)
"""Fewest and most epochs of training on the paper's settings."""
FAR = 1 / 3
"""Share of all places by which a method must move to be named."""
MOST = 4
"""Methods that a sentence names at most."""


def sentences(comparison: PaperComparison) -> list[str]:
    """Return the paragraph: what is compared, how far it agrees, which methods moved, and what may explain it."""
    parts = (_coverage, _agreement, _moved, _ties, _failures, _seen_by_others, _power, _searches, _figure)
    return [sentence for part in parts for sentence in part(comparison)]


def tau(agreement: Agreement | None) -> str:
    """Return ``.41 (.05 to .70)``, or a dash."""
    if agreement is None:
        return "–"
    value, low, high = (signed(each) for each in (agreement.tau, agreement.low, agreement.high))
    return f"{value} ({low} to {high})"


def signed(value: float) -> str:
    """Return a number from −1 to 1 with two decimal places."""
    size = number(abs(value), 2)
    return ("−" if value < 0 and size != ".00" else "") + size.replace("1.00", "1")


def _coverage(comparison: PaperComparison) -> Iterator[str]:
    boards, own = comparison.boards, comparison.settings
    others = [board.name for board in boards if board.name not in own]
    if not own:
        yield (
            f"None of the paper’s nine settings has a board here; what it published stands beside "
            f"{counted(len(others), 'other setting')}: {listed(others)}."
        )
    else:
        lacking = [name for name in SETTINGS if name not in own]
        rest = f", and {listed(lacking)} {'does' if len(lacking) == 1 else 'do'} not" if lacking else ""
        beside = f" Beside them stand {listed(others)}." if others else ""
        verb = "has" if len(own) == 1 else "have"
        yield f"Of the paper’s nine settings {listed(own)} {verb} a board here{rest}.{beside}"
    sizes, epochs = (
        _span(v) for v in zip(*((b.track.splits.retain, b.track.recipe.epochs) for b in boards), strict=True)
    )
    yield (
        f"R has {sizes} images here, and {_span(RETAINED)} in the paper; retraining takes {epochs} epochs here, and "
        f"{_span(EPOCHS)} there."
    )
    for method, tracks in comparison.missing.items():
        yield f"{method} has no group on {listed(tracks)}, and so no rank over all of them."


def _span(numbers: Iterable[int]) -> str:
    low, *rest = sorted(set(numbers))
    return f"{low:,} to {rest[-1]:,}" if rest else f"{low:,}"


def _agreement(comparison: PaperComparison) -> Iterator[str]:
    overall, replication = (comparison.agreements[row] for row in (OVERALL, REPLICATION))
    ranks = [
        f"{tau(found)} by {metric_named(metric).title} for {counted(found.methods, 'method')}"
        for metric in ("retdev", "indisc")
        if (found := overall.get((metric, "paper"))) is not None
    ]
    if ranks:
        speed = overall.get(("rte", "paper"))
        also = f"; between the speeds it is {tau(speed)} for {counted(speed.methods, 'method')}" if speed else ""
        yield (
            f"Kendall’s τ between the ranks here and the paper’s, with 95 % intervals over the methods in brackets, is "
            f"{listed(ranks)}{also}."
        )
    else:
        yield "Too few methods have a rank here for their order to be compared with the paper’s."
    theirs = [
        f"{tau(found)} by {metric_named(metric).title}"
        for metric in ("retdev", "indisc")
        if (found := replication.get((metric, "paper"))) is not None
    ]
    yield (
        f"For comparison: between the paper’s ranks and an independent replication of one of its settings, with the "
        f"authors’ code, τ is {listed(theirs)}."
    )


def _moved(comparison: PaperComparison) -> Iterator[str]:
    """Yield which methods stand far from their place in the paper; methods that tie have the mean of their places."""
    for metric in ("retdev", "indisc"):
        ours = comparison.counts[metric]["rank"].dropna().astype(float)
        theirs = comparison.published.counts[metric]["rank"][ours.index]
        places = pd.DataFrame({"here": ours.rank(), "paper": theirs.rank()})
        gain = (places["paper"] - places["here"]).sort_values(kind="stable")
        least = FAR * len(gain)
        sides = {"better": gain.index[gain >= least][::-1][:MOST], "worse": gain.index[gain <= -least][:MOST]}
        named = [
            f"{word} here {listed(_placed(name, places) for name in names)}"
            for word, names in sides.items()
            if len(names)
        ]
        if named:
            yield (
                f"By {metric_named(metric).title}, among {len(gain)} methods of which those that tie share their mean "
                f"place, these stand far from their place in the paper: {'; '.join(named)}."
            )


def _placed(name: str, places: pd.DataFrame) -> str:
    return f"{name} (place {places['here'][name]:g}, in the paper {places['paper'][name]:g})"


def _ties(comparison: PaperComparison) -> Iterator[str]:
    tracks = len(comparison.boards)
    for metric in ("retdev", "indisc"):
        counts = comparison.counts[metric]
        always = int((counts["G1"] == tracks).sum())
        if 2 * always >= len(counts):
            where = "the only setting" if tracks == 1 else f"all {tracks} settings"
            yield (
                f"Groups tell few methods apart by {metric_named(metric).title}: {always} of {len(counts)} are in G1 "
                f"on {where}, and share the first rank."
            )


def _failures(comparison: PaperComparison) -> Iterator[str]:
    for board in comparison.boards:
        failed = board.rows[board.rows["state"].isin(FAILED)].index.intersection(comparison.published.methods)
        if len(failed):
            reasons = (f"{name} ({board.rows.loc[name, 'reason']})" for name in failed)
            yield f"F on {board.name}: {'; '.join(reasons)}."


def _seen_by_others(comparison: PaperComparison) -> Iterator[str]:
    """Yield how many methods pass the paper's attack and are found by another one."""
    passed, attacks = 0, Counter[str]()
    for board in comparison.boards:
        indisc, forgetting = (board.letters(metric).dropna() for metric in ("indisc", "forgetting"))
        best = indisc.index[indisc == "G1"].intersection(comparison.published.methods)
        passed += len(best)
        seen = [name for name in best if forgetting.get(name) in ("G2", "G3")]
        attacks.update(str(board.rows.loc[name, "forgetting_attack"]) for name in seen)
    if attacks:
        by = listed(f"{attack} {counted(count, 'time')}" for attack, count in attacks.most_common())
        yield (
            f"Indisc reads one attack only: of {counted(passed, 'time')} that a method is in G1 by Indisc, it is not "
            f"in G1 by Forgetting {counted(attacks.total(), 'time')}; the attack that finds most is {by}."
        )


def _power(comparison: PaperComparison) -> Iterator[str]:
    """Yield the settings on which the paper's attack does not find Original, or prefers it to a retrained model."""
    blind, reversed_order = [], []
    for board in comparison.boards:
        if "indisc" not in board.null or "original" not in board.rows["indisc"]:
            continue
        null = board.null["indisc"]
        original, low, high = (float(board.rows[f"indisc{end}"]["original"]) for end in ("", "_low", "_high"))
        text = f"{board.name} (Original {number(original, 3)}, a second retrained model {number(null, 3)})"
        if low > null:
            reversed_order.append(text)
        elif high >= null:
            blind.append(text)
    if blind:
        yield f"U-MIA hardly tells Original from a retrained model on {listed(blind)}: Indisc says little there."
    if reversed_order:
        yield (
            f"By Indisc Original comes nearer to the ideal than a retrained model does on {listed(reversed_order)}: "
            "a model that has not learnt F tells it from T by itself."
        )


def _searches(comparison: PaperComparison) -> Iterator[str]:
    for board in comparison.boards:
        rows = board.rows.loc[board.rows.index.intersection(comparison.published.methods)]
        open_ended = [str(name) for name, row in rows.iterrows() if unconverged(row)]
        if open_ended:
            yield (
                f"On {board.name} the search for parameters had not converged for {listed(open_ended)}: more trials "
                f"may move {'it' if len(open_ended) == 1 else 'them'}."
            )


def _figure(comparison: PaperComparison) -> Iterator[str]:
    attacked = [board for board in comparison.boards if len(board.inside_band())]
    if not attacked:
        yield "U-LiRA has run on none of these settings, so that nothing stands beside the paper’s Figure 1."
        return
    inside = [set(_methods(board.inside_band(), comparison)) for board in attacked]
    claims = listed(f"{name} on {sum(name in names for names in inside)} of {len(inside)}" for name in RESISTANT)
    yield (
        f"The paper’s Figure 1 has no printed numbers; the paper says of it that {listed(RESISTANT)} resist U-LiRA. Of "
        f"the settings here that U-LiRA has run on, its interval reaches into the null band for {claims}."
    )


def _methods(inside: pd.Series[bool], comparison: PaperComparison) -> Iterable[str]:
    return inside.index[inside].intersection(comparison.published.methods)
