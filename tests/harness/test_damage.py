"""Damage on the disk is named and never becomes a number; what one bit changed is corrected."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import damage
from tests.harness import forked
from tests.harness.conftest import run
from unlearn_bench.harness.doctor import store_checks
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store import document_bytes
from unlearn_bench.harness.store.store import SHIPPED, Snapshot, Store
from unlearn_bench.harness.support.errors import StoreError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import access, unlearned_weights
from unlearn_bench.harness.units.records import track_folder
from unlearn_bench.harness.units.study_journal import StudyJournal
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext

DOCUMENT = document_bytes.encode("kind/name", {"value": 0.5, "text": "a"})


def old(content: dict[str, object]) -> bytes:
    """A document as versions before the digest wrote it."""
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


def flips(content: bytes) -> list[bytes]:
    return [damage.flipped(content, bit) for bit in range(8 * len(content))]


def two_bits(path: Path) -> None:
    """Damage that no digest corrects."""
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    content[-4] ^= 1
    path.write_bytes(content)


def test_every_flipped_bit_of_a_document_is_noticed_and_corrected() -> None:
    assert document_bytes.decode("kind/name", DOCUMENT) == ({"value": 0.5, "text": "a"}, True)
    for flipped in flips(DOCUMENT):
        with pytest.raises(ValueError):
            document_bytes.decode("kind/name", flipped)
        assert document_bytes.corrected("kind/name", flipped) == DOCUMENT
    assert document_bytes.corrected("kind/name", DOCUMENT[:-3] + b"\n\n\n") is None


def test_a_document_in_the_place_of_another_is_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    store.write("units/t", "a", {"seconds": 1.0})
    shutil.copy(tmp_path / "units/t/a.json", tmp_path / "units/t/b.json")
    for read in (store.read, lambda kind, name: dict(Snapshot(tmp_path, None).all(kind))):
        with pytest.raises(StoreError, match=r"units/t/b.json cannot be read: it does not match its digest") as caught:
            read("units/t", "b")
        assert "bench doctor --store" in caught.value.remedy


def test_a_document_of_an_older_version_is_read_and_said_to_be_unverified(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, behind=None)
    (tmp_path / "units").mkdir()
    for name in "ab":
        (tmp_path / "units" / f"{name}.json").write_bytes(old({"seconds": 1.0}))
    with caplog.at_level(logging.WARNING, "unlearn_bench"):
        assert dict(store.all("units")) == {"a": {"seconds": 1.0}, "b": {"seconds": 1.0}}
    assert len(caplog.messages) == 1 and "nothing can tell whether they have changed" in caplog.messages[0]
    given = [check.text for check in store_checks.examine_folder(store)]
    assert any("2 more, which an older version wrote without a digest, got one" in text for text in given)
    two_bits(tmp_path / "units" / "a.json")
    with pytest.raises(StoreError):
        store.read("units", "a")


def test_all_that_ships_has_a_digest() -> None:
    check = store_checks.shipped()
    assert check.ok, check.text


def test_the_board_reads_no_damaged_number_and_the_doctor_brings_it_back(home: Path) -> None:
    before = run("leaderboard", "--format", "csv").stdout
    shutil.copytree(SHIPPED / "scores", home / "scores")
    path = next((home / "scores" / track_folder(load_track("digits-resnet18"))).glob("*/*.json"))
    two_bits(path)
    refused = run("leaderboard")
    assert refused.exit_code == 20 and str(path) in refused.stderr and "bench doctor --store" in refused.stderr
    examined = run("doctor", "--store")
    assert examined.exit_code == 0 and str(path) in examined.stdout and "made again when" in examined.stdout
    assert run("leaderboard", "--format", "csv").stdout == before
    assert str(path) not in run("doctor", "--store").stdout


def test_what_cannot_be_computed_is_set_aside_with_its_remedy(home: Path) -> None:
    store = Store()
    store.write("disqualified", "a", {"history": []})
    sha = store.put(b"some logits")
    decision, blob = home / "disqualified" / "a.json", home / "blobs" / sha[:2] / sha
    for path in (decision, blob):
        two_bits(path)
    examined = run("doctor", "--store", "--json")
    assert examined.exit_code == 20
    failing = [line for line in json.loads(examined.stdout) if not line["ok"]]
    remedies = {line["text"].partition(":")[0]: line["remedy"] for line in failing}
    assert set(remedies) == {str(decision), str(blob)} and "bench disqualify" in remedies[str(decision)]
    assert (home / "damaged/disqualified/a.json").is_file() and not decision.exists()
    assert run("doctor", "--store").exit_code == 0
    assert not store.has(sha) and store.put(b"some logits") == sha and store.get(sha) == b"some logits"


def test_a_decision_that_lost_one_bit_is_as_it_was_again(home: Path) -> None:
    Store().write("disqualified", "a", {"history": [{"reason": "a copy"}]})
    path = home / "disqualified" / "a.json"
    written = path.read_bytes()
    path.write_bytes(damage.flipped(written, 8 * len(written) - 100))
    assert run("doctor", "--store").exit_code == 0 and path.read_bytes() == written


def test_data_of_units_that_has_changed_is_written_again(references: References) -> None:
    context = UnitContext(references, forked.WarmUnits(), "inputs")
    (given,) = access.given(SeedUnit(baseline("original"), references.track, 0), references.examples)
    path = context.inputs(given)
    written = path.read_bytes()
    path.write_bytes(damage.flipped(written, 8000))
    assert context.inputs(given) == path and path.read_bytes() == written


def test_held_weights_that_have_changed_are_named(references: References) -> None:
    store, track = references.store, references.track
    unlearned_weights.hold(store, "key", {"w": np.ones(3, np.float32)})
    assert (unlearned_weights.read(store, track, "key") or {})["w"].tolist() == [1, 1, 1]
    (path,) = (store.root / "held-weights").iterdir()
    two_bits(path)
    with pytest.raises(StoreError, match=str(path)):
        unlearned_weights.read(store, track, "key")


def test_a_search_of_an_older_version_goes_on_with_a_digest(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "a.journal").write_text('{"op_code": 0}\n')
    journal = StudyJournal(store, "tune", "a")
    journal.append_logs([{"op_code": 1}])
    assert StudyJournal(store, "tune", "a").read_logs(0) == [{"op_code": 0}, {"op_code": 1}]
    two_bits(tmp_path / "tune" / "a.json")
    with pytest.raises(StoreError):
        journal.read_logs(1)


def test_files_of_killed_commands_go_when_they_are_old(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    store.write("units", "a", {})
    young, stale = (tmp_path / "units" / f".{name}.part" for name in ("young", "stale"))
    for path in (young, stale):
        path.write_bytes(b"{")
    os.utime(stale, (0, 0))
    assert any("1 files of killed commands" in check.text for check in store_checks.examine_folder(store))
    assert young.exists() and not stale.exists()


def test_a_date_in_the_future_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    store.write("units", "a", {"date": "2999-01-01T00:00:00+00:00"})
    (check,) = [check for check in store_checks.examine_folder(store) if check.subject == "dates"]
    assert "in the future" in check.text and "clock" in check.remedy and not check.needed


def test_one_flip_of_each_kind_of_file_is_detected_and_named(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    for kind in ("units/t", "scores/t/a", "shadows/t", "shadow-scores/t/a", "references", "labels"):
        store.write(kind, "name", {"value": 0.5})
    store.put(b"logits" * 100, compress=True)
    damage.fill_others(store)
    flips = damage.run(store, len(damage.KINDS), seed=0, board=False)
    assert {flip.kind for flip in flips} == set(damage.KINDS)
    assert [flip for flip in flips if not (flip.read_named and flip.examined_named)] == []
