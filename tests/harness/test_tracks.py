"""Tracks: the shipped ones load, digests mean something, and mistakes are named."""

from __future__ import annotations

import codecs
import dataclasses
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.store.store import SHIPPED
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.tracks.loading import load_track, track_names
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.tracks.validation import architectures
from unlearn_bench.sandbox.inside.models import ARCHITECTURES

PAPER = {f"{d}-{a}" for d in ("mnist", "fashionmnist", "cifar10", "cifar100") for a in ("resnet18", "tinyvit")}


def test_the_nine_tracks_of_the_paper_and_two_small_ones_ship() -> None:
    assert set(track_names()) >= PAPER | {"utkface-resnet18", "digits-resnet18", "digits-tinyvit"}


@pytest.mark.parametrize("name", track_names())
def test_a_shipped_track_loads_and_its_model_is_known(name: str) -> None:
    loaded = load_track(name)
    assert loaded.name == name
    assert loaded.model["name"] in ARCHITECTURES


def test_architectures_are_read_from_their_source() -> None:
    assert set(architectures()) == set(ARCHITECTURES)


def test_shipped_tracks_are_those_that_their_references_were_trained_for() -> None:
    # a change of this digest orphans the references and records that ship: `bench prepare … --export harness/shipped`
    shipped = {path.stem for path in (SHIPPED / "references").glob("*.json")}
    assert load_track("digits-resnet18").reference_digest in shipped
    assert shipped <= {load_track(name).reference_digest for name in track_names()}


def test_each_digest_covers_its_own_part() -> None:
    one = load_track("digits-resnet18")
    recipe = dataclasses.replace(one, recipe=dataclasses.replace(one.recipe, epochs=21))
    protocol = dataclasses.replace(one, protocol=dataclasses.replace(one.protocol, batch_size=32))
    analysis = dataclasses.replace(one, analysis=dataclasses.replace(one.analysis, trials=31))

    def digests(t: Track) -> tuple[str, str, str]:
        return t.reference_digest, t.protocol_digest, t.analysis_digest

    changed = [
        tuple(a != b for a, b in zip(digests(one), digests(t), strict=True)) for t in (recipe, protocol, analysis)
    ]
    assert changed == [(True, False, False), (False, True, False), (False, False, True)]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('schedule = "one-cycle"', 'schedule = "warm"', ["recipe.schedule", "'warm'", "'one-cycle', 'cosine'"]),
        ("epochs = 5", 'epochs = "two"', ["recipe.epochs", "a whole number"]),
        ("epochs = 5", "epochs = true", ["recipe.epochs", "a whole number"]),
        ("epochs = 5", "epoch = 2", ["recipe.epoch is not a key", "epochs"]),
        ("retain = 192", "retain = 0", ["splits.retain", "1 or more"]),
        ("retain = 192", "", ["splits.retain is missing"]),
        ('name = "resnet18_narrow"', 'name = "resnet19"', ["model.name", "resnet18_narrow", "model.file"]),
        ("width = 8", "depth = 4", ["model.depth is not a key", "width"]),
        ("mean = [0.2652]", "mean = 0.2652", ["data.mean", "a list of a number"]),
        ("mean = [0.2652]", "mean = [0.1, 0.2]", ["data.mean and data.std"]),
        ('name = "digits"', 'name = "numbers"', ["data.name", "'digits'", "NAME.py", "harness/data/datasets"]),
        ('name = "digits"', 'name = "mine.py"', ["data.code_sha256"]),
        ('name = "digits"', 'name = "digits"\ncode_sha256 = "00"', ["data.code_sha256"]),
        ('name = "digits"', 'name = "../mine.py"\ncode_sha256 = "00"', ["data.name is '../mine.py'", "data folder"]),
        ('name = "digits"', 'name = "npz"', ["data.path and data.sha256"]),
        ("seeds = 2", "seeds = 0", ["protocol.seeds", "1 or more"]),
        ("seeds = 2", "seeds = 2\nrequests = 65", ["protocol.requests is 65", "1 … 64"]),
        ("retain = 192", 'retain = 192\nforget_rule = "class"', ["splits.forget_classes"]),
        ("retain = 192", "retain = 192\nforget_classes = [1]", ["splits.forget_classes"]),
        (
            "retain = 192",
            'retain = 192\nforget_rule = "class"\nforget_classes = [10]',
            ["splits.forget_classes has 10", "0 … 9"],
        ),
        ("retain = 192", 'retain = 192\nforget_rule = "highest"\nvalues = "a.npy"', ["splits.values_sha256"]),
        ("retain = 192", 'retain = 192\ngroups = "a.npy"', ["splits.groups and splits.groups_sha256 go together"]),
        (
            'rule = "per-seed"',
            'rule = "paper"\ngroups = "a.npy"\ngroups_sha256 = "00"',
            ["splits.groups goes with rule = 'per-seed' or 'fixed'"],
        ),
        ("classes = 10", "classes = 10\nsuperclasses = [0, 1]", ["data.superclasses", "0 … 9"]),
        (
            "classes = 10",
            "classes = 2\nsuperclasses = [0, 0, 0, 1, 1, 1, 2, 0, 0, 0]",
            ["data.superclasses must have every class of 0 … 1, and no other"],
        ),
        ("[protocol]", "[protocols]", ["protocols is not a key"]),
        ("[data]", "[data", ["not TOML"]),
    ],
)
def test_a_mistake_names_file_key_and_what_is_allowed(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    path = tmp_path / "mine.toml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(TrackError) as caught:
        load_track(str(path))
    for word in [str(path), *words]:
        assert word in caught.value.message


def test_an_unknown_track_names_the_known_ones() -> None:
    with pytest.raises(TrackError, match="no track 'digits'") as caught:
        load_track("digits")
    assert "digits-resnet18" in caught.value.remedy


def test_every_track_of_the_paper_has_a_lite_one_that_says_so() -> None:
    for name in PAPER | {"utkface-resnet18"}:
        full, lite = load_track(name), load_track(f"{name}-lite")
        assert lite.data == full.data and lite.splits == full.splits and lite.model == full.model
        assert lite.recipe.epochs < full.recipe.epochs and lite.protocol.seeds < full.protocol.seeds
        assert f"(lite: {lite.recipe.epochs} epochs, {lite.protocol.seeds} seeds)" in lite.analysis.title
        assert lite.reference_digest != full.reference_digest


def test_deletion_in_several_requests_shares_the_reference_models() -> None:
    base, sequential = load_track("digits-resnet18"), load_track("digits-sequential")
    assert base.reference_digest == sequential.reference_digest
    assert base.protocol_digest != sequential.protocol_digest


@pytest.mark.parametrize("name", track_names())
def test_a_track_can_be_written_out_as_a_file_of_its_own(tmp_path: Path, name: str) -> None:
    text = run("tracks", name).stdout
    assert "extends" not in tomllib.loads(text)
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    assert load_track(str(path)) == load_track(name)


def test_a_track_extends_a_shipped_one_or_a_file_key_by_key(tmp_path: Path) -> None:
    base, middle, top = (tmp_path / f"{name}.toml" for name in ("base", "middle", "top"))
    base.write_text(SMALL)
    middle.write_text('extends = "base.toml"\n[recipe]\nlr = 0.3\n[protocol]\nseeds = 5')
    top.write_text('extends = "middle.toml"\n[protocol]\nseed = 9\n[model]\nname = "resnet18"\n[analysis]\ntitle = "T"')
    below, above = load_track(str(base)), load_track(str(top))
    assert above.recipe == dataclasses.replace(below.recipe, lr=0.3)
    assert above.protocol == dataclasses.replace(below.protocol, seeds=5, seed=9)
    assert above.model == {"name": "resnet18"}, "another model keeps no key of the base's"
    assert (above.name, above.analysis.title) == ("top", "T")
    top.write_text('extends = "digits-resnet18"')
    assert load_track(str(top)).reference_digest == load_track("digits-resnet18").reference_digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('extends = "mine.toml"', "extends itself"),
        ('extends = "other.toml"', "extends itself"),
        ('extends = "digits"', "no track 'digits'"),
        ("extends = 3", "extends is 3"),
    ],
)
def test_a_track_that_extends_nothing_it_can_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "other.toml").write_text('extends = "mine.toml"')
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(TrackError, match=words):
        load_track(str(tmp_path / "mine.toml"))


def test_a_track_that_extends_another_is_written_out_before_it_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "digits-resnet18"')
    refused = run("seal", str(path), "--secret", str(tmp_path / "secret.toml"))
    assert refused.exit_code == 2 and "bench tracks" in refused.stderr
    path.write_text(run("tracks", str(path)).stdout)
    assert run("seal", str(path), "--secret", str(tmp_path / "secret.toml")).exit_code == 0


def test_settings_of_probes_change_the_analysis_digest_only_where_they_differ_from_their_defaults(
    tmp_path: Path,
) -> None:
    path, base = tmp_path / "digits-resnet18.toml", load_track("digits-resnet18")
    path.write_text('extends = "digits-resnet18"\n[analysis.probes]\nneighbours = 5\n')
    assert load_track(str(path)).analysis_digest == base.analysis_digest
    path.write_text('extends = "digits-resnet18"\n[analysis.probes]\nneighbours = 6\n')
    changed = load_track(str(path))
    assert changed.analysis_digest != base.analysis_digest
    assert (changed.reference_digest, changed.protocol_digest) == (base.reference_digest, base.protocol_digest)
    assert (changed.analysis.title, changed.analysis.probes.points) == (base.analysis.title, 5)


def test_settings_of_probes_are_extended_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('extends = "digits-resnet18"\n[analysis.probes]\nneighbours = 7\n')
    (tmp_path / "top.toml").write_text('extends = "base.toml"\n[analysis.probes]\nbits = [4]\n')
    probes = load_track(str(tmp_path / "top.toml")).analysis.probes
    assert (probes.neighbours, probes.bits) == (7, (4,))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("points = 2", "analysis.probes.points is 2; allowed: 3 or more"),
        ("rate = 0", r"analysis.probes.rate is 0.0; allowed: more than 0"),
        ("noise = [0.1, -1]", r"analysis.probes.noise is \[0.1, -1\]; allowed: standard deviations above 0"),
        ("noise_draws = 256", "analysis.probes.noise_draws is 256; allowed: 1 … 255"),
        ("bits = [1]", r"analysis.probes.bits is \[1\]; allowed: 2 … 16"),
        ("neighbors = 5", "analysis.probes.neighbors is not a key; allowed: rate, "),
    ],
)
def test_a_wrong_setting_of_probes_is_named(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'extends = "digits-resnet18"\n[analysis.probes]\n{line}\n')
    with pytest.raises(TrackError, match=words):
        load_track(str(path))


@pytest.mark.parametrize("name", ["mine.toml", "größe und ü/bunte Bilder.toml"])
@pytest.mark.parametrize(
    "written",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
    ],
)
def test_a_track_may_have_a_byte_order_mark_any_line_ends_and_any_name(
    written: Callable[[str], bytes], name: str, tmp_path: Path
) -> None:
    (path := tmp_path / name).parent.mkdir(exist_ok=True)
    path.write_bytes(written('extends = "digits-resnet18"\n[analysis]\ntitle = "größer"\n'))
    assert load_track(str(path)).analysis.title == "größer"


@pytest.mark.parametrize(("encoding", "words"), [("utf-16", "is UTF-16, not UTF-8"), ("latin-1", "is not UTF-8")])
def test_another_encoding_is_named(encoding: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "digits-resnet18"\n# größer\n', encoding=encoding)
    with pytest.raises(TrackError, match=words):
        load_track(str(path))
