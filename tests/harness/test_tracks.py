"""Tracks: the shipped ones load, digests mean something, and mistakes are named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness import track
from harness.errors import TrackError
from sandbox.inside.models import ARCHITECTURES
from tests.harness.conftest import SMALL

PAPER = {f"{d}-{a}" for d in ("mnist", "fashionmnist", "cifar10", "cifar100") for a in ("resnet18", "tinyvit")}


def test_the_nine_tracks_of_the_paper_and_two_small_ones_ship() -> None:
    assert set(track.names()) >= PAPER | {"utkface-resnet18", "digits-resnet18", "digits-tinyvit"}


@pytest.mark.parametrize("name", track.names())
def test_a_shipped_track_loads_and_its_model_is_known(name: str) -> None:
    loaded = track.load(name)
    assert loaded.name == name
    assert loaded.model["name"] in ARCHITECTURES


def test_architectures_are_read_from_their_source() -> None:
    assert set(track.architectures()) == set(ARCHITECTURES)


def test_the_default_track_is_the_one_that_its_references_were_trained_for() -> None:
    # a change of this digest orphans the references and records that ship: `bench prepare … --export harness/shipped`
    shipped = Path(track.__file__).parent / "shipped" / "references"
    assert [path.stem for path in shipped.glob("*.json")] == [track.load("digits-resnet18").reference_digest]


def test_each_digest_covers_its_own_part() -> None:
    one = track.load("digits-resnet18")
    recipe = dataclasses.replace(one, recipe=dataclasses.replace(one.recipe, epochs=21))
    protocol = dataclasses.replace(one, protocol=dataclasses.replace(one.protocol, batch_size=32))
    analysis = dataclasses.replace(one, analysis=dataclasses.replace(one.analysis, trials=31))

    def digests(t: track.Track) -> tuple[str, str, str]:
        return t.reference_digest, t.protocol_digest, t.analysis_digest

    changed = [
        tuple(a != b for a, b in zip(digests(one), digests(t), strict=True)) for t in (recipe, protocol, analysis)
    ]
    assert changed == [(True, False, False), (False, True, False), (False, False, True)]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('schedule = "one-cycle"', 'schedule = "warm"', ["recipe.schedule", "'warm'", "'one-cycle', 'cosine'"]),
        ("epochs = 2", 'epochs = "two"', ["recipe.epochs", "a whole number"]),
        ("epochs = 2", "epochs = true", ["recipe.epochs", "a whole number"]),
        ("epochs = 2", "epoch = 2", ["recipe.epoch is not a key", "epochs"]),
        ("retain = 192", "retain = 0", ["splits.retain", "1 or more"]),
        ("retain = 192", "", ["splits.retain is missing"]),
        ('name = "resnet18_narrow"', 'name = "resnet19"', ["model.name", "resnet18_narrow"]),
        ("width = 8", "depth = 4", ["model.depth is not a key", "width"]),
        ("mean = [0.2652]", "mean = 0.2652", ["data.mean", "a list of a number"]),
        ("mean = [0.2652]", "mean = [0.1, 0.2]", ["data.mean and data.std"]),
        ('name = "digits"', 'name = "numbers"', ["data.name", "'digits'"]),
        ('name = "digits"', 'name = "npz"', ["data.path and data.sha256"]),
        ("seeds = 2", "seeds = 0", ["protocol.seeds", "1 or more"]),
        ("[protocol]", "[protocols]", ["protocols is not a key"]),
        ("[data]", "[data", ["not TOML"]),
    ],
)
def test_a_mistake_names_file_key_and_what_is_allowed(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    path = tmp_path / "mine.toml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(TrackError) as caught:
        track.load(str(path))
    for word in [str(path), *words]:
        assert word in caught.value.message


def test_an_unknown_track_names_the_known_ones() -> None:
    with pytest.raises(TrackError, match="no track 'digits'") as caught:
        track.load("digits")
    assert "digits-resnet18" in caught.value.remedy
