"""What an installed package adds by entry points: one of each kind, from a distribution that the test builds."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import unlearn_bench as ub
from tests.harness.conftest import SMALL, run
from unlearn_bench import plugins
from unlearn_bench.harness.data.dataset import load_dataset
from unlearn_bench.harness.entries.entry import find_entry
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.sandbox.inside import models

MODULES = {
    "keep": "def unlearn(model, retain, forget, val, *, lr=0.1):\n    return model\n",
    "mean_loss": (
        "TITLE = 'mean loss'\ndef attack(model):\n    return float(model.losses[model.parts['forget']].mean())\n"
    ),
    "losses": (
        "from unlearn_bench.scoring.metric import Metric\n"
        "METRICS = (Metric(name='forget_loss', title='F-loss', meaning='mean loss on F', "
        "compute=lambda model: float(model.losses[model.parts['forget']].mean())),)\n"
    ),
    "noise": (
        "import numpy as np\n"
        "from unlearn_bench.harness.data.dataset import Dataset\n"
        "def load(spec, download):\n"
        "    images = np.random.RandomState(0).randint(0, 256, (600, 8, 8)).astype(np.uint8)\n"
        "    return Dataset(images, np.arange(600) % 10)\n"
    ),
    "linear": (
        "from torch import nn\n"
        "def build(classes, channels, image_size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes))\n"
    ),
    "narrating": (
        "from unlearn_bench.harness.executors.local import LocalExecutor\n"
        "class Narrating(LocalExecutor):\n"
        "    def close(self):\n"
        "        print('closed')\n"
        "connect = Narrating\n"
    ),
}
POINTS = {
    "methods": "keep",
    "attacks": "mean_loss",
    "metrics": "losses",
    "datasets": "noise",
    "architectures": "linear",
    "executors": "narrating",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with a distribution that adds one thing of each kind, and the folder on the path."""
    site = tmp_path / "site"
    folder = site / "lab_plugins"
    folder.mkdir(parents=True)
    for name, source in {"__init__": "", **MODULES}.items():
        (folder / f"{name}.py").write_text(source)
    information = site / "lab_plugins-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-plugins\nVersion: 1.0\n")
    lines = [f"[unlearn_bench.{group}]\nlab_{name} = lab_plugins.{name}" for group, name in POINTS.items()]
    (information / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(site)
    for name in [name for name in sys.modules if name.startswith("lab_plugins")]:
        monkeypatch.delitem(sys.modules, name)  # of another test, in another folder
    return folder


def test_a_method_is_submitted_by_its_name_and_is_not_imported(package: Path) -> None:
    (package / "keep.py").write_text(f"print('imported')\n{MODULES['keep']}")
    entry = find_entry("lab_keep")
    assert (entry.name, entry.defaults, entry.kind) == ("lab_keep", {"lr": 0.1}, "entry")
    assert "lab_plugins.keep" not in sys.modules


def test_an_attack_runs_by_its_name_and_is_not_in_the_panel_of_boards(package: Path) -> None:
    result = run("rescore", "--attack", "lab_mean_loss", "--json")
    assert result.exit_code == 0 and '"title": "mean loss"' in result.stdout and '"ft"' in result.stdout
    assert "lab_mean_loss" in ub.attack.names()
    assert "lab_mean_loss" not in run("show", "ft").stdout


def test_a_metric_is_a_column_of_every_board(package: Path, home: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    command = [sys.executable, "-m", "unlearn_bench.harness", "leaderboard", "--format", "csv"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    head, first = (line.split(",") for line in done.stdout.splitlines()[:2])
    assert float(first[head.index("forget_loss")]) > 0
    (package / "losses.py").write_text(MODULES["losses"].replace("compute=", "ranked=True, compute="))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "must be neither ranked" in done.stderr


def test_a_data_set_and_a_network_are_named_by_a_track(package: Path, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(MODULES["linear"].encode()).hexdigest()
    text = SMALL.replace('name = "digits"', 'name = "lab_noise"').replace("rotation_seed = 123\n", "")
    text = text.replace('name = "resnet18_narrow"\nwidth = 8', f'name = "lab_linear"\nsha256 = "{sha256}"')
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ub.BenchError, match=r"data\.sha256 is needed"):
        load_track(str(path))
    path.write_text(text.replace("image_size = 8", f'image_size = 8\nsha256 = "{"0" * 64}"'))
    track = load_track(str(path))
    with pytest.raises(ub.BenchError, match="has digest") as error:
        load_dataset(track.data)
    digest = error.value.message.split("digest ")[1][:64]
    path.write_text(text.replace("image_size = 8", f'image_size = 8\nsha256 = "{digest}"'))
    track = load_track(str(path))
    assert load_dataset(track.data).images.shape == (600, 1, 8, 8)
    assert [tuple(each.shape) for each in models.build(track.model_spec).parameters()] == [(10, 64), (10,)]
    (package / "linear.py").write_text(MODULES["linear"] + "\n")
    with pytest.raises(ub.BenchError, match=r"model\.sha256 is not the digest"):
        load_track(str(path))


def test_an_executor_is_selected_by_its_name(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with connected(RunOptions(executor="lab_narrating")):
        pass
    assert capsys.readouterr().out == "closed\n"


def test_a_package_that_cannot_be_imported_is_named(package: Path) -> None:
    (package / "narrating.py").write_text("raise RuntimeError('broken')\n")
    result = run("prepare", "digits-resnet18", "--executor", "lab_narrating")
    assert result.exit_code == 20
    assert "the package lab-plugins adds as 'lab_narrating'" in result.stderr and "broken" in result.stderr


def test_two_packages_with_one_name_are_refused(package: Path) -> None:
    other = package.parent / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[unlearn_bench.methods]\nlab_keep = other.keep\n")
    with pytest.raises(plugins.PluginError, match="has the name of"):
        plugins.names("methods")
