"""The main job: an entry goes in, a ranked board comes out, and killed runs go on."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.entries.entry import baseline_names, read
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board, scores
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.unit_kinds import SeedUnit

FINE_TUNE = '''
"""Fine-tune briefly."""
import torch

def unlearn(model, retain, forget, val, *, lr=0.01, epochs=1):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(epochs):
        for images, labels in retain:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return model
'''


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FINE_TUNE)
    return path


def test_submit_scores_every_seed_and_ends_with_the_verdict(prepared: References, small: Path, entry: Path) -> None:
    result = run("submit", str(entry), "--track", str(small), "--sandbox", "process", "--set", "lr=0.02")
    assert result.exit_code == 0, result.output
    assert "not a sandbox" in result.stderr, "the process back end says once what it is"
    verdict = result.stdout.strip().splitlines()[-1]
    assert verdict.startswith("1st of 1 · RetDev ")
    assert verdict.endswith("2/2 seeds ok")
    assert [line for line in result.stdout.splitlines()[:-1] if len(line) > 100] == []

    found = unit_store.find(prepared.store, SeedUnit(read(entry).with_parameters({"lr": 0.02}), prepared.track, 1))
    assert found is not None
    assert found.parameters == {"lr": 0.02, "epochs": 1}
    assert not found.trusted
    assert found.seconds is not None
    assert found.retrain_seconds is not None
    assert found.environment["backend"] == "process"
    assert prepared.store.has(found.logits or "")
    zero = scores.weight_null(prepared)
    assert zero is not None
    assert found.weight_distance is not None
    assert 0 < found.weight_distance < 2, "of the order of the distance to a second retrained model"

    again = run("submit", str(entry), "--track", str(small), "--sandbox", "process", "--set", "lr=0.02")
    assert "to run" not in again.stderr, "finished units are not run again"
    assert again.stdout.strip().splitlines()[-1] == verdict

    table = run("leaderboard", "--track", str(small), "--format", "csv").stdout
    frame = pd.read_csv(io.StringIO(table)).set_index("entry")
    assert frame.loc["mine", "position"] == 1
    assert frame.loc["retrain", "retdev"] == 0
    assert frame.loc["retrain", "rte"] == pytest.approx(1.0)
    assert frame.loc["mine", "rte"] > 0
    assert {"retrain", "original"} == set(frame.index[frame["kind"] == "reference"])
    content = json.loads(run("leaderboard", "--track", str(small), "--format", "json").stdout)
    assert content["rows"][0]["entry"] == "mine"
    assert content["null"]["retdev"] > 0
    shown = json.loads(run("show", "mine", "--track", str(small), "--json").stdout)
    assert [u["seed"] for u in shown["units"]] == [0, 1]
    shown_text = run("show", "mine", "--track", str(small)).stdout
    assert "lr=0.02" in shown_text
    assert f"of a second retrained model {zero:.3f}" in shown_text


@pytest.mark.slow
def test_a_partial_run_has_no_position_yet(prepared: References, small: Path, entry: Path) -> None:
    result = run("submit", str(entry), "--track", str(small), "--sandbox", "process", "--seeds", "1", "--json")
    content = json.loads(result.stdout)
    assert content["units"] == {"0": "ok"}
    assert content["verdict"].startswith("not ranked yet")
    assert content["row"]["position"] is None


@pytest.mark.slow
def test_the_baselines_of_the_folder_stand_on_the_board(prepared: References, small: Path) -> None:
    result = run("baselines", "ft", "original", "--track", str(small), "--sandbox", "process")
    assert result.exit_code == 0, result.output
    ranked = board.board(prepared).set_index("entry")
    assert ranked.loc["ft", "kind"] == "baseline"
    assert ranked.loc["original", "rte"] > 1
    assert ranked.loc["original", "ra"] == pytest.approx(ranked.loc["original", "ra"])
    assert {"ft", "ga", "ng_plus", "ct", "msg", "retrain", "original"} <= set(baseline_names())


FRESH = [sys.executable, "-m", "tests.harness.fresh_command"]


def records(home: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (home / "units").rglob("*.json")}


@pytest.mark.slow
def test_killing_submit_at_random_moments_loses_no_unit_and_counts_none_twice(
    prepared: References, small: Path, entry: Path, home: Path, program: str
) -> None:
    entry.write_text(FINE_TUNE.replace("epochs=1", "epochs=20"))
    command = [program, "submit", str(entry), "--track", str(small), "--sandbox", "process"]
    rng, seen = random.Random(1), {}
    for _ in range(4):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until = time.monotonic() + rng.uniform(0.5, 5)
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = records(home)
        mine = {name: text for name, text in now.items() if json.loads(text)["name"] == "mine"}
        assert {name: mine[name] for name in seen} == seen, "a finished unit was lost or run again"
        seen = mine
    assert run("submit", str(entry), "--track", str(small), "--sandbox", "process").exit_code == 0
    mine = {name: text for name, text in records(home).items() if json.loads(text)["name"] == "mine"}
    assert len(mine) == 2
    assert {name: mine[name] for name in seen} == seen


@pytest.mark.slow
def test_no_process_of_a_killed_submit_is_left(prepared: References, small: Path, entry: Path, home: Path) -> None:
    process = _submit_until_units_run(entry, small, home)
    assert _runners(home)
    process.kill()
    process.communicate()
    assert not _left_over(home)


def _environment(home: Path) -> dict[str, str]:
    """What tells the runners of this test from those of others: their folders lie beside the test's store."""
    return {**os.environ, "TMPDIR": str(home.parent)}


def _submit_until_units_run(entry: Path, small: Path, home: Path) -> subprocess.Popen[str]:
    """Submit an entry whose units take four seconds."""
    entry.write_text("import time\ndef unlearn(model, retain):\n    time.sleep(4)\n    return model\n")
    command = [*FRESH, "submit", str(entry), "--track", str(small), "--sandbox", "process"]
    process = subprocess.Popen(
        command,
        env=_environment(home),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("units"):
            break
    while process.poll() is None and not _runners(home):
        time.sleep(0.05)
    return process


def _left_over(home: Path) -> list[str]:
    """Runners that are still there two seconds after their harness is gone."""
    time.sleep(2)
    return _runners(home)


def _runners(home: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"sandbox.inside.runner" in words and any(str(home.parent).encode() in word for word in words):
            found.append(path.parent.name)
    return found


@pytest.mark.slow
def test_an_interrupt_keeps_finished_units_and_says_how_to_go_on(
    prepared: References, small: Path, entry: Path, home: Path
) -> None:
    process = _submit_until_units_run(entry, small, home)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Continue with: bench submit {entry}" in errors
    assert all(json.loads(text)["status"] == "ok" for text in records(home).values())
    assert not _left_over(home)


@pytest.mark.slow
def test_two_submits_at_once_take_turns(prepared: References, small: Path, tmp_path: Path, home: Path) -> None:
    command = [*FRESH, "submit", "--track", str(small), "--sandbox", "process"]
    running = []
    for name in ("one", "two"):
        entry = tmp_path / f"{name}.py"
        entry.write_text(f"# {name}\nimport time\ndef unlearn(model, retain):\n    time.sleep(3)\n    return model\n")
        running.append(
            subprocess.Popen([*command, str(entry)], env=_environment(home), stderr=subprocess.PIPE, text=True)
        )
    said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert any(
        re.search(rf"waiting for cpu-\d+, where process {other.pid} \(python.* submit", text)
        for other, text in zip(running, reversed(said), strict=True)
    ), said
    assert len(records(home)) == 2 + 2 + 2, "two entries and Retrain"
