"""Worker processes: their results arrive, and no error of the command waits for what they are doing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from unlearn_bench.baselines import ga
from unlearn_bench.harness.entries.entry import baseline, baseline_names
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.workers import worker_pool
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import in_process, worker_runner
from unlearn_bench.harness.units.runner import UntimedResult
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.sandbox.inside import models
from unlearn_bench.sandbox.inside.request import DeletionRequest

pytestmark = pytest.mark.usefixtures("fresh_processes")


def note(folder: Path) -> None:
    (folder / str(os.getpid())).touch()


def test_every_process_is_prepared_and_works(tmp_path: Path) -> None:
    with worker_pool(2, note, tmp_path) as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert pids and os.getpid() not in pids


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_ends_them_in_mid_work(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), worker_pool(2, note, tmp_path) as pool:
        for _ in range(6):
            pool.submit(time.sleep, 3600)
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        raise error


def test_killed_ones_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrokenProcessPool), worker_pool(2, note, tmp_path) as pool:
        works = [pool.submit(time.sleep, 3600) for _ in range(6)]
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        for path in tmp_path.iterdir():
            os.kill(int(path.name), signal.SIGKILL)
        works[0].result()


def test_units_that_nobody_waits_for_do_not_run(small_track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = [], threading.Event()

    def unit(number: int, deadline: float) -> UntimedResult:
        begun.append(number)
        assert number == 0 or go_on.wait(60)
        return UntimedResult("ok", "", None, 0.0)

    monkeypatch.setattr(worker_runner, "_run", unit)
    workers = worker_runner.WorkerRunner(small_track)
    with ThreadPoolExecutor(1) as pool:
        workers._pool = pool  # type: ignore[assignment]
        results = workers.run(range(9), 1.0)  # type: ignore[arg-type]
        assert next(results)[0] == 0  # type: ignore[comparison-overlap]
        results.close()  # type: ignore[attr-defined]
        go_on.set()
    assert len(begun) <= 2, "but for the one that was running"


@pytest.mark.parametrize("name", [name for name in baseline_names() if baseline(name).kind == "baseline"])
def test_a_shipped_method_works_in_the_memory_format_of_workers(name: str, home: Path) -> None:
    entry = baseline(name)
    short = {"epochs": 1} if "epochs" in entry.defaults else {}
    references = References(load_track("digits-resnet18"), Store())
    result = worker_runner.attempt_unit(
        references, SeedUnit(replace(entry, overrides=short), references.track, 0), 60.0
    )
    assert result.status == "ok", result.reason


def test_the_memory_format_of_workers_changes_no_outputs(home: Path) -> None:
    references = References(load_track("digits-resnet18"), Store())
    unit = SeedUnit(replace(baseline("ga"), overrides={"epochs": 1}), references.track, 0)
    found, expected = (
        in_process.unlearned(references, unit, lambda: ga, "cpu", channels_last=last)[0] for last in (True, False)
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("asked", [True, False])
def test_layers_behind_the_first_read_the_memory_format_that_was_asked_for(asked: bool) -> None:
    spec = {"name": "resnet18_narrow", "classes": 3, "width": 4, "channels": 3, "image_size": 8}
    parts = {f"{part}_images": torch.zeros(8, 3, 8, 8, dtype=torch.uint8) for part in ("retain", "forget", "val")}
    labels = {name.replace("images", "labels"): torch.zeros(8, dtype=torch.long) for name in parts}
    read: list[torch.Tensor] = []

    def unlearn(model: torch.nn.Module, retain: Iterable[tuple[torch.Tensor, ...]]) -> None:
        layer = model.get_submodule("layer1.0.conv1")
        layer.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        model(next(iter(retain))[0])

    request = DeletionRequest(
        spec,
        models.build(spec).state_dict(),
        {**parts, **labels},
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        batch_size=4,
        seed=1,
        device="cpu",
        channels_last=asked,
    )
    entry: Any = SimpleNamespace(unlearn=unlearn)
    request.unlearn(lambda: entry, {})
    assert [images.is_contiguous(memory_format=torch.channels_last) for images in read] == [asked]
