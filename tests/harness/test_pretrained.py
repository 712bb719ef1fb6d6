"""Reference models that start from pretrained weights, and complaints about weights that cannot be used."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.report.track_notes import pretraining
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.training.recipe import initial_model
from unlearn_bench.sandbox.inside import models

OWN = {"name": "resnet18_narrow", "width": 8, "channels": 1, "image_size": 8}
ROLES = (Role("original", 0), Role("retrained", 1), Role("shadow-retrained", 2, 0), Role("tuning-original", 0))


def pretrained(classes: int, **changes: Any) -> nn.Module:
    torch.manual_seed(99)
    return models.build({**OWN, "classes": classes, **changes})


def track_with(folder: Path, file: Path | None, source: str = "", digest: str = "", model: str = "") -> Path:
    """Write the small track with pretrained weights in its folder."""
    source = source or ("weights.safetensors" if file is None else file.name)
    if not digest:
        digest = "0" * 64 if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    keys = f'[model]\npretrained = "{source}"\npretrained_sha256 = "{digest}"'
    text = SMALL.replace("[model]", keys)
    path = folder / "mine.toml"
    path.write_text(text.replace('name = "resnet18_narrow"\nwidth = 8', model) if model else text)
    return path


def saved(model: nn.Module, path: Path) -> Path:
    save_file(model.state_dict(), path)
    return path


def same(one: nn.Module, other: nn.Module, *, head: bool) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for (name, p), q in pairs if name.startswith("fc.") == head)


@pytest.mark.parametrize("form", ["safetensors", "checkpoint"])
def test_all_reference_models_start_from_the_weights_with_heads_from_their_seeds(tmp_path: Path, form: str) -> None:
    weights = pretrained(classes=7)
    if form == "safetensors":
        file = saved(weights, tmp_path / "weights.safetensors")
    else:
        file = tmp_path / "weights.pth"
        state = {f"module.{name}": t for name, t in weights.state_dict().items() if "batches_tracked" not in name}
        torch.save({"epoch": 3, "state_dict": state}, file)
    track = load_track(str(track_with(tmp_path, file)))
    plain = load_track(str(plain_track(tmp_path)))
    for role in ROLES:
        model = initial_model(track, role)
        assert same(model, weights, head=False)
        assert same(model, initial_model(plain, role), head=True)
    assert not same(initial_model(track, ROLES[0]), initial_model(track, ROLES[1]), head=True)


def plain_track(folder: Path) -> Path:
    path = folder / "plain.toml"
    path.write_text(SMALL)
    return path


def test_a_head_of_the_tracks_size_is_kept(tmp_path: Path) -> None:
    weights = pretrained(classes=10)
    track = load_track(str(track_with(tmp_path, saved(weights, tmp_path / "weights.safetensors"))))
    assert same(initial_model(track, ROLES[0]), weights, head=True)


def test_other_weights_are_another_track_and_the_network_is_the_same(tmp_path: Path) -> None:
    track = load_track(str(track_with(tmp_path, saved(pretrained(7), tmp_path / "weights.safetensors"))))
    plain = load_track(str(plain_track(tmp_path)))
    other = load_track(str(track_with(tmp_path, saved(pretrained(8), tmp_path / "weights.safetensors"))))
    assert len({track.reference_digest, plain.reference_digest, other.reference_digest}) == 3
    assert track.model_spec == plain.model_spec, "nothing of it goes into a sandbox"


def begin(path: Path) -> Track:
    track = load_track(str(path))
    initial_model(track, ROLES[0])
    return track


def test_weights_that_are_not_there_or_not_the_tracks_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pretrained weights at .*weights\.safetensors"):
        begin(track_with(tmp_path, None))
    file = saved(pretrained(7), tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=r"has SHA-256 .*, the track declares 1111"):
        begin(track_with(tmp_path, file, digest="1" * 64))
    file.write_bytes(b"\x80\x04no weights")
    with pytest.raises(DataError, match="cannot be read"):
        begin(track_with(tmp_path, file))
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": {"a": print}}, file)
    with pytest.raises(DataError, match="holds more than tensors, and nothing of it was run"):
        begin(track_with(tmp_path, file))
    torch.save([1, 2], file)
    with pytest.raises(DataError, match="no weights by name"):
        begin(track_with(tmp_path, file))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"width": 16}, r"conv1\.weight has shape \[16, 1, 3, 3\], the track's network \[8, 1, 3, 3\]"),
        ({"channels": 3}, r"conv1\.weight has shape \[8, 3, 3, 3\]"),
        ({"name": "torchvision:mobilenet_v3_small", "width": None}, "they lack bn1"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, change: dict[str, Any], what: str) -> None:
    spec = {key: value for key, value in {**OWN, "classes": 7, **change}.items() if value is not None}
    path = track_with(tmp_path, saved(models.build(spec), tmp_path / "weights.safetensors"))
    with pytest.raises(TrackError, match=f"weights of another network: {what}"):
        begin(path)
    result = run("prepare", str(path))
    assert result.exit_code == 2 and "weights of another network" in result.stderr


def test_a_tag_of_torchvision_is_what_torchvision_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    name = "torchvision:shufflenet_v2_x0_5"
    weights = models.build({"name": name, "classes": 1000, "image_size": 32})
    file = tmp_path / "weights.pth"
    torch.save(weights.state_dict(), file)
    model = f'name = "{name}"'
    path = track_with(tmp_path, file, "torchvision:IMAGENET1K_V1", model=model)
    path.write_text(
        path.read_text().replace("channels = 1", "channels = 3").replace("image_size = 8", "image_size = 32")
    )
    with pytest.raises(DataError, match=r"no pretrained weights at .*shufflenetv2_x0\.5-.*\.pth") as caught:
        begin(path)
    assert "get_model('shufflenet_v2_x0_5', weights='IMAGENET1K_V1')" in caught.value.remedy
    place = Path(str(caught.value).partition(" at ")[2])
    place.parent.mkdir(parents=True)
    shutil.copy(file, place)
    model_now = initial_model(load_track(str(path)), ROLES[0])
    assert same(model_now, weights, head=False) and model_now.fc.out_features == 10


def test_a_tag_of_timm_is_what_timm_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    name = "timm:test_resnet"
    weights = models.build({"name": name, "classes": 1000, "image_size": 32})
    file = saved(weights, tmp_path / "weights.safetensors")
    path = track_with(tmp_path, file, "timm:r160_in1k", model=f'name = "{name}"')
    path.write_text(
        path.read_text().replace("channels = 1", "channels = 3").replace("image_size = 8", "image_size = 32")
    )
    with pytest.raises(DataError, match="are not in the cache of timm") as caught:
        begin(path)
    assert "timm.create_model('test_resnet.r160_in1k', pretrained=True)" in caught.value.remedy
    repository = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    (repository / "snapshots" / ("a" * 40)).mkdir(parents=True)
    shutil.copy(file, repository / "snapshots" / ("a" * 40) / "model.safetensors")
    model_now = initial_model(load_track(str(path)), ROLES[0])
    assert same(model_now, weights, head=False) and model_now.fc.out_features == 10


@pytest.mark.parametrize(
    ("source", "digest", "what"),
    [
        ("weights.pth", "abc", r"model\.pretrained_sha256 its digest"),
        ("timm:a1_in1k", "0" * 64, "for a network of the same library"),
        ("zoo:best", "0" * 64, r"model\.pretrained is 'zoo:best'"),
    ],
)
def test_keys_that_make_no_sense_are_refused(tmp_path: Path, source: str, digest: str, what: str) -> None:
    with pytest.raises(TrackError, match=what):
        load_track(str(track_with(tmp_path, None, source, digest)))


def test_an_unknown_tag_is_told(tmp_path: Path) -> None:
    path = track_with(tmp_path, None, "torchvision:IMAGENET2", model='name = "torchvision:resnet50"')
    with pytest.raises(TrackError, match="torchvision has no weights 'IMAGENET2' for 'resnet50'"):
        begin(path)


def test_a_board_says_what_cannot_be_unlearned(tmp_path: Path) -> None:
    track = load_track(str(track_with(tmp_path, None)))
    assert pretraining(track) == [
        "all models start from weights.safetensors: what it was pretrained on cannot be unlearned"
    ]
    assert pretraining(load_track(str(plain_track(tmp_path)))) == []


def test_models_are_trained_from_the_weights(tmp_path: Path) -> None:
    path = track_with(tmp_path, saved(pretrained(7), tmp_path / "weights.safetensors"))
    result = run("prepare", str(path), "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "6 of 6 reference models" in result.stdout
