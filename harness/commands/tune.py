"""``bench tune``: a search for hyper-parameters with an equal budget for all."""

from __future__ import annotations

import json
from pathlib import Path

import click

from unlearn_bench.harness.commands._options import (
    executor_option,
    gpu_option,
    json_option,
    sandbox_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "run",
    "Search hyper-parameters, with an equal budget for all",
    epilog="Examples: bench tune my_method.py; bench tune ft msg --trials 30 --export baselines/tuned",
)
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
@click.option(
    "--role",
    type=click.Choice(["seed", "shadow"]),
    default="seed",
    show_default=True,
    help="shadow: for U-LiRA's units, on a pair of splits that no score reads (paper, appendix D).",
)
@sandbox_option
@gpu_option
@executor_option
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Write the choice as it ships, too.")
@json_option
def command(
    entries: tuple[str, ...],
    track: str,
    secret: Path | None,
    trials: int | None,
    objective: str,
    role: str,
    sandbox: str,
    gpu: int | None,
    export: Path | None,
    as_json: bool,
) -> None:
    """Search hyper-parameters for ENTRIES (files, or names of shipped methods) over their SEARCH_SPACE.

    The same number of trials and model seeds for every method. A file of yours runs in the sandbox, one unit per core;
    the shipped methods run in worker processes unless --sandbox names one. Every trial is kept, a killed search goes on
    where it stopped, and submit and baselines pick up the choice.
    """
    from typing import cast

    from unlearn_bench.harness.references.roles import tuning_roles
    from unlearn_bench.harness.support.files import write_file
    from unlearn_bench.harness.support.progress import Bar
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure, tuning
    from unlearn_bench.harness.workflows import session

    loaded = load_track(track, secret)
    if role == "shadow":
        session.needs_shadows(loaded)
    if any(session.find_entry(name).kind == "entry" for name in entries):
        disclosure.not_public(loaded, "a search for parameters")
    references = session.open_references(loaded, gpu)
    if role == "shadow":
        session.train_missing(references, tuning_roles(loaded), None, () if gpu is None else (gpu,))
    setting = cast(tuning.Setting, role)
    budget = trials or loaded.analysis.trials
    summaries, said = [], ""
    for name in entries:
        entry = session.find_entry(name)
        if not entry.search_space:
            raise session.nothing_to_tune(entry)
        study = tuning.Study(references, entry, cast(tuning.Objective, objective), setting)
        each = len(tuning.units(entry, loaded, setting))
        opened, line = session.open_runner(references, [entry], sandbox, gpu)
        if line != said:
            click.echo(line, err=True)
            said = line
        bar = Bar(f"tuning {entry.name}", budget * each, "units", done=len(study.trials()) * each)
        with opened as runner, bar:
            for trial in study.search(runner, budget, bar.step):
                bar.line(f"{entry.name} trial {trial.number}: loss {trial.loss:.4f} {'/'.join(trial.statuses)}")
        summary = study.summary()
        where = tuning.place(loaded, setting)
        references.store.write(f"tuned/{where}", entry.name, summary)
        if export is not None:
            text = json.dumps(summary, indent=1, sort_keys=True) + "\n"
            write_file(export / where / f"{entry.name}.json", text.encode())
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
