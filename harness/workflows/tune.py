"""``bench tune``: a search for hyper-parameters with an equal budget for all."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from unlearn_bench.harness.entries.entry import Entry, find_entry, require_allowed
from unlearn_bench.harness.executors import Executor, RunOptions, connected
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import tuning_roles, tuning_shadow_roles
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure, tuning
from unlearn_bench.harness.workflows.training import open_references, train_missing
from unlearn_bench.harness.workflows.untimed import needs_shadows

logger = logging.getLogger(__name__)


def tune(
    names: Sequence[str],
    track: str,
    options: RunOptions,
    *,
    trials: int | None = None,
    objective: tuning.Objective = "paper",
    setting: tuning.Setting = "seed",
    export: Path | None = None,
) -> Iterator[tuning.SearchChoice]:
    """Search the hyper-parameters of entries over their search spaces, one entry after the other.

    Every trial is kept, and an interrupted search resumes; ``submit`` and ``run_baselines`` use its choice.

    Args:
        names: of shipped methods, or paths of submissions.
        track: a track's name, or the path of a TOML file.
        options: how to run them.
        trials: how many configurations are tried; default: :func:`harness.units.tuning.budget`.
        objective: ``paper``: near the retrained model (equations 5 and 6); ``oracle-free``: without it.
        setting: ``seed``, or ``shadow`` for U-LiRA's units (appendix D).
        export: a folder to write the choices to, as they ship.

    Yields:
        What a search chose and what it cost, once it has ended.

    Raises:
        BenchError: an entry has no search space, the track is sealed, or the machine failed.
    """
    loaded_track = load_track(track, options.secret)
    if setting == "shadow":
        needs_shadows(loaded_track)
    if objective == "oracle-free" and loaded_track.corruption:
        what = f"{track} has corrupted training data, and oracle-free wants F, which is wrong there, as accurate as V"
        raise BenchError(what, "your command", "search with --objective paper", USAGE)
    entries = [find_entry(name) for name in names]
    for entry in entries:
        require_allowed(entry, loaded_track)
        if not entry.search_space:
            remedy = "declare one; see submissions/README.md"
            raise BenchError(f"{entry.name} declares no SEARCH_SPACE", "your method", remedy, USAGE)
    if any(entry.kind == "entry" for entry in entries):
        disclosure.not_public(loaded_track, "a search for parameters")
    with connected(options) as executor:
        references = open_references(loaded_track, executor, options)
        needed = tuning_shadow_roles(loaded_track) if setting == "shadow" else tuning_roles(loaded_track)
        train_missing(references, needed, executor, options)
        line = ""
        for entry in entries:
            study = tuning.Study(references, entry, objective, setting)
            line = run_search(study, trials or tuning.budget(entry, loaded_track), executor, options, line)
            yield keep_choice(
                references, entry, study.choice(), tuning.place(entry, loaded_track, setting, objective), export
            )


def run_search(
    study: tuning.Study, budget: int, executor: Executor, options: RunOptions, previous_line: str = ""
) -> str:
    """Run a search until ``budget`` trials are finished.

    Return the line on where it ran, which is logged unless it is ``previous_line``.
    """
    entry = study.entry
    units = len(tuning.units(entry, study.references.track, study.setting))
    runner_context, line = executor.untimed(study.references, [entry])
    if line != previous_line:
        logger.info(line)
    done = len(study.trials()) * units
    with (
        runner_context as runner,
        options.observer.progress(f"tuning {entry.name}", budget * units, "units", done) as progress,
    ):
        for trial in study.search(runner, budget, progress.step):
            progress.line(f"{entry.name} trial {trial.number}: loss {trial.loss:.4f} {'/'.join(trial.statuses)}")
    return line


def keep_choice(
    references: References, entry: Entry, choice: tuning.SearchChoice, place: str, export: Path | None = None
) -> tuning.SearchChoice:
    """Keep what a search chose where :func:`harness.units.tuning.choice` finds it, and in ``export`` as it ships."""
    documents.write(references.store, f"tuned/{place}", entry.name, choice)
    if export is not None:
        text = json.dumps(asdict(choice), indent=1, sort_keys=True) + "\n"
        write_file(export / place / f"{entry.name}.json", text.encode())
    return choice
