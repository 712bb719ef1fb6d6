"""A GPU that is short of memory, hangs or is lost: the status says whose it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from unlearn_bench.sandbox import family, gpu
from unlearn_bench.sandbox.child import RunningChild
from unlearn_bench.sandbox.frames import READY, encode
from unlearn_bench.sandbox.inside import models, report
from unlearn_bench.sandbox.session import conduct
from unlearn_bench.sandbox.tiny import MODEL
from unlearn_bench.sandbox.types import Chunk, Exit, Job, Limits, Outcome

LOST = "Unable to determine the device handle for GPU0000:00:1E.0: GPU is lost.  Reboot the system to recover this GPU"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make ``nvidia-smi`` a shell script."""

    def make(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return make


class Ends:
    """A sandbox that is ready, and then sends an error."""

    def __init__(self, error: BaseException) -> None:
        self.frames: Iterator[bytes] = iter([encode(READY, b"{}"), encode(b"E", report.failure(error))])

    def receive(self, timeout: float) -> list[Chunk] | None:
        frame = next(self.frames, None)
        return None if frame is None else [("channel", frame)]

    def send(self, data: bytes) -> None: ...

    def cpu_seconds(self) -> float | None:
        return 1.0

    def over_memory(self) -> bool:
        return False

    def stop(self, grace: float) -> Exit:
        return Exit(1)


def ended(make_job: Callable[..., Job], sandbox: Ends, device: str = "cuda:0") -> Outcome:
    return conduct(make_job("", device=device), models.layout(MODEL), sandbox, nullcontext(), {})


def test_a_unit_whose_gpu_was_lost_is_the_machines_fault(
    make_job: Callable[..., Job], driver: Callable[[str], None]
) -> None:
    driver(f"echo '{LOST}'; exit 15")
    outcome = ended(make_job, Ends(RuntimeError("CUDA error: unspecified launch failure")))
    assert outcome.status == "infra" and "GPU is lost" in outcome.reason and "; see" in outcome.reason


def test_what_an_entry_says_of_a_gpu_that_answers_decides_nothing(
    make_job: Callable[..., Job], driver: Callable[[str], None]
) -> None:
    driver("echo GPU-1")
    assert ended(make_job, Ends(RuntimeError(LOST))).status == "crash"


def test_a_unit_on_the_cpu_is_not_excused_by_a_lost_gpu(
    make_job: Callable[..., Job], driver: Callable[[str], None]
) -> None:
    driver("exit 15")
    assert ended(make_job, Ends(RuntimeError("x")), "cpu").status == "crash"


def test_a_driver_that_hangs_is_a_lost_gpu(driver: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PATIENCE", 0.1)
    driver("exec sleep 5")
    assert "does not answer" in gpu.lost("cuda:0")


def test_nobody_can_tell_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    assert gpu.lost("cuda:0") == ""


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_too_little_memory_on_the_gpu_is_oom(
    make_job: Callable[..., Job],
    driver: Callable[[str], None],
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver("echo GPU-1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert ended(make_job, Ends(error)).status == "oom"


@pytest.mark.parametrize(
    ("visible", "device", "name"),
    [
        ("", "cuda:1", "1"),
        ("2,3", "cuda:1", "3"),
        ("GPU-a, GPU-b", "cuda:1", "GPU-b"),
        ("MIG-a", "cuda:0", "MIG-a"),
    ],
)
def test_engines_count_other_devices_than_torch(
    monkeypatch: pytest.MonkeyPatch, visible: str, device: str, name: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu.identifier(device) == name


def test_a_process_that_a_driver_holds_does_not_hang_the_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    held = subprocess.Popen(["sleep", "60"], stdin=-1, stdout=-1, stderr=-1, start_new_session=True)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(family, "PATIENCE", 0.05)
            patch.setattr(family.os, "kill", lambda pid, signal: None)
            running = RunningChild(held, Limits(deadline=1), family.Family(None))
            exit_ = running.stop(grace=0)
        assert f"process {held.pid} cannot be killed" in exit_.failure
    finally:
        held.kill()
        held.communicate()
