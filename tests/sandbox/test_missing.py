"""What an engine may lack: the unit ends as ``infra`` with a remedy, and never runs on something else instead."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from unlearn_bench.sandbox.engine import images
from unlearn_bench.sandbox.types import Job, Sandbox

pytestmark = pytest.mark.docker
ENTRY = "def unlearn(m, r): return m"


def test_no_image(docker_sandbox: Sandbox, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "REPOSITORY", "unlearn-bench-absent")
    outcome = docker_sandbox.run(make_job(ENTRY), nullcontext())
    assert outcome.status == "infra" and outcome.reason.endswith("build it: bench image --variant lean")


def test_an_image_of_another_digest_is_not_taken_by_its_name(
    docker_sandbox: Sandbox, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the name still resolves, the digest that was chosen is gone
    gone = SimpleNamespace(id="sha256:" + "0" * 64, labels={}, tags=["unlearn-bench:lean"])
    monkeypatch.setattr(images, "find", lambda *_: gone)
    outcome = docker_sandbox.run(make_job(ENTRY), nullcontext())
    assert outcome.status == "infra" and "No such image" in outcome.reason and "docker info" in outcome.reason


def test_a_gpu_that_the_engine_cannot_pass_on(
    docker_sandbox: Sandbox, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    suffices = images.suffices
    monkeypatch.setattr(images, "suffices", lambda labels, needs, device: suffices(labels, needs, "cpu"))
    outcome = docker_sandbox.run(make_job(ENTRY, device="cuda:63"), nullcontext())
    assert outcome.status == "infra" and outcome.weights is None
    assert "NVIDIA Container Toolkit" in outcome.reason
