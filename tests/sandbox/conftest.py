"""One tiny job for the whole room, and the back ends it runs on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file

from unlearn_bench.sandbox.backends import load, names
from unlearn_bench.sandbox.tiny import MODEL, tiny_job
from unlearn_bench.sandbox.types import MIB, Job, Limits, Sandbox

settings.register_profile("no time limit", deadline=None)
settings.load_profile("no time limit")

SPEC = MODEL


@pytest.fixture(scope="session")
def data(template: Job) -> dict[str, torch.Tensor]:
    return load_file(template.data)


@pytest.fixture(scope="session")
def template() -> Iterator[Job]:
    limits = Limits(deadline=60, memory=2048 * MIB, processes=64, scratch=32 * MIB)
    with tiny_job(b"", limits, run_id="tests") as job:
        yield job


@pytest.fixture(scope="session")
def make_job(template: Job) -> Callable[..., Job]:
    """``make_job(source, deadline=…, memory=…, **fields of Job)``."""

    def make(source: str, *, deadline: float = 60, memory: int = 2048 * MIB, **fields: Any) -> Job:
        limits = replace(template.limits, deadline=deadline, memory=memory)
        return replace(template, source=source.encode(), limits=limits, **fields)

    return make


@pytest.fixture(scope="session")
def docker_sandbox() -> Sandbox:
    """The docker back end; without engine or image a loud skip, or a failure where BENCH_REQUIRE_DOCKER=1."""
    backend = load("docker")
    reason = backend.unavailable(SPEC, "cpu")
    if reason is not None:
        if os.environ.get("BENCH_REQUIRE_DOCKER") == "1":
            pytest.fail(f"BENCH_REQUIRE_DOCKER=1, but: {reason}")
        pytest.skip(f"THE CONTAINER BACK END IS NOT TESTED: {reason}")
    return backend


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.docker] * (name == "docker")) for name in names()])
def backend(request: pytest.FixtureRequest) -> Sandbox:
    """Every back end of the repository in turn; one that cannot be used here is a loud skip."""
    if request.param == "docker":
        sandbox: Sandbox = request.getfixturevalue("docker_sandbox")
        return sandbox
    sandbox = load(request.param)
    if (reason := sandbox.unavailable(SPEC, "cpu")) is not None:
        pytest.skip(f"THE BACK END {sandbox.name} IS NOT TESTED: {reason}")
    return sandbox


@pytest.fixture
def private_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of its own for the code under test, to see what it leaves behind; its path is short."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)
