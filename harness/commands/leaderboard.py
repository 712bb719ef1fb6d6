"""``bench leaderboard``: the board of a track, or a site of the boards of several, built from the store."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import Choice, secret_option
from unlearn_bench.harness.commands._verbs import verb
from unlearn_bench.harness.tracks import DEFAULT_TRACK

ENDINGS = {
    "table": "txt",
    "csv": "csv",
    "json": "json",
    "parquet": "parquet",
    "markdown": "md",
    "latex": "tex",
    "bibtex": "bib",
    "ulira": "ulira.svg",
    "html": "html",
}


@verb(
    "look",
    "Show the board of a track, or build the site",
    epilog="Examples: bench leaderboard; bench leaderboard --format csv --out site/; "
    "bench leaderboard --columns literature --format latex; "
    "bench leaderboard --overall; bench leaderboard --format html --out site/; bench leaderboard --figures figures/",
)
@click.option(
    "--track",
    "names",
    multiple=True,
    shell_complete=_completion.tracks,
    metavar="NAME",
    help=f"A track's name, or a .toml file; may be repeated. Default: {DEFAULT_TRACK}; with html all shipped tracks "
    "that have records.",
)
@secret_option
@click.option(
    "--format",
    "form",
    type=Choice(sorted(ENDINGS)),
    default="table",
    show_default=True,
    help="Form of the board; html: a site; ulira: a plot of U-LiRA's accuracy per method with its null band; latex: a "
    "table for a paper (booktabs); bibtex: what its methods cite.",
)
@click.option(
    "--columns",
    type=Choice(["board", "literature"]),
    default="board",
    show_default=True,
    help="literature: what papers report (UA, RA, TA, MIA-efficacy, ToW, ZRF, …), never ranked, with Original, Retrain "
    "and a second retrained model; see docs/literature.md.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write TRACK.<ending>, TRACK-literature.<ending> or the site into this folder.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write every plot of the board and of its entries as PDF and SVG into this folder (needs matplotlib).",
)
@click.option(
    "--overall",
    is_flag=True,
    help="One board over the tracks, by default over all shipped ones that have records, and the paper's tables beside "
    "it; table or json.",
)
@click.option("--public", is_flag=True, help="Rank only rows whose units come from trusted back ends (docker).")
def command(
    names: tuple[str, ...],
    secret: Path | None,
    form: str,
    columns: str,
    out: Path | None,
    figures: Path | None,
    overall: bool,
    public: bool,
) -> None:
    """Show the board of a track, from what is stored; nothing is run.

    With --format html the boards and entries of several tracks become static pages that open from a disk. Beside each
    track's board there is one over all tracks, and one per architecture and data set that has several. With --public,
    rows that ran without a container are listed with the badge "untrusted sandbox" and have no position. With --overall
    Tables 1 and 2 and Figure 1 of the paper stand beside ours, and Kendall's tau says how far the orders agree.
    """
    from unlearn_bench.harness.commands._progress import TerminalObserver
    from unlearn_bench.harness.commands._terminal import look
    from unlearn_bench.harness.report.board_files import board_file, overall_file
    from unlearn_bench.harness.report.literature_files import literature_file
    from unlearn_bench.harness.report.text_table import PLAIN
    from unlearn_bench.harness.support.errors import USAGE, BenchError
    from unlearn_bench.harness.workflows.leaderboard import build_site, leaderboard, overall_board, write_figures
    from unlearn_bench.harness.workflows.literature import literature_table

    if overall:
        if columns == "literature" or figures is not None or form not in ("table", "json"):
            what = "--overall is a table or json, and goes with neither --columns nor --figures"
            raise BenchError(what, "your command", "leave out what does not go with it", USAGE)
        _put(overall_file(overall_board(names, secret, public=public), form), out, f"overall.{ENDINGS[form]}")
        return
    if columns == "literature" and (figures is not None or form in ("html", "ulira")):
        what = f"{'--figures' if figures is not None else f'--format {form}'} shows the board's columns only"
        raise BenchError(what, "your command", "leave out --columns literature, or choose another --format", USAGE)
    if figures is not None:
        count = write_figures(names, figures, secret, TerminalObserver(), public=public)
        click.echo(f"wrote {count} figures to {figures}, each as PDF and as SVG")
        if out is None:
            return
    if out is None and (form in ("html", "parquet") or len(names) > 1):
        what = "several tracks" if form not in ("html", "parquet") else f"--format {form}"
        remedy = "add --out FOLDER" + ("" if form in ("html", "parquet") else ", or --overall for one board over them")
        raise BenchError(f"{what}: that is not for a terminal", "your command", remedy, USAGE)
    if form == "html":
        assert out is not None
        count = build_site(names, out, secret, TerminalObserver(), public=public)
        click.echo(f"wrote {count} pages; open {out / 'index.html'}")
        return
    shown = PLAIN if out else look()
    for name in names or (DEFAULT_TRACK,):
        if columns == "literature":
            table = literature_table(name, secret, TerminalObserver(), public=public)
            content, stem = literature_file(table, form, shown), f"{table.track.name}-literature"
        else:
            board = leaderboard(name, secret, public=public)
            content, stem = board_file(board, form, shown), board.track.name
        _put(content, out, f"{stem}.{ENDINGS[form]}")


def _put(content: bytes, out: Path | None, name: str) -> None:
    """Print a form of a board, or write it into a folder."""
    from unlearn_bench.harness.support.files import write_file

    if out is None:
        click.echo(content.decode(), nl=False)
        return
    write_file(out / name, content)
    click.echo(f"wrote {out / name}")
