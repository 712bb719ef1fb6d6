"""``bench show --export``: a row of a board becomes a run of MLflow or of Weights & Biases."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import wandb

import unlearn_bench as ub
from tests.harness.conftest import run
from unlearn_bench.baselines import ft
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results.board_entries import versions
from unlearn_bench.harness.workflows.leaderboard import leaderboard

UNREACHABLE = "http://127.0.0.1:9"
ENTRY = "def unlearn(model, retain, forget, val, *, lr=0.5):\n    return model\n"


@pytest.fixture(autouse=True)
def nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no tracker report to its makers, and use no account of the user who runs the tests."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which W&B writes offline runs."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        folder = tmp_path / f"wandb-{name.lower()}"
        folder.mkdir()
        monkeypatch.setenv(f"WANDB_{name}", str(folder))
    yield tmp_path / "wandb-dir" / "wandb"
    wandb.teardown()


def read(offline_run: str, *options: str) -> str:
    """What W&B's own reader finds in an offline run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, offline_run]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def exported(*arguments: str) -> dict[str, Any]:
    result = run("show", *arguments, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.slow
def test_an_offline_run_of_wandb_has_the_row(offline: Path) -> None:
    answer = exported("ft", "--export", "wandb")
    board, details = leaderboard("digits-resnet18"), ub.show("ft")
    row = board.rows.set_index("entry").loc["ft"]
    written = json.loads(read(answer["place"], "--summary"))
    facts = written["config"].pop("unlearn_bench")
    assert written["config"] == pytest.approx(dict(details.records[0].parameters))
    assert facts["analysis_digest"] == details.track.analysis_digest and facts["track"] == "digits-resnet18"
    assert facts["group_retdev"] == row["group_retdev"] and facts["verdict"] in written["notes"]
    for name in ("retdev", "retdev_low", "retdev_high", "position", "ulira"):
        assert written["summary"][name] == pytest.approx(row[name])
    for null in ("retdev_null", "umia_null"):
        assert written["summary"][null] == pytest.approx(board.null[null.removesuffix("_null")])
    assert written["summary"]["attacks/umia/accuracy_null"] == pytest.approx(board.null["umia"])
    assert (written["name"], written["state"], written["project"]) == ("ft", "finished", "unlearn-bench")
    assert {"digits-resnet18", "baseline", "ok", f"retdev {row['group_retdev']}"} <= set(written["tags"])


def test_an_offline_run_has_a_step_per_seed_and_the_files(offline: Path) -> None:
    answer = exported("ft", "--export", "wandb")
    records = [json.loads(line) for line in read(answer["place"]).splitlines()]
    steps = [record["history"]["item"] for record in records if record["type"] == "history"]
    rows = ub.seed_rows()
    expected = rows[rows["entry"] == "ft"].set_index("seed")["retdev"]
    assert {step["_step"]: step["seeds/retdev"] for step in steps} == pytest.approx(expected.to_dict())
    (artifact,) = (record["artifact"] for record in records if record["type"] == "artifact")
    contents = {each["path"]: each for each in artifact["manifest"]["contents"]}
    assert set(contents) == {"ft.py", "row.csv", "show.json"}
    assert Path(contents["ft.py"]["local_path"]).read_bytes() == Path(ft.__file__).read_bytes()


def test_a_row_that_is_exported_again_has_one_offline_run(offline: Path) -> None:
    first, again = exported("ft", "--export", "wandb"), exported("ft", "--export", "wandb")
    other = exported("ga", "--export", "wandb")
    assert (first["change"], again["change"], other["change"]) == ("new", "replaced", "new")
    assert first["run"] == again["run"] != other["run"]
    runs = {str(path) for path in offline.glob("offline-run-*")}
    assert runs == {again["place"], other["place"]}


def test_another_version_of_an_entry_is_another_run(
    offline: Path, small: Path, prepared: References, tmp_path: Path
) -> None:
    entry = tmp_path / "mine.py"
    entry.write_text(ENTRY)
    ub.evaluate(entry, str(small), sandbox="process")
    first = ub.export("mine", "wandb", str(small))
    ub.evaluate(entry, str(small), sandbox="process", parameters={"lr": 0.25})
    latest = versions(prepared)["mine"][-1]
    second = ub.export(f"mine@{latest.version}", "wandb", str(small))
    assert first.run != second.run and second.change == "new"
    assert json.loads(read(second.place, "--summary"))["config"]["lr"] == 0.25


@pytest.mark.slow
def test_a_sealed_track_gives_away_what_its_participants_may_see(
    offline: Path, cup: Path, trained: Path, home: Path, tmp_path: Path
) -> None:
    entry = tmp_path / "mine.py"
    entry.write_text(ENTRY)
    ub.evaluate(entry, str(cup), sandbox="process")
    public = exported("mine", "--track", str(cup), "--export", "wandb")
    written = json.loads(read(public["place"], "--summary"))
    assert set(written["config"]) == {"unlearn_bench"} and written["step"] is None
    assert "mine.py" not in read(public["place"])
    everything = exported("mine", "--track", str(cup), "--export", "wandb", "--organiser")
    assert json.loads(read(everything["place"], "--summary"))["config"]["lr"] == 0.5


@pytest.mark.parametrize(("tracker", "title"), [("mlflow", "MLflow"), ("wandb", "Weights & Biases")])
def test_a_missing_library_is_said_with_its_command(tracker: str, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, tracker, None)
    result = run("show", "ft", "--export", tracker)
    assert result.exit_code == 20
    assert f"an export to {title} needs {tracker}" in result.stderr
    assert f"pip install 'unlearn-bench[{tracker}]'" in result.stderr


def test_a_server_of_mlflow_has_to_be_named() -> None:
    result = run("show", "ft", "--export", "mlflow")
    assert result.exit_code == 2 and "MLFLOW_TRACKING_URI is not set" in result.stderr


@pytest.mark.slow
def test_a_server_that_does_not_answer_ends_the_command_and_no_password_is_shown() -> None:
    address = UNREACHABLE.replace("//", "//me:hush@")
    result = run("show", "ft", "--export", "mlflow", env={"MLFLOW_TRACKING_URI": address})
    assert result.exit_code == 20 and f"MLflow at {UNREACHABLE} did not take the run" in result.stderr
    assert "hush" not in result.output


def test_wandb_online_needs_a_login(offline: Path) -> None:
    environment = {"WANDB_MODE": "online", "WANDB_BASE_URL": UNREACHABLE, "NETRC": str(offline / "netrc")}
    result = run("show", "ft", "--export", "wandb", env=environment)
    assert result.exit_code == 2 and "nobody is logged in to Weights & Biases" in result.stderr


def test_wandb_that_is_switched_off_writes_nothing(offline: Path) -> None:
    result = run("show", "ft", "--export", "wandb", env={"WANDB_MODE": "disabled"})
    assert result.exit_code == 2 and "WANDB_MODE is disabled" in result.stderr
    assert not offline.exists()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an MLflow server of this test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, place, log = f"http://127.0.0.1:{port}", tmp_path / "mlflow", tmp_path / "mlflow.log"
    place.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{place}/runs.db", "--artifacts-destination", str(place / "files")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=place)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5)
                break
            except urllib.error.URLError:
                time.sleep(0.5)
        else:
            pytest.fail(log.read_text()[-3000:])
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.slow
def test_a_server_of_mlflow_keeps_one_run_of_a_row_which_follows_the_board(
    server: str, small: Path, prepared: References, tmp_path: Path
) -> None:
    entry = tmp_path / "mine.py"
    entry.write_text(ENTRY)
    ub.evaluate(entry, str(small), sandbox="process")
    arguments = ("mine", "--track", str(small), "--export", "mlflow")
    first, again = exported(*arguments), exported(*arguments)
    assert (first["change"], again) == ("new", {**first, "change": "unchanged"})
    assert first["place"].startswith(server)

    client = mlflow.MlflowClient(server)
    kept = client.get_run(first["run"])
    assert (kept.info.run_name, kept.info.status) == ("mine", "FINISHED")
    assert kept.data.params["lr"] == "0.5"
    assert kept.data.params["unlearn_bench.protocol_digest"] == prepared.track.protocol_digest
    row = ub.board(str(small)).set_index("entry").loc["mine"]
    for name in ("retdev", "retdev_low", "retdev_high", "umia"):
        assert kept.data.metrics[name] == pytest.approx(row[name])
    assert {"retdev_null", "attacks/umia/accuracy_original"} <= set(kept.data.metrics)
    assert kept.data.tags["unlearn_bench.state"] == row["state"]
    rows = ub.seed_rows(str(small))
    expected = rows[rows["entry"] == "mine"].set_index("seed")["retdev"].to_dict()
    steps = client.get_metric_history(first["run"], "seeds/retdev")
    assert {step.step: step.value for step in steps} == pytest.approx(expected)

    files = Path(client.download_artifacts(first["run"], "", str(tmp_path)))
    assert (files / "mine.py").read_text() == ENTRY
    assert json.loads((files / "show.json").read_text())["entry"] == "mine"
    with (files / "row.csv").open() as table:
        assert [line["entry"] for line in csv.DictReader(table)] == ["mine"]

    assert run("disqualify", "mine", "--track", str(small), "--reason", "reads the clock").exit_code == 0
    replaced = exported(*arguments)
    (left,) = client.search_runs([kept.info.experiment_id])
    assert replaced["change"] == "replaced" and left.info.run_id == replaced["run"]
    assert left.data.tags["unlearn_bench.state"] == "disqualified"
    assert client.get_run(first["run"]).info.lifecycle_stage == "deleted"


def test_an_unknown_tracker_is_told_which_there_are() -> None:
    result = run("show", "ft", "--export", "notebook")
    assert result.exit_code == 2 and "use mlflow or wandb" in result.stderr
