"""Reference models: trained once, resumed after a kill, verified, and the shipped ones as they were made."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.harness.conftest import run, with_recipe
from unlearn_bench.harness.references import roles
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.store.store import SHIPPED, Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.training import plan, task
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.harness.training.plan import TrainingPlan, plan_training
from unlearn_bench.harness.training.run import run_plan
from unlearn_bench.harness.training.task import TrainedModel, train_task
from unlearn_bench.sandbox.inside import models


def manifest(home: Path) -> dict[str, object]:
    paths = list((home / "references").glob("*.json"))
    return json.loads(paths[0].read_text())["roles"] if paths else {}


def test_prepare_trains_what_is_missing_and_nothing_twice(prepared: References, small: Path, home: Path) -> None:
    before = manifest(home)
    lost = Role("retrained", 1)
    document = prepared.manifest.document()
    del document["roles"][lost.name]
    prepared.store.write("references", prepared.track.reference_digest, document)
    sha = document["roles"]["original/0"]["weights"]
    (home / "blobs" / sha[:2] / sha).unlink()
    assert prepared.missing() == [Role("original", 0), lost]
    again = run("prepare", str(small))
    assert "2 reference models to train" in again.stderr
    after = manifest(home)
    kept = before.keys() - {lost.name, "original/0"}
    assert {k: after[k] for k in kept} == {k: before[k] for k in kept}
    assert run("prepare", str(small)).stderr == "", "nothing is left to train"


def test_what_a_newer_version_wrote_into_the_manifest_stays_when_a_model_is_added(prepared: References) -> None:
    store, digest, model = prepared.store, prepared.track.reference_digest, prepared.manifest.roles["null/0"]
    document = store.read("references", digest)
    assert document is not None
    document["roles"]["null/1"]["of_a_newer_version"] = document["of_a_newer_version"] = 1
    store.write("references", digest, document)
    prepared.keep(Role("null", 0), model)
    assert store.read("references", digest) == document


def test_a_damaged_manifest_is_named(prepared: References, small: Path, home: Path) -> None:
    document = prepared.manifest.document()
    del document["roles"]["null/0"]["logits"]
    prepared.store.write("references", prepared.track.reference_digest, document)
    result = run("prepare", str(small))
    assert result.exit_code == 20
    assert f"{home / 'references' / prepared.track.reference_digest}.json cannot be read" in result.stderr
    assert "missing required field `logits`" in result.stderr


def test_originals_and_retrained_start_alike_and_differ_from_the_null(references: References) -> None:
    track = references.track
    seeds = {kind: roles.initial_seed(track, Role(kind, 0)) for kind in ("original", "retrained", "null")}  # type: ignore[arg-type]
    assert seeds["original"] == seeds["retrained"] != seeds["null"]
    orders = {
        roles.order_seed(track, Role(kind, seed)) for kind in ("original", "retrained", "null") for seed in (0, 1)
    }  # type: ignore[arg-type]
    assert len(orders) == 6
    parts = references.examples.split(0)
    assert set(references.examples.training_set(Role("original", 0))) == set(parts.retain) | set(parts.forget)
    assert set(references.examples.training_set(Role("retrained", 0))) == set(parts.retain)


def test_a_model_trains_alike_in_any_group(small_track: Track) -> None:
    references = with_recipe(small_track, epochs=2, batch_size=64)  # few steps, before rounding errors grow
    alone, other = (train_task(references, [Role("retrained", seed)])[0] for seed in (1, 0))
    beside = train_task(references, [Role("null", 0), Role("retrained", 1), Role("null", 1)])[1]

    def apart(one: torch.nn.Module, two: torch.nn.Module) -> float:
        pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
        return float(sum((a.double() - b.double()).square().sum() for a, b in pairs)) ** 0.5

    # float32: another order of sums drifts apart, but it is the same training
    assert apart(alone, beside) < 0.02 * apart(alone, other)


@pytest.mark.slow
def test_killing_prepare_at_random_moments_loses_no_finished_model(small: Path, home: Path, program: str) -> None:
    small.write_text(small.read_text().replace("seeds = 2", "seeds = 4").replace("epochs = 5", "epochs = 12"))
    command = [program, "prepare", str(small), "--workers", "2"]
    rng, seen = random.Random(0), {}
    for _ in range(4):
        process = subprocess.Popen(command, env={**os.environ}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until = time.monotonic() + rng.uniform(1, 4)
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = manifest(home)
        assert {k: now[k] for k in seen} == seen, "a finished model was lost or trained again"
        seen = now
    assert run("prepare", str(small)).exit_code == 0
    now = manifest(home)
    assert len(now) == 12
    assert {k: now[k] for k in seen} == seen


def test_the_announced_cost_counts_every_model_of_every_task(
    references: References, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "_time_step", lambda _, task: float(len(task)))  # a second per model
    total = sum(plan._steps(references, role) for role in references.missing())
    assert plan_training(references, 1).seconds == pytest.approx(total)
    assert plan_training(references, 2).seconds == pytest.approx(total / 2)
    wanted = [Role("original", 0), Role("retrained", 0)]
    longer, shorter = (plan._steps(references, role) for role in wanted)
    assert longer > shorter
    assert plan_training(references, 2, wanted).seconds == longer, "the end of the longest task"


def test_neither_start_nor_warm_up_count_as_a_step(references: References, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(_: object, task: object, limit: int, on_epoch: Callable[[], None]) -> None:
        for _ in range(5):
            on_epoch()

    clock = iter([100.0, 150.0, 151.0, 152.0, 153.0])  # the first step is slow, and what comes before it
    monkeypatch.setattr(task, "train_task", trained)
    monkeypatch.setattr(plan.time, "perf_counter", lambda: next(clock))
    assert plan._time_step(references, [Role("original", 0)]) == 1.0


def test_training_ends_where_its_results_cannot_be_kept(
    references: References, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    def pool(*_: object) -> Generator[list[TrainedModel]]:
        try:
            for role in references.missing():
                yield [TrainedModel(role, b"", np.zeros(1, np.float32), 0.0, False)]
        finally:
            ended.append(True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(References, "add", full)
    with pytest.raises(OSError, match="No space") as caught:
        list(run_plan(references, TrainingPlan((), 1, 0, 0.0, 0, 0), print, pool))
    assert ended, "though somebody still holds the error, and with it the frames"
    assert caught.tb is not None


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.1, 6.0], ids=["workers start", "workers train"])
def test_an_interrupt_of_prepare_waits_for_no_training(small: Path, home: Path, seconds: float) -> None:
    small.write_text(small.read_text().replace("epochs = 5", "epochs = 1000000"))  # it would never end
    command = [sys.executable, "-m", "unlearn_bench.harness", "prepare", str(small), "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "reference models to train" in line:
            break
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)  # ends when no process has its end of the pipe any more
    assert process.returncode == 130 and "stopped; what was finished is kept. Continue with: bench prepare" in errors
    assert "Traceback" not in errors


def test_two_commands_do_not_train_the_same_models(small: Path, small_track: Track, home: Path, trained: Path) -> None:
    command = [sys.executable, "-m", "unlearn_bench.harness", "prepare", str(small)]
    with Store().lock(f"training-{small_track.reference_digest}"):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith(f"waiting for process {os.getpid()} (") and "trains reference models of small" in said
        shutil.copytree(trained, home, dirs_exist_ok=True)  # as the other command does in the meantime
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and errors == "", errors
    assert "6 of 6 reference models, every file verified" in out


def test_a_damaged_reference_is_named_with_what_to_do(prepared: References, small: Path) -> None:
    sha = prepared.manifest.roles["original/0"].weights
    path = prepared.store.root / "blobs" / sha[:2] / sha
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    result = run("prepare", str(small), "--verify")
    assert result.exit_code == 20
    assert str(path) in result.stderr
    assert f"remove {path}" in result.stderr
    path.unlink()
    assert prepared.missing() == [Role("original", 0)]


def test_export_writes_what_ships_and_reads_back_the_same(prepared: References, small: Path, tmp_path: Path) -> None:
    assert run("prepare", str(small), "--export", str(tmp_path / "out")).exit_code == 0
    shipped = References(prepared.track, Store(tmp_path / "empty", behind=tmp_path / "out"))
    assert not shipped.missing()
    for role in roles.roles(prepared.track):
        assert np.array_equal(shipped.logits(role), prepared.logits(role))
    for role in (Role("original", 1), Role("retrained", 0)):
        assert shipped.weights(role) == prepared.weights(role)


def test_export_may_leave_out_the_weights_of_null_models(prepared: References, small: Path, tmp_path: Path) -> None:
    assert run("prepare", str(small), "--without-null-weights").exit_code == 2, "it says how to export"
    export = ("prepare", str(small), "--export", str(tmp_path / "out"), "--without-null-weights")
    assert run(*export).exit_code == 0
    shipped = References(prepared.track, Store(tmp_path / "empty", behind=tmp_path / "out"))
    assert not shipped.missing() and shipped.has_weights(Role("retrained", 1))
    assert not shipped.has_weights(Role("null", 1))
    assert np.array_equal(shipped.logits(Role("null", 1)), prepared.logits(Role("null", 1)))


class TestTheShippedReferences:
    @pytest.fixture
    def shipped(self, home: Path) -> References:
        return References(load_track("digits-resnet18"), Store())

    def test_they_are_complete_intact_and_small(self, shipped: References) -> None:
        assert not shipped.missing()
        assert sum(1 for _ in shipped.verify()) == 30
        models = {sha for model in shipped.manifest.roles.values() for sha in (model.weights, model.logits)}
        assert sum(p.stat().st_size for p in SHIPPED.rglob("*") if p.stem in models) < 11e6

    def test_the_stored_logits_are_those_of_the_stored_weights(self, shipped: References) -> None:
        from safetensors.torch import load as load_state

        role = Role("original", 4)
        model = models.load(shipped.track.model_spec, load_state(shipped.weights(role)))
        images = torch.from_numpy(shipped.examples.dataset.images)
        exact = torch.from_numpy(infer(model, images, normaliser(shipped.track))).log_softmax(1)
        stored = torch.from_numpy(shipped.logits(role))
        torch.testing.assert_close(stored, exact, rtol=2e-3, atol=2e-3)

    def test_half_precision_moves_no_metric_of_the_board(self, shipped: References) -> None:
        from safetensors.torch import load as load_state

        images = torch.from_numpy(shipped.examples.dataset.images)
        exact, stored = [], []
        for seed in range(10):
            state = load_state(shipped.weights(Role("original", seed)))
            logits = infer(models.load(shipped.track.model_spec, state), images, normaliser(shipped.track))
            exact.append(scores.score(shipped, seed, logits))
            stored.append(scores.score(shipped, seed, shipped.logits(Role("original", seed))))
        for name in ("ra", "fa", "va", "ta", "retdev", "umia", "indisc"):
            assert abs(scores.mean(exact, name) - scores.mean(stored, name)) < 1e-3, name

    def test_the_track_is_an_honest_problem(self, shipped: References) -> None:
        original = [scores.reference_scores(shipped, "original", seed) for seed in range(10)]
        retrained = [scores.reference_scores(shipped, "retrained", seed) for seed in range(10)]
        assert scores.mean(original, "ra") > 0.99
        assert 0.75 < scores.mean(original, "va") < 0.85
        assert 0.60 < scores.mean(original, "umia") < 0.70, "the original gives its members away"
        assert 0.48 < scores.mean(retrained, "umia") < 0.53, "the retrained model does not"
        assert all(s.metrics["retdev"] == 0 for s in retrained)
