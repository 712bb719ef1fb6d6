"""The wheel: one import name, whatever else the user's folder holds."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(kind: str, source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel", ROOT, tmp_path_factory.mktemp("wheel")))


def test_the_source_distribution_gives_the_same_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = zipfile.ZipFile(build("wheel", source, tmp_path / "wheel"))
    assert sorted(again.namelist()) == sorted(wheel.namelist())


def test_the_wheel_holds_nothing_of_the_tests_and_no_caches(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = {name.removeprefix("unlearn_bench/") for name in wheel.namelist() if ".dist-info/" not in name}
    own = {"__init__.py", "plugins.py", "py.typed"}
    assert files - own <= set(tracked.splitlines())


def test_the_wheel_claims_one_import_name(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert tops == {"unlearn_bench"}


def test_the_wheel_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert "unlearn_bench/py.typed" in wheel.namelist()


@pytest.mark.parametrize(
    "path",
    [
        "baselines/ft.py",
        "harness/tracks/catalogue/digits-resnet18.toml",
        "sandbox/engine/seccomp.toml",
        "submissions/template.py",
    ],
)
def test_the_wheel_holds_the_folders_as_they_are(wheel: zipfile.ZipFile, path: str) -> None:
    assert wheel.read(f"unlearn_bench/{path}") == (ROOT / path).read_bytes()


def test_modules_of_the_same_names_beside_the_user_break_nothing(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """A notebook's folder comes first on the path, and ``scoring.py`` is a likely name there."""
    wheel.extractall(tmp_path / "installed")
    for name in ("harness", "scoring", "sandbox", "baselines", "submissions"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('the user has a file {name}.py of his own')\n")
    command = [sys.executable, "-m", "unlearn_bench.harness", "leaderboard"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "BENCH_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Rotated digits" in done.stdout
