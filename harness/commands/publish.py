"""``bench publish``: add a scored pull request to the store."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._options import track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Add a scored pull request to the store",
    epilog="Examples: bench publish result --repo . --comment comment.md; bench publish result --check",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@track_option
@click.option(
    "--repo", type=click.Path(path_type=Path), help="A clone: check that the entries are those of its commits."
)
@click.option("--head", metavar="SHA", help="Check that it is the result of this commit.")
@click.option("--comment", type=click.Path(path_type=Path, dir_okay=False), help="Write the comment into this file.")
@click.option("--check", "only_check", is_flag=True, help="Check everything, append nothing.")
@click.option("--other-harness", is_flag=True, help="Accept a harness that is not that of the base commit.")
def command(
    folder: Path,
    track: str,
    secret: Path | None,
    repo: Path | None,
    head: str | None,
    comment: Path | None,
    only_check: bool,
    other_harness: bool,
) -> None:
    """Check the FOLDER that bench score-pr wrote, as data, and append its records to the store.

    Its form is checked against the schema, and its digests, names and arrays against the track. Scores are computed
    here. Then bench leaderboard builds the board. A refused pull request only has a comment.
    """
    from unlearn_bench.harness.support.files import write_file
    from unlearn_bench.harness.workflows.score_pr import publish

    result = publish(folder, track, secret, repo=repo, head=head, only_check=only_check, other_harness=other_harness)
    entries = "1 entry" if result.entries == 1 else f"{result.entries} entries"
    if result.result.refusals:
        click.echo("the pull request was refused: there is nothing to publish but the comment")
    elif result.result.track.sealed:
        click.echo("a sealed track's result holds no records: those of its entries are in the store that scored them")
    elif result.records is None:
        click.echo(f"ok: {entries} may be published")
    else:
        click.echo(
            f"appended {result.records} records of {entries} to {result.store}; {result.present} were there already"
        )
        for name, stands in result.rows.items():
            click.echo(
                f"{name}: " + ("this is its row now" if stands else "not complete, so its row stays what it was")
            )
    if comment is not None:
        write_file(comment, result.comment().encode())
        click.echo(f"wrote {comment}")
