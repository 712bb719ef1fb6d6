"""``bench score-pr``: what a pull request adds is read from git, scored, and reported."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import (
    gpu_option,
    json_option,
    lira_option,
    run_options,
    sandbox_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.executors import RunOptions


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
@click.option("--allow-change", is_flag=True, help="Let the pull request replace entries of the base branch.")
@click.option(
    "--received",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    metavar="TIME",
    help="When the commit arrived, for the deadline of a competition, such as 2026-12-24T20:00:00+0100; default: now.",
)
@click.option("--smoke", is_flag=True, help="One seed each, for a first look; the result cannot be published.")
@track_option
@sandbox_option
@gpu_option
@lira_option
@json_option
@run_options
def command(
    base: str,
    head: str,
    repo: Path,
    out: Path | None,
    allow_change: bool,
    received: datetime.datetime | None,
    smoke: bool,
    track: str,
    lira: bool,
    as_json: bool,
    options: RunOptions,
) -> None:
    """Score the entries that a pull request adds, with this installation's harness; nothing is checked out.

    A pull request may add files submissions/NAME.py, one regular file per entry, and nothing else. What arrived after
    the deadline of the track's [competition] is refused. One run per commit: a second one gives the stored result. An
    entry that does not pass bench check is invalid, and the others run. Exit
    code 10 for a refused pull request, else that of the first entry that failed (see bench --help). If
    $GITHUB_STEP_SUMMARY is set, the comment is also written there.
    """
    from unlearn_bench.harness.pulls import result
    from unlearn_bench.harness.workflows.score_pr import score_pull

    pull = score_pull(
        repo, base, head, track, options, lira=lira, smoke=smoke, allow_change=allow_change, received=received
    )
    scored = pull.result
    if out is not None:
        pull.write(out)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(pull.comment)
    if as_json:
        click.echo(json.dumps(result.to_json(scored), indent=1))
    else:
        for entry in scored.entries:
            click.echo(f"{entry.name}: {entry.verdict or 'not on the board'}")
            if entry.status != "ok":
                click.echo(f"  {entry.status}; whose: {entry.whose}; do: {entry.remedy}")
            for note in entry.notes:
                click.echo(f"  note: {note}")
        for refusal in scored.invalid:
            click.echo(f"{refusal.line}\n  invalid; whose: your method; do: {refusal.remedy}")
    if pull.refusal is not None:
        raise pull.refusal
    if scored.exit_code:
        raise click.exceptions.Exit(scored.exit_code)
