"""Every back end does what every back end must, and what prepares a unit inside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch

from unlearn_bench.sandbox import conformity, stage
from unlearn_bench.sandbox.backends import load
from unlearn_bench.sandbox.conformity.cases import FINE_TUNE
from unlearn_bench.sandbox.inside import runner
from unlearn_bench.sandbox.types import Job, Sandbox


@pytest.mark.slow  # each starts units as the product does
@pytest.mark.parametrize("check", [pytest.param(check, id=str(check)) for check in conformity.CHECKS])
def test_back_end(check: conformity.ConformityCheck, backend: Sandbox) -> None:
    check(backend)


@pytest.mark.gpu
def test_a_unit_runs_on_a_gpu(make_job: Callable[..., Job]) -> None:
    outcome = load("process").run(make_job(FINE_TUNE, device="cuda:0"), nullcontext())
    assert outcome.status == "ok", outcome.reason
    assert outcome.weights is not None and " " in str(outcome.environment["device"])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def test_a_device_can_be_woken(device: str) -> None:
    """On a CPU there is nothing to wake, and the same code runs."""
    runner.wake(device)


@pytest.mark.parametrize(("device", "woken"), [("cpu", []), ("meta", ["meta"])])
def test_all_but_a_cpu_is_awake_before_the_unit_is_ready(
    device: str, woken: list[str], make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(runner, "wake", seen.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda count: None)  # a process may set it only once
    with stage.staged(make_job(FINE_TUNE)) as folder:
        path = folder / "job.json"
        path.write_text(path.read_text().replace('"device": "cpu"', f'"device": "{device}"'))
        runner.LoadedJob(folder)
    assert seen == woken
