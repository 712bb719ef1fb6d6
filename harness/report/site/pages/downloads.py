"""The files that readers take with them: each track's board for other programs, and its figures."""

from __future__ import annotations

from collections.abc import Iterator

from unlearn_bench.harness.report.site import downloads
from unlearn_bench.harness.report.site.contract import Page, Site


def pages(site: Site) -> Iterator[Page]:
    """Yield the files of every track's board."""
    boards = {board.tracks[0]: board for board in site.boards if board.single}
    for results in site.tracks:
        track = results.references.track.name
        yield from downloads.files(results, boards[track], site.tables[track]).items()
