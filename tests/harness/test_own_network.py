"""A track whose network is a file of its own: read with its digest, trained on the host, built in the sandbox."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.harness.conftest import SMALL, run
from tests.sandbox.test_networks import OWN
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.tracks.loading import load_track

METHOD = """
import torch

def unlearn(model, retain, forget, val, *, lr=0.05):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for images, labels in retain:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
"""


def track_file(folder: Path, source: str = OWN, digest: str | None = None, more: str = "channels = 1") -> Path:
    """Write the small track with a network of its own beside it."""
    (folder / "net.py").write_text(source)
    digest = digest or hashlib.sha256(source.encode()).hexdigest()
    before, _, after = SMALL.partition("[model]")
    rest = after.partition("[recipe]")[2]
    path = folder / "own.toml"
    path.write_text(f'{before}[model]\nfile = "net.py"\nsha256 = "{digest}"\n{more}\n\n[recipe]{rest}')
    return path


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_method_is_scored_on_a_network_of_ones_own(tmp_path: Path, sandbox: str) -> None:
    track = str(track_file(tmp_path))
    method = tmp_path / "mine.py"
    method.write_text(METHOD)
    result = run("submit", str(method), "--track", track, "--sandbox", sandbox)
    assert result.exit_code == 0, result.output
    tuned = run("tune", "ft", "--track", track, "--trials", "1", "--json")
    assert tuned.exit_code == 0, tuned.output
    assert json.loads(tuned.stdout)[0]["failed_trials"] == 0, "worker processes build it, too"


def test_another_file_than_the_tracks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrackError, match=r"model\.sha256 is not the digest of .*net\.py"):
        load_track(str(track_file(tmp_path, digest="0" * 64)))
    path = track_file(tmp_path)
    (tmp_path / "net.py").unlink()
    with pytest.raises(TrackError, match=r"model\.file: there is no file"):
        load_track(str(path))


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ('name = "resnet18"', "model.name and model.file exclude each other"),
        ('needs = ["jax"]', "model.needs"),
    ],
)
def test_keys_that_do_not_go_with_a_file_are_refused(tmp_path: Path, more: str, what: str) -> None:
    with pytest.raises(TrackError, match=what):
        load_track(str(track_file(tmp_path, more=more)))


def test_a_network_that_does_not_fit_the_track_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    features = "from torch import nn\ndef build(classes, channels, image_size): return nn.Flatten()\n"
    result = run("prepare", str(track_file(tmp_path, features)))
    assert result.exit_code == 2
    assert "it is no image classifier for this track" in result.stderr and "trained" not in result.stderr


def test_the_source_is_no_key_and_another_source_is_another_track(tmp_path: Path) -> None:
    first = load_track(str(track_file(tmp_path)))
    second = load_track(str(track_file(tmp_path, OWN + "# changed\n")))
    assert first.reference_digest != second.reference_digest
    with pytest.raises(TrackError, match="network_source is not a key"):
        load_track(str(written(tmp_path, 'network_source = "x"\n' + track_file(tmp_path).read_text())))


def written(folder: Path, text: str) -> Path:
    path = folder / "other.toml"
    path.write_text(text)
    return path
