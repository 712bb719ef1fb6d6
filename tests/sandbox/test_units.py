"""Every back end does what every back end must, and what prepares a unit inside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing import forkserver
from typing import Any

import pytest
import torch

from tests.harness.forked import WarmUnits, get_context
from unlearn_bench.sandbox import conformity, stage
from unlearn_bench.sandbox.backends import load, names
from unlearn_bench.sandbox.conformity.cases import FINE_TUNE
from unlearn_bench.sandbox.inside import runner
from unlearn_bench.sandbox.types import Job, Sandbox

OF_THE_RUNNER = {
    "unit: in place",
    "unit: dictionaries and a copy",
    "unit: three parameters, half",
    "unit: wrapped again",
    "unit: sys.exit at import",
    "unit: no unlearn",
    "unit: does not apply",
    "unit: other architecture",
    "unit: NaN",
    "unit: one huge tensor",
    "unit: prints a lot",
    "unit: forges weights first",
    "repeats itself from the seed",
}
"""What the runner decides inside, so that ``process`` need not start a fresh Python for it."""


def pairs() -> list[Any]:
    """Return the back ends and their checks."""
    return [
        pytest.param(name, check, id=f"{name}-{check}", marks=[pytest.mark.docker] * (name == "docker"))
        for name in names()
        for check in conformity.CHECKS
    ]


@pytest.fixture(scope="session")
def forked_process() -> WarmUnits:
    """The back end ``process`` with units that are forked; its server must not lie in a folder of a check."""
    get_context()
    forkserver.ensure_running()
    return WarmUnits()


@pytest.mark.slow  # most start units as the product does
@pytest.mark.parametrize(("backend", "check"), pairs(), indirect=["backend"])
def test_back_end(check: conformity.ConformityCheck, backend: Sandbox, forked_process: WarmUnits) -> None:
    check(forked_process if backend.name == "process" and check.name in OF_THE_RUNNER else backend)


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
