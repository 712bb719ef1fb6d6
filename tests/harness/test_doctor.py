"""``bench doctor``: the way of a GPU, step by step, and what an engine's answer becomes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.doctor import checks, engine_checks
from unlearn_bench.sandbox.engine.facts import Facts
from unlearn_bench.sandbox.types import Outcome

INFO = {"ServerVersion": "27", "Driver": "overlay2", "CgroupVersion": "2", "CgroupDriver": "systemd"}
CUDA = (("unlearn-bench:full", "sha256:1", "13.0"),)


@pytest.mark.parametrize(
    "engine, remedies",
    [
        (None, {"gpu driver": "driver", "gpu engine": "install Docker", "gpu unit": "above"}),
        (
            Facts(INFO, (("unlearn-bench:lean", "sha256:0", ""),)),
            {"gpu driver": "driver", "gpu engine": "Toolkit", "gpu image": "--variant full", "gpu unit": "above"},
        ),
        (Facts({**INFO, "Runtimes": {"nvidia": {}}}, CUDA), {"gpu driver": "driver", "gpu unit": "above"}),
    ],
)
def test_what_lacks_on_the_way_of_a_gpu_is_named_with_its_remedy(
    engine: Facts | None, remedies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_checks, "facts", lambda: engine)
    monkeypatch.setattr(engine_checks.shutil, "which", lambda name: None)
    result = run("doctor", "--gpu", "--json")
    assert result.exit_code == 20
    failing = {finding["subject"]: finding["remedy"] for finding in json.loads(result.stdout) if not finding["ok"]}
    assert set(failing) == set(remedies)
    assert all(words in failing[subject] for subject, words in remedies.items())


@pytest.mark.parametrize("status, code", [("ok", 0), ("infra", 20)])
def test_the_way_of_a_gpu_is_proven_by_a_unit(status: Any, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = iter(unit.expected for unit in engine_checks.GPU_UNITS)

    class Engine:
        def run(self, job: Any, clock: Any) -> Outcome:
            assert job.device == "cuda:1"
            ended = next(expected) if status == "ok" else status
            return Outcome(ended, "why", seconds=1.5, log="1 GPU in the sandbox: X", environment={"device": "X"})

    monkeypatch.setattr(engine_checks, "facts", lambda: Facts({**INFO, "Runtimes": {"nvidia": {}}}, CUDA))
    monkeypatch.setattr(engine_checks, "_driver", lambda index: engine_checks.Check("gpu driver", f"GPU {index}"))
    monkeypatch.setattr(engine_checks.backends, "load", lambda name: Engine())
    result = run("doctor", "--gpu", "1")
    assert result.exit_code == code
    assert result.stdout.count("trained in 1.5 s on X") == (2 if status == "ok" else 0)
    assert ("more memory than there is: oom: why" in result.stdout) == (status == "ok")


def test_a_mig_device_is_found_in_the_drivers_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: X (UUID: GPU-1)'\necho '  MIG 1g.18gb Device 0: (UUID: MIG-7)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7,MIG-8")
    assert "MIG 1g.18gb" in engine_checks._driver(0).text and engine_checks._driver(0).ok
    assert not engine_checks._driver(1).ok


@pytest.mark.docker
@pytest.mark.slow
def test_the_doctor_examines_this_machine(monkeypatch: pytest.MonkeyPatch, measured_neighbours: None) -> None:
    monkeypatch.setattr(checks, "NOOP_UNITS", 2)
    result = run("doctor")
    lines = {line[6:19].strip(): line for line in result.stdout.splitlines()}
    assert {"engine", "image", "memory limit", "processes", "disk", "memory", "clock", "process"} <= set(lines)
    assert "timed unit" in lines["cores"]
    assert "of the CPU median" in lines["clock"] and "cgroup v" in lines["engine"] and "sha256:" in lines["image"]
