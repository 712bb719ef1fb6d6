"""``bench publish``: a scored pull request becomes a part of the board."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands._options import track_option


@click.command(epilog="Examples: bench publish result --repo . --comment comment.md; bench publish result --check")
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
    from harness import pull_publish, pull_result
    from harness import track as tracks
    from harness.files import write_file
    from harness.git import Repository
    from harness.references import References
    from harness.store import Store

    references = References(tracks.load(track), Store())
    document = pull_result.read(folder)
    if head is not None and document["head"] != head:
        raise pull_result.BadResult(f"it is the result of {document['head'][:12]}, not of {head[:12]}")
    checked = pull_publish.check(references, folder, document, other_harness=other_harness)
    if repo is not None and document["entries"]:
        pull_publish.same_as(Repository(repo), document)
    if not only_check:
        count = pull_publish.merge(references, document, checked)
        click.echo(f"appended {count} records of {len(checked)} entries to {references.store.root}")
    else:
        click.echo(f"ok: {len(checked)} entries may be published")
    if comment is not None:
        write_file(comment, pull_publish.comment_of(references, document).encode())
        click.echo(f"wrote {comment}")
