"""``bench duplicates``: near-duplicates in a track's data set, and a split that keeps them together."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from unlearn_bench.harness.commands._options import json_option, organiser_option, track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Find near-duplicates among a track's images",
    epilog="Example: bench duplicates --track utkface-resnet18 --out utkface-groups.npy",
)
@track_option
@organiser_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the group of every example here (.npy)."
)
@json_option
def command(track: str, secret: Path | None, organiser: bool, out: Path | None, as_json: bool) -> None:
    """Find near-duplicates among a track's images, and how its split of seed 0 parts them.

    An example with a duplicate in R cannot be forgotten, and a test example with one in R or F is not unseen. With
    --out it also prints the lines with which a track of your own keeps duplicates together.
    """
    from unlearn_bench.harness.commands._progress import TerminalObserver
    from unlearn_bench.harness.workflows.duplicates import find_duplicates

    result = find_duplicates(track, secret, TerminalObserver(), out, organiser=organiser)
    if as_json:
        numbers = {name: value for name, value in dataclasses.asdict(result).items() if value is not None}
        click.echo(json.dumps(numbers, indent=1))
        return
    click.echo(
        f"{result.track}: {result.groups:,} groups of near-duplicates, {result.in_groups:,} of {result.examples:,} "
        f"images; the largest has {result.largest:,}; {result.groups_with_different_labels:,} groups have different "
        "labels"
    )
    if result.too_alike:
        click.echo(
            f"note: one group holds {result.largest:,} images: this set's are too alike to tell copies from others",
            err=True,
        )
    click.echo(f"forget: {result.forget_with_one_in_r:,} of {result.forget:,} have one in R")
    click.echo(f"test:   {result.test_with_one_in_r_or_f:,} of {result.test:,} have one in R or F")
    if out is not None:
        click.echo('\n[splits]\nrule = "fixed"  # or "per-seed"')
        click.echo(f'groups = "{out.name}"\ngroups_sha256 = "{result.sha256}"')
