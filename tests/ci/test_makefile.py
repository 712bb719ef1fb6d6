"""The Makefile: what ``make demo`` installs, and that each of its stages says how long it takes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def recipe(target: str, folder: Path) -> str:
    """The commands of a target where nothing is installed."""
    command = ["make", "-n", target, f"VENV={folder / 'venv'}"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_the_demo_says_of_each_stage_how_long_it_takes(tmp_path: Path) -> None:
    stages = re.findall(r'^echo "== (\d)/3 .*?: .*minute', recipe("demo", tmp_path), re.M)
    assert stages == ["1", "2", "3"]


@pytest.mark.parametrize(("gpu", "expected"), [(True, ["pip"]), (False, ["uv", "pip"])])
def test_pytorch_comes_without_cuda_where_there_is_no_gpu(gpu: bool, expected: list[str], tmp_path: Path) -> None:
    """The installation's command runs with programs that only note who was called."""
    programs, notes = tmp_path / "venv" / "bin", tmp_path / "notes"
    programs.mkdir(parents=True)
    calls = {"python": f'case "$*" in *optuna*|*tune*) echo pip >> {notes};; esac', "uv": f"echo uv >> {notes}"}
    calls |= {"python3": "true", "nvidia-smi": f"exit {0 if gpu else 9}"}
    for name, text in calls.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (line,) = [each for each in recipe("demo", tmp_path).splitlines() if "== 1/3" in each]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", line], env=environment, check=True, capture_output=True)
    assert notes.read_text().split() == expected
