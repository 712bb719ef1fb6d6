"""One page per entry and track: everything that may be known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from unlearn_bench.harness.report.site import entry_data, entry_plots, table_heads
from unlearn_bench.harness.report.site.contract import Page, Site
from unlearn_bench.harness.report.site.page_data import EntryPage
from unlearn_bench.harness.report.site.templating import render
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.results.curves import Curves


def pages(site: Site) -> Iterator[Page]:
    """Yield the page of every entry on every track that it has run."""
    for results in site.tracks:
        reference_curves = cache(partial(entry_data.references, results))
        for name in site.rows[results.references.track.name]:
            yield _file(site, results, name), partial(_page, site, results, name, reference_curves)


def _file(site: Site, results: Results, name: str) -> str:
    return site.entry_files[name][results.references.track.name]


def _page(site: Site, results: Results, name: str, reference_curves: Callable[[], Mapping[str, Curves]]) -> str:
    track = results.references.track.name
    rows = site.rows[track]
    page = entry_data.page(results, name, *rows[name], reference_curves())
    return render(
        site,
        "entry.html",
        root="../../",
        page=page,
        board_file=site.board_files[page.board],
        ranked=sum(row.part == "ranked" for row, _ in rows.values()),
        elsewhere=[(other, file) for other, file in site.entry_files[name].items() if other != track],
        plots=_plots(page),
        tables=(
            ("Entry", page.metadata),
            ("Digests", page.digests),
            ("Search", page.search),
            ("Environment", page.environment),
        ),
        seed_columns=table_heads.unit_columns(page.corruption),
    )


def _plots(page: EntryPage) -> list[tuple[str, str, Any]]:
    """Heading, words below it, and picture."""
    plots: list[tuple[str, str, Any]] = []
    if page.shares:
        plots.append(
            (
                "Everything that looked for F",
                "On the scale from what retrained models read to what Original reads, the strongest evidence first; "
                "intervals hold for all lines together.",
                entry_plots.panel(page.shares),
            )
        )
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
