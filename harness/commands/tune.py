"""``bench tune``: a search for hyper-parameters with an equal budget for all."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.commands._options import json_option, track_option


@click.command(epilog="Examples: bench tune my_method.py; bench tune ft msg --trials 30 --export baselines/tuned")
@click.argument("entries", nargs=-1, required=True)
@track_option
@click.option("--trials", type=click.IntRange(min=1), help="Configurations to try; default: the track's budget.")
@click.option(
    "--objective",
    type=click.Choice(["paper", "oracle-free"]),
    default="paper",
    show_default=True,
    help="paper: near the retrained model (equations 5-6). oracle-free: without it, as a user would have to.",
)
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Write the choice as it ships, too.")
@json_option
def command(
    entries: tuple[str, ...], track: str, trials: int | None, objective: str, export: Path | None, as_json: bool
) -> None:
    """Search hyper-parameters for ENTRIES (files, or names of shipped methods) over their SEARCH_SPACE.

    The same number of trials and model seeds for every method. Runs WITHOUT a sandbox, in worker processes: tune only
    code that you trust. Every trial is kept, a killed search goes on where it stopped, and submit and baselines
    pick up the choice.
    """
    from typing import cast

    from harness import session, tuning
    from harness import track as tracks
    from harness.progress import Bar
    from harness.store import write_file

    loaded = tracks.load(track)
    references = session.open_references(loaded)
    budget = trials or loaded.analysis.trials
    summaries = []
    for name in entries:
        entry = session.find_entry(name)
        if not entry.search_space:
            raise session.nothing_to_tune(entry)
        study = tuning.Study(references, entry, cast(tuning.Objective, objective))
        each = len(tuning.seeds(loaded))
        with Bar(f"tuning {entry.name}", budget * each, "units", done=len(study.trials()) * each) as bar:
            for trial in study.search(budget, bar.step):
                bar.line(f"{entry.name} trial {trial.number}: loss {trial.loss:.4f} {'/'.join(trial.statuses)}")
        summary = study.summary()
        references.store.write(f"tuned/{loaded.name}", entry.name, summary)
        if export is not None:
            text = json.dumps(summary, indent=1, sort_keys=True) + "\n"
            write_file(export / loaded.name / f"{entry.name}.json", text.encode())
        summaries.append(summary)
        if not as_json:
            chosen = summary["parameters"].items()
            parameters = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in chosen)
            click.echo(
                f"{entry.name}: loss {summary['loss']:.4f} in trial {summary['trial']} of {summary['trials']} "
                f"({summary['failed_trials']} failed, {summary['cpu_seconds']:.0f} CPU s): {parameters}"
            )
    if as_json:
        click.echo(json.dumps(summaries, indent=1))
