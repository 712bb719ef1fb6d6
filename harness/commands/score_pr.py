"""``bench score-pr``: what a pull request adds is read from git, scored, and reported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import gpu_option, json_option, lira_option, sandbox_option, track_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.pulls.result import PullResult


@verb(
    "organise",
    "Score the entries that a pull request adds",
    epilog="Examples: bench score-pr --base main --head 0123abcd --out result; "
    "bench score-pr --base origin/main --repo ~/clone --smoke --sandbox docker",
)
@click.option("--base", required=True, metavar="REF", help="The branch or commit that the pull request is for.")
@click.option("--head", default="HEAD", show_default=True, metavar="SHA", help="The pull request's newest commit.")
@click.option("--repo", type=click.Path(path_type=Path), default=".", help="A clone that has both; default: here.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write result.json, comment.md and blobs/."
)
@click.option("--allow-change", is_flag=True, help="A maintainer's word: entries of the base branch may be replaced.")
@click.option("--smoke", is_flag=True, help="One seed each, for a first look; the result cannot be published.")
@track_option
@sandbox_option
@gpu_option
@lira_option
@json_option
def command(
    base: str,
    head: str,
    repo: Path,
    out: Path | None,
    allow_change: bool,
    smoke: bool,
    track: str,
    secret: Path | None,
    sandbox: str,
    gpu: int | None,
    lira: bool,
    as_json: bool,
) -> None:
    """Score the entries that a pull request adds, with this installation's harness; nothing of it is checked out.

    A pull request may add files submissions/NAME.py, one regular file per entry, and nothing else. One run per commit:
    a second one gives the stored result. Exit code 10 for a refused pull request, else that of the first entry that
    failed (see bench --help). Writes the comment to $GITHUB_STEP_SUMMARY, too, where that is set.
    """
    from unlearn_bench.harness.pulls import comment as comments
    from unlearn_bench.harness.pulls import outcome, provenance, publication, pull_request, result
    from unlearn_bench.harness.pulls.git import Repository
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure
    from unlearn_bench.harness.units.tuning import tuned
    from unlearn_bench.harness.workflows import session

    repository, loaded, store = Repository(repo), load_track(track, secret), Store()
    if smoke:
        disclosure.not_public(loaded, "a part of the seeds")
    pull = pull_request.read(repository, base, head, allow_change)
    harness = provenance.compare_with_commit(repository, pull.base)
    click.echo(harness.line, err=True)
    references = References(loaded, store)
    scored = None if smoke else publication.find(references, pull.head)
    stored = scored is not None
    if scored is not None:
        click.echo(f"{pull.head[:12]} was scored on {scored.date}: this is that result", err=True)
    else:
        entries = []
        for submission in pull.submissions:
            disclosure.within_quota(store, submission.entry, loaded)
        if pull.submissions:
            bench, line = session.open_bench(loaded, sandbox, gpu)
            references = bench.references
            click.echo(line, err=True)
            seeds = range(1 if smoke else loaded.protocol.seeds)
            for submission in pull.submissions:
                entry = tuned(submission.entry, loaded, store)
                records = list(session.run_seeds(bench, entry, seeds, gpu).values())
                shadow = None
                if lira and not smoke and all(record.status == "ok" for record in records):
                    attacked = tuned(submission.entry, loaded, store, "shadow")
                    (shadow,) = session.run_shadows(references, [attacked], sandbox, gpu, None, False)
                entries.append(outcome.entry_result(references, submission, records, shadow))
        scored = outcome.pull_result(references, pull, harness, smoke=smoke, entries=entries)
    text = comments.comment(scored)
    if not stored and not smoke and scored.status != "refused" and scored.exit_code != 20:
        publication.keep(references, scored)
    if out is not None:
        result.write(out, scored, text, outcome.blobs(references, scored))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    if as_json:
        import json

        click.echo(json.dumps(result.to_json(scored), indent=1))
    else:
        _report(scored)
    if pull.refusals and not stored:
        raise pull_request.refused(pull)
    if scored.exit_code:
        raise click.exceptions.Exit(scored.exit_code)


def _report(scored: PullResult) -> None:
    for entry in scored.entries:
        click.echo(f"{entry.name}: {entry.verdict or 'not on the board'}")
        if entry.status != "ok":
            click.echo(f"  {entry.status}; whose: {entry.whose}; do: {entry.remedy}")
