"""Weights of unlearned models: kept where a run asks for it, exported as files, and looked at by one's own probes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.harness.conftest import once, run
from tests.harness.test_submit import FINE_TUNE
from unlearn_bench.harness.entries.entry import read
from unlearn_bench.harness.probes.work import ProbedSubject, Task, side_by_side
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.training.inference import logits_of
from unlearn_bench.harness.units import unit_store, unlearned_weights
from unlearn_bench.harness.units.unit_kinds import SeedUnit

SIZE = "def probe(context):\n    return {'norm': sum(float(p.norm()) for p in context.model.parameters())}\n"


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FINE_TUNE)
    return path


@pytest.fixture(scope="session")
def with_weights(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which one entry ran on the tiny track and its weights are kept; to be copied."""

    def make(place: Path) -> None:
        shutil.copytree(trained, place / "home")
        (place / "mine.py").write_text(FINE_TUNE)
        track = str(place / "small.toml")
        result = run("submit", str(place / "mine.py"), "--track", track, "--sandbox", "process", "--keep-weights")
        assert result.exit_code == 0, result.output

    return once(tmp_path_factory, "with-weights", make)


@pytest.fixture
def kept(with_weights: Path, home: Path, references: References) -> References:
    """References of the tiny track with one entry whose weights are kept."""
    shutil.copytree(with_weights, home)
    return references


def probed(small: Path, folder: Path, text: str) -> dict[str, object]:
    """What ``bench rescore --probe`` prints for a probe with this text."""
    path = folder / "my_probe.py"
    path.write_text(text)
    result = run("rescore", "--track", str(small), "--probe", str(path), "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_kept_weights_give_the_stored_logits(kept: References, entry: Path) -> None:
    record = unit_store.find(kept.store, unit := SeedUnit(read(entry), kept.track, 1))
    weights = unlearned_weights.read(kept.store, kept.track, unit.key)
    assert record is not None
    assert weights is not None
    logits = logits_of(kept.track, weights, kept.examples.dataset.images)
    np.testing.assert_array_equal(logits, unit_store.logits(kept.store, record))


def test_finished_units_run_again_only_where_their_weights_are_missing(
    prepared: References, small: Path, entry: Path
) -> None:
    arguments = ("submit", str(entry), "--track", str(small), "--sandbox", "process")
    assert run(*arguments).stderr.count(" mine seed ") == 2
    again = run(*arguments, "--keep-half-weights").stderr
    assert again.count(" mine seed ") == 2, "their weights were not kept"
    assert "to run" not in run(*arguments, "--keep-half-weights").stderr, "their weights are kept"


def test_half_precision_takes_half_of_the_room_and_spares_what_it_cannot_hold(small_track) -> None:
    weights = {"small": np.linspace(-1, 1, 8, dtype=np.float32), "large": np.full(8, 1e6, np.float32)}
    unlearned_weights.keep(Store(), small_track, "key", weights, "float16")
    found = unlearned_weights.read(Store(), small_track, "key")
    assert found is not None
    np.testing.assert_allclose(found["small"], weights["small"], atol=1e-3)
    np.testing.assert_array_equal(found["large"], weights["large"])
    assert (found["small"] != weights["small"]).any(), "they went through half precision"


def test_exported_weights_are_the_kept_ones_and_score_as_checkpoints(
    kept: References, small: Path, entry: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    result = run("export", "mine", "--weights", str(folder), "--track", str(small), "--json")
    files = [str(folder / f"seed-{seed}.safetensors") for seed in range(2)]
    assert json.loads(result.stdout) == {"files": files, "without": []}
    unit = SeedUnit(read(entry), kept.track, 0)
    expected = unlearned_weights.read(kept.store, kept.track, unit.key)
    assert expected is not None
    exported = load_file(files[0])
    assert all(np.array_equal(exported[name], expected[name]) for name in expected)

    scored = run("score", str(folder), "--track", str(small), "--name", "read-back")
    assert scored.exit_code == 0, scored.output
    rows = board.board(kept).set_index("entry")
    assert rows.loc["read-back", "retdev"] == rows.loc["mine", "retdev"]


def test_without_kept_weights_export_and_probe_say_how_to_keep_them(
    prepared: References, small: Path, entry: Path, tmp_path: Path
) -> None:
    run("submit", str(entry), "--track", str(small), "--sandbox", "process")
    (tmp_path / "my_probe.py").write_text(SIZE)
    for arguments in (
        ("export", "mine", "--weights", str(tmp_path / "x")),
        ("rescore", "--probe", str(tmp_path / "my_probe.py")),
    ):
        result = run(*arguments, "--track", str(small))
        assert result.exit_code == 2
        assert "no weights of" in result.stderr
        assert "--keep-weights" in result.stderr


def test_a_probe_of_ones_own_looks_at_every_model_beside_the_reference_models(
    kept: References, small: Path, tmp_path: Path
) -> None:
    found = probed(small, tmp_path, SIZE)
    assert found["faults"] == []
    entries = found["entries"]
    assert {name: len(rows) for name, rows in entries.items()} == {"mine": 2, "original": 2, "retrain": 2, "null": 2}
    assert len({rows[0]["norm"] for rows in entries.values()}) == 4, "four different models"


FAILING = """
import os, time

def probe(context):
    if context.model is context.original:
        raise KeyError("oh")
    if context.model is context.null:
        return {"norm": float("nan")}
    if context.retrained is context.null:  # the retrained model is under test
        os._exit(3)
    time.sleep(60)
"""


def test_a_probe_that_fails_on_models_is_named_with_the_reason(kept: References, small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text() + "\n[analysis.probes]\ndeadline = 1\n")
    found = probed(small, tmp_path, FAILING)
    assert found["entries"] == {}
    faults = {
        "mine": "took longer than 1 s",
        "null": "my_probe returned 'norm', which is not an array of finite numbers",
        "original": "my_probe raised KeyError: 'oh'",
        "retrain": "ended its process (usually by lack of memory)",
    }
    assert found["faults"] == [f"{name}, seed {seed}: {why}" for name, why in faults.items() for seed in range(2)]


CHANGING = """
def probe(context):
    if context.model is context.original:
        context.model.fc.weight.data.zero_()
    return {"norm": float(context.model.fc.weight.norm())}
"""


def test_a_probe_that_changes_a_model_is_named_and_the_others_stand(
    kept: References, small: Path, tmp_path: Path
) -> None:
    found = probed(small, tmp_path, CHANGING)
    why = "my_probe changed the model under test, the original model; it must work on copies"
    assert found["faults"] == [f"original, seed {seed}: {why}" for seed in range(2)]
    assert {name: len(rows) for name, rows in found["entries"].items()} == {"mine": 2, "null": 2, "retrain": 2}
    assert all(row["norm"] > 0 for rows in found["entries"].values() for row in rows)


def test_who_wants_no_more_results_leaves_no_process(kept: References, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(SIZE)
    for name in ("slow.py", "slow_too.py"):
        (tmp_path / name).write_text("import time\n\ndef probe(context):\n    time.sleep(600)\n")
    probes = [("quick.py",), ("slow.py", "slow_too.py"), ("slow.py",)]
    tasks = [Task(ProbedSubject(0, kind="null"), tuple(str(tmp_path / name) for name in names)) for names in probes]
    results = side_by_side(kept, tasks, "cpu", deadline=600)
    task, found = next(results)
    assert task == tasks[0] and not found[task.probes[0]].fault
    results.close()
    for thread in [each for each in threading.enumerate() if each.name.startswith("probes")]:
        thread.join(20)
    assert not [each for each in threading.enumerate() if each.name.startswith("probes")], "none goes on"
    assert multiprocessing.active_children() == []


def test_a_row_that_is_refused_leaves_no_weights_behind(kept: References, small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    run("export", "mine", "--weights", str(folder), "--track", str(small))
    (folder / "seed-1.safetensors").write_bytes(b"not a checkpoint")
    refused = run("score", str(folder), "--track", str(small), "--name", "other", "--probes")
    assert refused.exit_code != 0
    assert not list((kept.store.root / "held-weights").glob("*"))


@pytest.mark.slow
def test_checkpoints_are_probed(kept: References, small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    run("export", "mine", "--weights", str(folder), "--track", str(small))
    scored = run("score", str(folder), "--track", str(small), "--name", "other", "--probes")
    assert scored.exit_code == 0, scored.output
    assert "relearning" in run("show", "other", "--track", str(small)).stdout
    assert not list((kept.store.root / "held-weights").glob("*"))
