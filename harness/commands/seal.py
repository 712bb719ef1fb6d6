"""``bench seal``: take the seeds out of a track."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Move the seeds of a track into a secret file",
    epilog="Examples: bench seal cup.toml --secret ~/secrets/cup.toml --quota 5; "
    "bench submit entry.py --track cup.toml --secret ~/secrets/cup.toml",
)
@click.argument("track", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--secret",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The secret file to write; never inside a git work tree.",
)
@click.option(
    "--quota",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many different versions of one entry are scored; 0: any number.",
)
def command(track: Path, secret: Path, quota: int) -> None:
    """Seal a competition's TRACK file: draw fresh seeds into a secret file, and leave a commitment in their place.

    Whoever has the secret can run the track: point BENCH_SECRETS (file or folder) or --secret at it. Everybody
    else sees statuses and numbers over all seeds. After the competition bench reveal publishes the secret, and anybody
    can check that it is the one that was committed to.
    """
    from unlearn_bench.harness.workflows.sealing import seal

    seal(track, secret, quota)
    click.echo(f"sealed {track}; its secret is {secret}: keep a copy, nothing can replace it")
