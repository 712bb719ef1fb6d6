"""A row of a board as a run of MLflow, on the server or in the database that ``MLFLOW_TRACKING_URI`` names.

MLflow's own variables count, as ``MLFLOW_EXPERIMENT_NAME`` and those of its credentials.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import mlflow
from mlflow.entities import Metric, Param, ViewType
from mlflow.exceptions import MlflowException

from unlearn_bench.harness.report.trackers.contract import Exported, first_line, written
from unlearn_bench.harness.report.trackers.tracked_run import PREFIX, TrackedRun
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError

EXPERIMENT = PREFIX.replace("_", "-")
ROW, CONTENT = f"{PREFIX}.row", f"{PREFIX}.content"
"""Tags by which a row's run is found again, and which it has once all of it has arrived."""
DEFAULTS: Mapping[str, str] = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Variables of MLflow where the user has not set them: it would try for minutes, and print on standard output."""
LIMITS = {Metric: 1000, Param: 100}
"""How many of each kind a request may carry."""
CREDENTIALS = re.compile(r"//[^/@\s]+@")

Logged = TypeVar("Logged", Metric, Param)


def export(run: TrackedRun) -> Exported:
    """Give a row to MLflow; an older run of the same row goes into the trash of its experiment.

    Raises:
        BenchError: no server is named, or it did not take the run.
    """
    if not mlflow.is_tracking_uri_set():
        remedy = "set MLFLOW_TRACKING_URI to your server's address, or to sqlite:///mlflow.db for a file"
        raise BenchError("MLFLOW_TRACKING_URI is not set", "your command", remedy, USAGE)
    uri = mlflow.get_tracking_uri()
    try:
        with _defaults():
            return _export(mlflow.MlflowClient(), run, CREDENTIALS.sub("//", uri).rstrip("/"))
    except (MlflowException, ImportError, OSError) as error:
        what = CREDENTIALS.sub("//", f"MLflow at {uri} did not take the run: {first_line(error)}")
        remedy = "check its address and credentials, and that it runs; then repeat the command: results stay stored"
        raise BenchError(what, "this machine", remedy, EXIT_CODES["infra"]) from None


def _export(client: mlflow.MlflowClient, run: TrackedRun, uri: str) -> Exported:
    experiment = _experiment(client)
    older = client.search_runs([experiment], f"tags.`{ROW}` = '{run.key}'", ViewType.ACTIVE_ONLY)
    for same in older:
        if same.data.tags.get(CONTENT) == run.content:
            return Exported("mlflow", same.info.run_id, _place(uri, experiment, same.info.run_id), "unchanged")
    run_id = _write(client, experiment, run)
    for superseded in older:
        client.delete_run(superseded.info.run_id)
    return Exported("mlflow", run_id, _place(uri, experiment, run_id), "replaced" if older else "new")


def _experiment(client: mlflow.MlflowClient) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    experiment = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if experiment is None else experiment.experiment_id)


def _write(client: mlflow.MlflowClient, experiment: str, run: TrackedRun) -> str:
    tags = {f"{PREFIX}.{name}": text for name, text in run.tags.items()}
    tags |= {ROW: run.key, "mlflow.note.content": run.description}
    started = None if run.started is None else _milliseconds(run.started)
    run_id = str(client.create_run(experiment, started, tags, run.name).info.run_id)
    facts = {f"{PREFIX}.{name}": text for name, text in run.facts.items()}
    parameters = [Param(name, str(value)) for name, value in {**run.parameters, **facts}.items()]
    time = _milliseconds(run.ended or datetime.datetime.now(datetime.UTC))
    metrics = [Metric(name, value, time, 0) for name, value in run.metrics.items()]
    for seed, values in run.seeds.items():
        metrics += [Metric(f"seeds/{name}", value, time, seed) for name, value in values.items()]
    for batch in _batches(parameters, LIMITS[Param]):
        client.log_batch(run_id, params=batch)
    for batch in _batches(metrics, LIMITS[Metric]):
        client.log_batch(run_id, metrics=batch)
    with written(run.files) as folder:
        client.log_artifacts(run_id, str(folder))
    client.set_tag(run_id, CONTENT, run.content)
    client.set_terminated(run_id, "FAILED" if run.failed else "FINISHED", time)
    return run_id


def _batches(logged: Sequence[Logged], size: int) -> Iterator[Sequence[Logged]]:
    return (logged[start : start + size] for start in range(0, len(logged), size))


def _milliseconds(time: datetime.datetime) -> int:
    return int(time.timestamp() * 1000)


def _place(uri: str, experiment: str, run_id: str) -> str:
    return f"{uri}/#/experiments/{experiment}/runs/{run_id}" if uri.startswith("http") else uri


@contextmanager
def _defaults() -> Iterator[None]:
    """Set the variables of :data:`DEFAULTS` that the user has not set."""
    unset = [name for name in DEFAULTS if name not in os.environ]
    os.environ.update({name: DEFAULTS[name] for name in unset})
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]
