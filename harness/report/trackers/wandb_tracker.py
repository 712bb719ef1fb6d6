"""A row of a board as a run of Weights & Biases, sent at once or, with ``WANDB_MODE=offline``, kept as files.

W&B's own variables count, as ``WANDB_PROJECT``, ``WANDB_ENTITY`` and ``WANDB_DIR``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

import wandb
import wandb.errors

from unlearn_bench.harness.report.trackers.contract import Change, Exported, first_line, written
from unlearn_bench.harness.report.trackers.tracked_run import PREFIX, TrackedRun
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError

PROJECT = PREFIX.replace("_", "-")
ID_DIGITS = 16
TAG = 64
"""Characters of a tag at most."""
SECONDS = 30
"""How long W&B may take to answer, and then to receive the run."""


def export(run: TrackedRun) -> Exported:
    """Give a row to W&B under an id of its own, the same in every export.

    Raises:
        BenchError: W&B is switched off, nobody is logged in, or it did not take the run.
    """
    mode = os.environ.get("WANDB_MODE") or wandb.setup().settings.mode
    if mode == "disabled":
        raise BenchError("WANDB_MODE is disabled", "your command", "set it to online or offline", USAGE)
    online, folder = mode not in ("offline", "dryrun"), None
    try:
        if online and not wandb.login(prompt=False, verify=False):
            remedy = "`wandb login`, or set WANDB_MODE=offline"
            raise BenchError("nobody is logged in to Weights & Biases here", "your command", remedy, USAGE)
        tracked = _start(run, "online" if online else "offline")
        folder = Path(tracked.dir).parent
        _write(tracked, run)
        tracked.finish(exit_code=int(run.failed))
    except (wandb.errors.Error, TimeoutError, OSError) as error:
        what = f"Weights & Biases did not take the run: {first_line(error)}"
        remedy = f"`wandb sync {folder}` sends what is written there" if folder else "repeat the command"
        raise BenchError(what, "this machine", f"{remedy}; results stay stored", EXIT_CODES["infra"]) from None
    if online:
        return Exported("wandb", tracked.id, str(tracked.url), "sent")
    change: Change = "replaced" if _remove_older(folder, tracked.id) else "new"
    return Exported("wandb", tracked.id, str(folder), change)


def _start(run: TrackedRun, mode: Literal["online", "offline"]) -> wandb.Run:
    labels = [run.track, run.kind, run.tags["state"]]
    labels += [f"{name.removeprefix('group_')} {text}" for name, text in run.tags.items() if name.startswith("group_")]
    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=SECONDS,
        finish_timeout=SECONDS,
        finish_timeout_raises=True,
        # this process is not the run: its machine, its code and its packages say nothing of the entry
        disable_git=True,
        save_code=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    return wandb.init(
        mode=mode,
        reinit="create_new",  # a run of the caller's notebook goes on beside it
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        id=run.key[:ID_DIGITS],
        name=run.name,
        group=run.track,
        job_type=run.kind,
        tags=[label[:TAG] for label in labels],
        notes=run.description,
        config={**run.parameters, PREFIX: {**run.facts, **run.tags}},
        settings=settings,
    )


def _write(tracked: wandb.Run, run: TrackedRun) -> None:
    tracked.define_metric("seed", summary="none")
    tracked.define_metric("seeds/*", step_metric="seed", summary="none")
    for seed, values in sorted(run.seeds.items()):
        tracked.log({"seed": seed, **{f"seeds/{name}": value for name, value in values.items()}}, step=seed)
    tracked.summary.update(run.metrics)
    artifact = wandb.Artifact(f"{run.track}-{run.name}", type="row")
    with written(run.files) as folder:
        for name in run.files:
            artifact.add_file(str(folder / name), name)
        tracked.log_artifact(artifact)


def _remove_older(folder: Path, run_id: str) -> bool:
    """Remove what earlier exports of the row have written beside it, and return whether there was any."""
    older = [path for path in folder.parent.glob(f"offline-run-*-{run_id}") if path != folder]
    for path in older:
        shutil.rmtree(path)
    return bool(older)
