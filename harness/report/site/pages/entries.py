"""One page per entry and track: everything that may be known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from unlearn_bench.harness.report.site import entry_data, entry_plots, table_heads
from unlearn_bench.harness.report.site.contract import Page, Site
from unlearn_bench.harness.report.site.page_data import Board, EntryPage
from unlearn_bench.harness.report.site.templating import render
from unlearn_bench.harness.results.board import REFERENCES, Results
from unlearn_bench.harness.results.curves import Curves

DASHED = " A dashed one is so wide that it would not clear a retrained model either."


def pages(site: Site) -> Iterator[Page]:
    """Yield the page of every entry on every track that it has run."""
    for results in site.tracks:
        track = results.references.track.name
        reference_curves = cache(partial(entry_data.references, results))
        ranked = sum(row.part == "ranked" for row, _ in site.rows[track].values())
        for name in site.rows[track]:
            yield site.entry_files[name][track], partial(_page, site, results, name, ranked, reference_curves)


def _page(
    site: Site, results: Results, name: str, ranked: int, reference_curves: Callable[[], Mapping[str, Curves]]
) -> str:
    track = results.references.track.name
    rows = site.rows[track]
    board = next(each for each in site.boards if each.single and each.tracks[0] == track)
    beside: dict[str, Mapping[Any, Any]] = {kind: rows[kind][1] if kind in rows else {} for kind in REFERENCES}
    page = entry_data.page(results, name, *rows[name], {**beside, "null": board.null}, reference_curves())
    return render(
        site,
        "entry.html",
        root="../../",
        page=page,
        board_file=site.board_files[page.board],
        ranked=ranked,
        elsewhere=[(other, file) for other, file in site.entry_files[name].items() if other != track],
        plots=_plots(page, board),
        tables=(
            ("Entry", page.metadata),
            ("Digests", page.digests),
            ("Search", page.search),
            ("Environment", page.environment),
        ),
        seed_columns=table_heads.unit_columns(page.corruption),
    )


def _plots(page: EntryPage, board: Board) -> list[tuple[str, str, Any]]:
    """Heading, words below it, and picture."""
    plots: list[tuple[str, str, Any]] = []
    if page.shares:
        plots.append(
            (
                "Everything that looked for F",
                "On the scale from what retrained models read to what Original reads, the strongest evidence first; "
                f"intervals hold for all lines together.{'' if all(share.clears for share in page.shares) else DASHED}",
                entry_plots.panel(page.shares),
            )
        )
    if (seeds := entry_plots.seeds(page.seeds, board.scales)) is not None:
        words = (
            "On the scale from what retrained models read to what Original reads: how far the mean can be relied on."
        )
        plots.append(("Every seed", words, seeds))
    if page.relearning:
        words = "Accuracy on F while the models are trained only on R: what comes back was hidden, not forgotten."
        plots.append(("Relearning", words, entry_plots.relearning(page.relearning)))
    if not page.curves:
        return plots
    return [
        *plots,
        (
            "Losses on F and T",
            "Pooled over the seeds: after perfect unlearning both look the same.",
            entry_plots.losses(page.curves["own"]),
        ),
        (
            "ROC of U-MIA",
            "The attack takes small losses for forgotten ones; dotted: chance.",
            entry_plots.roc(page.curves),
        ),
    ]
