"""Apptainer, by what its documentation says of its command: a stand-in records it, and isolates nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from unlearn_bench.sandbox import conformity, procfs
from unlearn_bench.sandbox.backends import apptainer, load
from unlearn_bench.sandbox.backends.apptainer import IMAGE, Contained
from unlearn_bench.sandbox.engine import images
from unlearn_bench.sandbox.tiny import MODEL
from unlearn_bench.sandbox.types import Job

STUB = Path(__file__).with_name("apptainer_stub.py")
CHECKS = {check.name: check for check in conformity.CHECKS}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stand-in, with an image for the CPU, and an ordinary user."""
    program = tmp_path / "apptainer"
    program.write_text(f"#!{sys.executable}\n{STUB.read_text()}")
    program.chmod(0o755)
    (tmp_path / "labels.json").write_text(json.dumps({images.PACKAGES_LABEL: "numpy safetensors torch"}))
    (tmp_path / "lean.sif").write_bytes(b"an image")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv(IMAGE, str(tmp_path / "lean.sif"))
    monkeypatch.setattr(apptainer.os, "geteuid", lambda: 1000)
    return tmp_path


def test_a_unit_gets_its_folder_and_nothing_of_the_host(place: Path, make_job: Callable[..., Job]) -> None:
    words = apptainer.command(make_job(""), Path("/unit"))
    assert words[:3] == [str(place / "apptainer"), "--silent", "exec"]
    text = " ".join(words)
    assert "--containall" in words and "--no-home" in words and "--no-privs" in words and "--nv" not in words
    assert "--net --network none" in text and "--bind /unit:/in:ro" in text
    assert text.endswith(f"{place / 'lean.sif'} python3 -P -X faulthandler -m sandbox.inside.runner /in")
    assert "--env=PYTHONPATH=/in/lib" in words and not any(word.startswith("--env=HOME") for word in words)


def test_a_gpu_is_made_visible_by_its_name(
    place: Path, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7")
    words = apptainer.command(make_job("", device="cuda:0"), Path("/unit"))
    assert "--nv" in words and "--env=CUDA_VISIBLE_DEVICES=MIG-7" in words


@pytest.mark.slow  # each starts units as the product does
@pytest.mark.parametrize("name", ["unit: in place", "unit: raises", "unit: memory hog", "stops on request"])
def test_units_run_through_the_command(place: Path, name: str) -> None:
    CHECKS[name](load("apptainer"))
    asked = [json.loads(line) for line in (place / "asked.jsonl").read_text().splitlines()]
    assert [words[1] for words in asked].count("exec") == 1


def test_what_is_missing_is_said_with_its_remedy(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load("apptainer")
    assert backend.unavailable(MODEL, "cpu") is None
    timm = {**MODEL, "name": "timm:resnet18"}
    assert "does not carry torch and" in (backend.unavailable(timm, "cpu") or "")
    assert "for a GPU; make one" in (backend.unavailable(MODEL, "cuda:0") or "")
    monkeypatch.setenv(IMAGE, str(place / "none.sif"))
    assert f"{IMAGE} names no image; make one" in (backend.unavailable(MODEL, "cpu") or "")
    monkeypatch.setattr(apptainer.os, "geteuid", lambda: 0)
    assert "; run it as an ordinary user" in (backend.unavailable(MODEL, "cpu") or "")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "Apptainer is not installed here; install it" in (backend.unavailable(MODEL, "cpu") or "")


def test_requirements_of_an_entry_need_an_image_of_their_own(place: Path, make_job: Callable[..., Job]) -> None:
    outcome = load("apptainer").run(make_job("", requirements=("einops>=0.8",)), nullcontext())
    assert outcome.status == "infra" and "einops>=0.8; build that image" in outcome.reason


@pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT CAN MAKE A PROCESS NAMESPACE HERE: not tested")
def test_processes_that_leave_the_session_still_belong_to_the_unit() -> None:
    inside = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "setsid sleep 60 & sleep 60"]
    first = subprocess.Popen(inside, start_new_session=True)
    family = Contained(None)
    try:
        while not (left := {m.pid for m in family.members(first.pid)} - {m.pid for m in procfs.members(first.pid)}):
            assert first.poll() is None
        assert len(left) == 1
    finally:
        family.kill(first.pid)
        first.wait()
