"""Splits that a file lists: every seed's own or one for all, and what is refused about such a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.harness.conftest import SMALL
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results.audit import fresh_track
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.loading import load_track

SIZES = {"retain": 192, "forget": 64, "val": 64, "test": 128}
Parts = dict[str, NDArray[np.integer]]


def drawn(seed: int) -> Parts:
    ends = np.cumsum(list(SIZES.values()))
    return dict(zip(SIZES, np.split(np.random.default_rng(seed).permutation(1797), ends)[:-1], strict=True))


def references(folder: Path, parts: Parts, **keys: str) -> References:
    """References of the tiny track whose splits are those of a file in the data folder."""
    data = folder / "home" / "data"
    data.mkdir(parents=True, exist_ok=True)
    np.savez(data / "splits.npz", **parts)  # type: ignore[arg-type]
    sha256 = keys.get("sha256") or hashlib.sha256((data / "splits.npz").read_bytes()).hexdigest()
    rule = f'rule = "file"\nindices = "splits.npz"\nindices_sha256 = "{sha256}"' + keys.get("more", "")
    (folder / "listed.toml").write_text(SMALL.replace('rule = "per-seed"', rule))
    return References(load_track(str(folder / "listed.toml")), Store())


def test_every_seed_has_the_parts_of_its_row(tmp_path: Path) -> None:
    by_seed = [drawn(0), drawn(1)]
    examples = references(tmp_path, {part: np.stack([row[part] for row in by_seed]) for part in SIZES}).examples
    for seed, expected in enumerate(by_seed):
        assert {part: sorted(indices) for part, indices in expected.items()} == {
            part: indices.tolist() for part, indices in examples.parts(seed).items()
        }


def test_one_row_serves_all_seeds_and_a_search_keeps_the_test_part(tmp_path: Path) -> None:
    examples = references(tmp_path, drawn(0)).examples
    assert np.array_equal(examples.parts(0)["forget"], examples.parts(1)["forget"])
    redrawn = examples.tuning_parts(0)
    assert {part: len(indices) for part, indices in redrawn.items()} == SIZES
    assert np.array_equal(redrawn["test"], examples.parts(0)["test"])
    assert len(np.unique(np.concatenate(list(redrawn.values())))) == sum(SIZES.values())
    assert not np.array_equal(redrawn["forget"], examples.parts(0)["forget"])
    assert not np.array_equal(redrawn["forget"], examples.tuning_parts(1)["forget"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p | {"forget": p["retain"][:64]}, "retain and forget share 64 examples"),
        (lambda p: p | {"val": np.repeat(p["val"][:32], 2)}, "val lists an example twice"),
        (lambda p: p | {"test": np.append(p["test"][1:], 1797)}, "0 … 1796"),
        (lambda p: p | {"test": np.append(p["test"][1:], -1)}, "from -1 to"),
        (lambda p: p | {"test": p["test"].astype(float)}, "test is float64"),
        (lambda p: {part: rows for part, rows in p.items() if part != "val"}, "val"),
        (lambda p: p | {"test": p["test"][1:]}, "splits declares"),
        (lambda p: {part: rows[None] for part, rows in p.items()}, "splits of 1 seeds, the track 2 seeds"),
        (lambda p: p | {"val": np.stack([p["val"]] * 2), "test": p["test"][None]}, "different numbers of seeds: 1, 2"),
        (lambda p: p | {"val": np.array([{}] * 64)}, "not a file of indices"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(change, message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TrackError) as error:
        references(tmp_path, change(drawn(0))).examples.split(0)
    assert message in f"{error.value} {error.value.remedy}"


def test_another_file_than_the_declared_one_is_refused_with_its_digest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its SHA-256 is [0-9a-f]{64}"):
        references(tmp_path, drawn(0), sha256="0" * 64).examples.split(0)


@pytest.mark.parametrize(
    "more", ['\nforget_rule = "class"\nforget_classes = [3]', '\ngroups = "g"\ngroups_sha256 = "0"']
)
def test_no_other_rule_chooses_what_a_file_lists(more: str, tmp_path: Path) -> None:
    with pytest.raises(TrackError, match=r"splits\.(forget_rule|groups)"):
        references(tmp_path, drawn(0), more=more)


def test_a_file_of_indices_goes_with_the_rule(small: Path) -> None:
    small.write_text(SMALL.replace("retain = 192", 'retain = 192\nindices = "splits.npz"\nindices_sha256 = "0"'))
    with pytest.raises(TrackError, match=r"splits\.indices .* rule = 'file'"):
        load_track(str(small))


def test_an_audit_needs_splits_that_can_be_drawn(tmp_path: Path) -> None:
    listed = references(tmp_path, drawn(0))
    with pytest.raises(TrackError, match="an audit draws fresh ones"):
        fresh_track(listed.store, listed.track, 2)
