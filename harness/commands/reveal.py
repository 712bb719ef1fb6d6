"""``bench reveal``: publish the secret of a sealed track, or check a published one."""

from __future__ import annotations

import os
from pathlib import Path

import click

from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Print or check the secret of a sealed track",
    epilog="Examples: bench reveal cup.toml --secret ~/secrets/cup.toml > cup-secret.toml; "
    "bench reveal cup.toml --secret cup-secret.toml --check",
)
@click.argument("track")
@click.option("--secret", type=click.Path(path_type=Path), help="The secret file; default: BENCH_SECRETS.")
@click.option("--check", "only_check", is_flag=True, help="Only say whether this is what the track committed to.")
def command(track: str, secret: Path | None, only_check: bool) -> None:
    """Print the secret of the sealed TRACK, to be published after the competition; with --check verify a published one.

    With the published secret everybody can run the track and get the same splits, models and numbers. Exit code 2 when
    the secret is not the one that the track commits to.
    """
    from unlearn_bench.harness.support.errors import TrackError
    from unlearn_bench.harness.tracks import sealed
    from unlearn_bench.harness.tracks.loading import commitment_of, parse_track, read_track

    table, path = read_track(track)
    commitment = commitment_of(table, path)
    if commitment is None:
        raise TrackError(f"track {track} is not sealed", "its seeds stand in its file")
    place = secret or Path(os.environ.get(sealed.VARIABLE, ""))
    place = place / f"{path.stem}.toml" if place.is_dir() else place
    found = sealed.read(place)
    sealed.check(path.stem, commitment, found, place)
    parse_track(table, path, found)
    if only_check:
        click.echo(f"ok: {place} is the secret that {path.stem} commits to ({commitment[:16]}…)")
    else:
        click.echo(found.text(path.stem), nl=False)
