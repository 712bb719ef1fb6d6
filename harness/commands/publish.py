"""``bench publish``: a scored pull request becomes a part of the board."""

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

    Its form is checked against the schema, its digests, names and arrays against the track; scores are computed here.
    Then bench leaderboard builds the board. A refused pull request has nothing to append, but a comment.
    """
    from unlearn_bench.harness.pulls import publication, result
    from unlearn_bench.harness.pulls.git import Repository
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.support.files import write_file
    from unlearn_bench.harness.tracks.loading import load_track

    references = References(load_track(track, secret), Store())
    scored = result.read(folder)
    if head is not None and scored.head != head:
        raise result.BadResult(f"it is the result of {scored.head[:12]}, not of {head[:12]}")
    checked = publication.check(references, folder, scored, other_harness=other_harness)
    if repo is not None and scored.entries:
        publication.same_as(Repository(repo), scored)
    if not only_check:
        count = publication.merge(references, scored, checked)
        click.echo(f"appended {count} records of {len(checked)} entries to {references.store.root}")
    else:
        click.echo(f"ok: {len(checked)} entries may be published")
    if comment is not None:
        write_file(comment, publication.comment_of(references, scored).encode())
        click.echo(f"wrote {comment}")
