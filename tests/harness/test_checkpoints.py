"""A training that was killed goes on where it was written down, and ends with the same model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from tests.harness.conftest import run, with_recipe
from unlearn_bench.harness.commands import _progress as progress
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import StoreError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.training import checkpoints, plan
from unlearn_bench.harness.training.checkpoints import Checkpoint
from unlearn_bench.harness.training.plan import plan_training
from unlearn_bench.harness.training.task import train_task

ONE = [Role("retrained", 0)]
GROUP = [Role("retrained", 0), Role("retrained", 1), Role("null", 0)]


class Killed(Exception):
    pass


def bits(models: Sequence[torch.nn.Module]) -> list[bytes]:
    return [tensor.numpy().tobytes() for model in models for tensor in model.state_dict().values()]


def killed_after(epochs: int) -> Callable[[], None]:
    count = iter(range(1, epochs + 1))

    def on_epoch() -> None:
        if next(count) == epochs:
            raise Killed

    return on_epoch


@pytest.mark.parametrize("changes", [{}, {"crop": 1, "flip": True}, {"schedule": "cosine", "precision": "bfloat16"}])
@pytest.mark.parametrize("task", [ONE, GROUP])
def test_it_ends_with_the_model_of_a_training_without_a_break(
    small_track: Track, task: Sequence[Role], changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    references = with_recipe(small_track, epochs=5, batch_size=64, **changes)
    expected = bits(train_task(references, task))
    for epochs in (2, 2, 1):  # 1 is written down, then 2, then nothing
        with pytest.raises(Killed):
            train_task(references, task, on_epoch=killed_after(epochs), checkpoint=Checkpoint(references, task))
    checkpoint = Checkpoint(references, task)
    state = checkpoint.read()
    assert state is not None and state.epochs == 2 and checkpoint.seconds >= state.seconds > 0
    said: list[None] = []
    done = train_task(references, task, on_epoch=lambda: said.append(None), checkpoint=Checkpoint(references, task))
    assert len(said) == 3 and bits(done) == expected


@pytest.mark.slow
def test_the_command_goes_on_after_a_kill(
    small: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = small.read_text().replace("epochs = 5", "epochs = 30")
    small.write_text(text.replace("batch_size = 16", "batch_size = 64"))
    track = load_track(str(small))
    assert run("prepare", str(small), "--workers", "1").exit_code == 0
    expected = References(track, Store()).manifest.roles
    home.rename(tmp_path / "without")
    script = f"""
import torch
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.training import checkpoints
from unlearn_bench.harness.training.plan import plan_training
from unlearn_bench.harness.training.task import TaskTrainer

checkpoints.EVERY = 0.0
torch.set_num_threads(1)
references = References(load_track({str(small)!r}), Store())
task = plan_training(references, 1).tasks[0]
TaskTrainer(references, lambda count: None).train(task)
"""
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ})
    epochs = 0
    references = References(track, Store())
    task = plan_training(references, 1).tasks[0]
    until = time.monotonic() + 120
    while epochs < 4 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
        if (state := Checkpoint(references, task).read()) is not None:
            epochs = state.epochs
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = Checkpoint(references, task).read()
    assert kept is not None
    epochs = kept.epochs  # one more may have ended before the kill
    assert epochs >= 4
    monkeypatch.setattr(progress, "EVERY", 0.0)
    result = run("prepare", str(small), "--workers", "1")
    assert result.exit_code == 0, result.output
    assert f"; {epochs * len(task)} of {30 * 6} epochs were done before an interruption" in result.stderr, result.stderr
    found = References(track, Store()).manifest.roles
    for name, entry in expected.items():
        assert (found[name].weights, found[name].logits) == (entry.weights, entry.logits), name
    counts = [int(count) for count in re.findall(r"training small: (\d+) of 180 epochs", result.stderr)]
    assert epochs * len(task) < counts[0] and counts == sorted(set(counts)) and counts[-1] == 180
    assert not list(home.glob("checkpoints/*")), "a finished training needs none"


def test_what_has_changed_on_the_disk_is_refused_by_name(
    small: Path, small_track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = References(small_track, Store())
    task = plan_training(references, 1).tasks[0]
    with monkeypatch.context() as often:
        often.setattr(checkpoints, "EVERY", 0.0)
        train_task(references, task, checkpoint=Checkpoint(references, task))
    path = Checkpoint(references, task).path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="does not match its digest"):
        Checkpoint(references, task).read()
    result = run("prepare", str(small), "--workers", "1")
    assert result.exit_code == StoreError("", "").exit_code and str(path) in result.stderr


def test_a_short_training_is_not_written_down(references: References) -> None:
    train_task(references, ONE, checkpoint=Checkpoint(references, ONE))
    assert Checkpoint(references, ONE).read() is None


def test_another_training_does_not_take_it(small_track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Checkpoint(References(small_track, Store()), ONE).path
    assert Checkpoint(with_recipe(small_track, lr=0.05), ONE).path != place
    assert Checkpoint(References(small_track, Store()), GROUP).path != place
    monkeypatch.setattr(checkpoints, "torch_version", lambda: "1.0")
    assert Checkpoint(References(small_track, Store()), ONE).path != place


def test_the_announced_cost_is_that_of_what_is_left(small_track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_time_step", lambda *_: 1000.0)
    references = with_recipe(small_track, epochs=4)
    before = plan_training(references, 1)
    task = before.tasks[0]
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    with pytest.raises(Killed):
        train_task(references, task, on_epoch=killed_after(3), checkpoint=Checkpoint(references, task))
    after = plan_training(references, 1)
    assert after.done == 2 * len(task) and after.epochs == before.epochs
    share = plan._steps(references, task[0]) / before.steps
    assert after.steps == pytest.approx(before.steps * (1 - share / 2)) and after.seconds < before.seconds
    parameters = sum(p.numel() for p in train_task(references, ONE, limit=64)[0].parameters())
    monkeypatch.setattr(plan, "_time_step", lambda *_: 0.0)
    monkeypatch.setattr(checkpoints, "EVERY", 300.0)
    assert after.disk - plan_training(references, 1).disk == 2 * 8 * parameters * 8, "two files for eight models"
