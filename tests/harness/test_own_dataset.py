"""A data set of the user's own: one Python file in the data folder, named by a track."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES
from unlearn_bench.harness.tracks.loading import load_track

MACHINE = EXIT_CODES["infra"]
CODE = """
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unlearn_bench.harness.data.dataset import Dataset


@dataclass
class Drawn:
    count: int


def load(spec, download):
    labels = np.arange(Drawn(600).count) % 10
    images = np.random.RandomState(0).randint(0, 99, (600, 9, 9)) + 15 * labels[:, None, None]
    return Dataset(images.astype(np.uint8), labels, train=500)
"""


@pytest.fixture
def track(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny track of a data set in a folder outside of the repository."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    write(small, tmp_path / "data" / "drawn.py", CODE)
    return small


def write(track: Path, path: Path, code: str) -> None:
    path.write_text(code)
    sha256 = hashlib.sha256(code.encode()).hexdigest()
    text = SMALL.replace('name = "digits"', f'name = "drawn.py"\ncode_sha256 = "{sha256}"')
    track.write_text(text.replace("rotation_seed = 123\n", ""))


def test_one_file_outside_of_the_repository_adds_a_data_set(track: Path) -> None:
    result = run("prepare", str(track), "--workers", "1")
    assert result.exit_code == 0, result.stderr
    assert "6 of 6 reference models" in result.stdout
    dataset = References(load_track(str(track)), Store()).examples.dataset
    assert dataset.images.shape == (600, 1, 8, 8), "grey, and resized to the track's size"
    assert (dataset.train, len(set(dataset.labels.tolist()))) == (500, 10)


def test_code_with_another_digest_than_the_track_declares_does_not_run(track: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "data" / "drawn.py").write_text(f"open({str(ran)!r}, 'w')\n{CODE}")
    result = run("prepare", str(track))
    assert (
        result.exit_code == MACHINE
        and "the track declares" in result.stderr
        and "outside of any sandbox" in result.stderr
    )
    assert not ran.exists()


def test_other_code_is_another_track(track: Path, tmp_path: Path) -> None:
    before = load_track(str(track)).reference_digest
    write(track, tmp_path / "data" / "drawn.py", CODE.replace("RandomState(0)", "RandomState(1)"))
    assert load_track(str(track)).reference_digest != before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def load(", "def get(", "AttributeError"),
        ("return Dataset(", "return (", "is a tuple, not a harness.data.dataset.Dataset"),
        (".astype(np.uint8)", ".astype(float)", "images are float64 (600, 9, 9)"),
        ("% 10", "% 11", "labels are not integers in 0 … 9"),
        ("Drawn(600)", "Drawn(601)", "ValueError"),
    ],
)
def test_a_mistake_in_the_file_names_it(track: Path, tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in CODE
    write(track, tmp_path / "data" / "drawn.py", CODE.replace(old, new).replace(", train=500)", ")"))
    result = run("prepare", str(track))
    assert result.exit_code == MACHINE and words in result.stderr and "drawn.py" in result.stderr, result.stderr


def test_a_missing_file_says_where_it_belongs(track: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "drawn.py").unlink()
    result = run("prepare", str(track))
    assert result.exit_code == MACHINE and f"there is no data set at {tmp_path / 'data' / 'drawn.py'}" in result.stderr
