"""``bench leaderboard``: the board of a track, built from the store."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands._options import track_option

ENDINGS = {"table": "txt", "csv": "csv", "json": "json", "svg": "svg", "markdown": "md", "ulira": "ulira.svg"}


@click.command(epilog="Examples: bench leaderboard; bench leaderboard --format csv --out site/")
@track_option
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(ENDINGS)),
    default="table",
    show_default=True,
    help="Form of the board; ulira: a plot of U-LiRA's accuracy per method with its null band.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write TRACK.<ending> into this folder.")
@click.option("--public", is_flag=True, help="Rank only rows whose units come from trusted back ends (docker).")
def command(track: str, form: str, out: Path | None, public: bool) -> None:
    """Show the board of a track: deterministic, from what is stored; runs nothing.

    With --public, rows that ran without a container are listed with the badge "untrusted sandbox" and have no rank.
    """
    from harness import board, plots, render
    from harness import track as tracks
    from harness.errors import USAGE, BenchError
    from harness.references import References
    from harness.store import Store

    loaded = tracks.load(track)
    references = References(loaded, Store())
    ranked, floor = board.board(references, public), board.floor(references)
    if form == "csv":
        text = render.csv(ranked).rstrip("\n")
    elif form == "json":
        text = render.as_json(ranked, loaded, board.null(references), floor)
    elif form == "ulira":
        if ranked["ulira"].isna().all():
            what = f"no entry has run U-LiRA on {loaded.name}"
            raise BenchError(what, "your command", "run `bench baselines --lira`, or `bench submit FILE --lira`", USAGE)
        text = plots.ulira(ranked, board.null(references), f"U-LiRA on {loaded.analysis.title}")
    elif form == "markdown":
        text = render.markdown(ranked)
    else:
        text = render.table(ranked, loaded, board.null(references), floor)
        if form == "svg":
            text = render.svg(text, "bench leaderboard")
    if out is None:
        click.echo(text)
        return
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{loaded.name}.{ENDINGS[form]}"
    path.write_text(text + "\n", encoding="utf-8")
    click.echo(f"wrote {path}")
