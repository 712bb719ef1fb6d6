"""``bench leaderboard``: the board of a track, or a site of the boards of several, built from the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import DEFAULT_TRACK, secret_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.tracks.specification import Track

ENDINGS = {
    "table": "txt",
    "csv": "csv",
    "json": "json",
    "parquet": "parquet",
    "markdown": "md",
    "ulira": "ulira.svg",
    "html": "html",
}


@verb(
    "look",
    "Show the board of a track, or build the site",
    epilog="Examples: bench leaderboard; bench leaderboard --format csv --out site/; "
    "bench leaderboard --format html --out site/",
)
@click.option(
    "--track",
    "names",
    multiple=True,
    metavar="NAME",
    help=f"A track's name, or a .toml file; may be repeated. Default: {DEFAULT_TRACK}; with html all shipped tracks "
    "that have records.",
)
@secret_option
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(ENDINGS)),
    default="table",
    show_default=True,
    help="Form of the board; html: a site; ulira: a plot of U-LiRA's accuracy per method with its null band.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write TRACK.<ending>, or the site, into this folder.",
)
@click.option("--public", is_flag=True, help="Rank only rows whose units come from trusted back ends (docker).")
def command(names: tuple[str, ...], secret: Path | None, form: str, out: Path | None, public: bool) -> None:
    """Show the board of a track: deterministic, from what is stored; runs nothing.

    With --format html the boards and entries of several tracks become static pages that open from a disk: beside
    each track's board one over all tracks, and one per architecture and data set that has several. With --public,
    rows that ran without a container are listed with the badge "untrusted sandbox" and have no rank.
    """
    from unlearn_bench.harness.support.errors import USAGE, BenchError
    from unlearn_bench.harness.tracks.loading import load_track

    if out is None and (form in ("html", "parquet") or len(names) > 1):
        what = "several tracks" if form not in ("html", "parquet") else f"--format {form}"
        raise BenchError(f"{what}: that is not for a terminal", "your command", "add --out FOLDER", USAGE)
    if form == "html":
        assert out is not None
        _site([load_track(name, secret) for name in names] if names else _with_records(secret), out, public)
        return
    for name in names or (DEFAULT_TRACK,):
        loaded = load_track(name, secret)
        content = _content(loaded, form, public)
        if out is None:
            click.echo(content.decode(), nl=False)
            continue
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{loaded.name}.{ENDINGS[form]}"
        path.write_bytes(content)
        click.echo(f"wrote {path}")


def _content(track: Track, form: str, public: bool) -> bytes:
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.report import tables
    from unlearn_bench.harness.report.site import board_plots
    from unlearn_bench.harness.results import board
    from unlearn_bench.harness.store.store import Snapshot
    from unlearn_bench.harness.support.errors import USAGE, BenchError

    references = References(track, Snapshot())
    ranked, null = board.board(references, public), board.null(references)
    if form == "parquet":
        return tables.parquet(ranked)
    if form == "csv":
        return tables.csv(ranked).encode()
    if form == "ulira":
        if ranked["ulira"].isna().all():
            what = f"no entry has run U-LiRA on {track.name}"
            raise BenchError(what, "your command", "run `bench baselines --lira`, or `bench submit FILE --lira`", USAGE)
        title = f"U-LiRA on {track.analysis.title}"
        text: str = board_plots.ulira(board_plots.ulira_rows(ranked), null, title, standalone=True)
    elif form == "json":
        text = tables.as_json(ranked, track, null, board.floor(references))
    elif form == "markdown":
        text = tables.markdown(ranked)
    else:
        text = tables.table(ranked, track, null, board.floor(references))
    return f"{text}\n".encode()


def _with_records(secret: Path | None) -> list[Track]:
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track, track_names
    from unlearn_bench.harness.units.records import record_kind

    store = Store()
    loaded = [load_track(name, secret) for name in track_names()]
    return [
        one
        for one in loaded
        if next(iter(store.all(record_kind(one.reference_digest, one.protocol_digest))), None) is not None
    ]


def _site(loaded: list[Track], out: Path, public: bool) -> None:
    from unlearn_bench.harness.report.site import board_data
    from unlearn_bench.harness.report.site.build import build
    from unlearn_bench.harness.store.store import Snapshot
    from unlearn_bench.harness.support.parallel import uncollected
    from unlearn_bench.harness.support.progress import Bar

    with uncollected():
        found = board_data.read(loaded, Snapshot(), public, lambda one: click.echo(f"read {one.name}", err=True))
        with Bar("pages", sum(len(one.entries) for one in found), unit="entries") as bar:
            count = build(found, out, public, bar.at)
    click.echo(f"wrote {count} pages; open {out / 'index.html'}")
