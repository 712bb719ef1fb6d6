"""The script for a machine with a GPU: it tries every way that is here and names the others."""

from __future__ import annotations

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "gpu_machine.sh"
PROGRAMS = {
    "nvidia-smi": "echo 'GPU 0: X (UUID: GPU-1)'; echo '  MIG 1g Device 0: (UUID: MIG-7a)'",
    "docker": "echo 'nvidia.com/gpu=0'",
    "podman": "true",
    "bench": 'echo "$CUDA_VISIBLE_DEVICES $*"; [ "$*" != "doctor --gpu 1 --sandbox podman" ]',
}


def ran(folder: Path, *programs: str) -> subprocess.CompletedProcess[str]:
    for name in programs:
        (folder / name).write_text(f"#!/bin/sh\n{PROGRAMS[name]}\n")
        (folder / name).chmod(0o755)
    for name in ("bash", "env", "grep", "head", "sh"):
        (folder / name).symlink_to(Path("/bin", name) if Path("/bin", name).exists() else Path("/usr/bin", name))
    return subprocess.run(
        [folder / "bash", SCRIPT, "1"], env={"PATH": str(folder)}, capture_output=True, text=True, timeout=60
    )


def test_every_way_that_is_here_is_tried_and_each_other_one_named(tmp_path: Path) -> None:
    done = ran(tmp_path, *PROGRAMS)
    assert done.returncode == 20
    assert done.stdout.split("== in short\n")[1].splitlines() == [
        "absent  apptainer: not installed",
        "ok      process",
        "ok      docker by CDI",
        "FAILED  podman by CDI",
        "ok      process on a MIG device",
        "ok      docker on a MIG device",
        "ok      podman on a MIG device",
        "absent  MPS: it does not run; start nvidia-cuda-mps-control -d and run this again",
    ]
    assert "MIG-7a doctor --gpu 0 --sandbox docker" in done.stdout


def test_without_a_driver_nothing_is_tried(tmp_path: Path) -> None:
    done = ran(tmp_path, "docker", "bench")
    assert done.returncode == 20 and "no NVIDIA driver" in done.stdout and "==" not in done.stdout
