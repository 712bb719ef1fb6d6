"""The store: content-addressed, one record per key, nothing half-written."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import pytest

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Snapshot, Store
from unlearn_bench.harness.support.errors import StoreError
from unlearn_bench.harness.tracks.loading import load_track


def test_blobs_come_back_and_damage_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "a", behind=None)
    sha = store.put(b"some weights")
    assert store.get(sha) == b"some weights"
    path = tmp_path / "a" / "blobs" / sha[:2] / sha
    path.write_bytes(b"other weights")
    with pytest.raises(StoreError) as caught:
        store.get(sha)
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 20


def test_compressed_blobs_are_the_same_content(tmp_path: Path) -> None:
    behind = Store(tmp_path / "shipped", behind=None)
    sha = behind.put(b"abc" * 1000, compress=True)
    store = Store(tmp_path / "home", behind=tmp_path / "shipped")
    assert store.get(sha) == b"abc" * 1000
    store.put(b"abc" * 1000)
    assert not (tmp_path / "home" / "blobs").exists(), "what ships is not copied"
    path = next((tmp_path / "shipped").rglob("*.xz"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError, match="does not match"):
        store.get(sha)


def test_the_users_document_hides_the_shipped_one(tmp_path: Path) -> None:
    Store(tmp_path / "shipped", behind=None).write("units/t", "k", {"v": 1})
    store = Store(tmp_path / "home", behind=tmp_path / "shipped")
    assert store.read("units/t", "k") == {"v": 1}
    store.write("units/t", "k", {"v": 2})
    assert list(store.all("units/t")) == [("k", {"v": 2})]
    store.clear("units/t")
    assert store.read("units/t", "k") == {"v": 1}
    assert store.read("units/t", "other") is None


def test_a_damaged_document_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    store.write("units/t", "k", {"v": 1})
    path = tmp_path / "units" / "t" / "k.json"
    path.write_text("{")
    with pytest.raises(StoreError) as caught:
        store.read("units/t", "k")
    assert f"remove {path}" in caught.value.remedy


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    store = Store(tmp_path, behind=None)
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write("units/t", "k", {"v": float("nan")})
    assert list(store.all("units/t")) == []


def _count_up(root: Path, times: int) -> None:
    store = Store(root, behind=None)
    for _ in range(times):
        with store.lock("counter"):
            value = (store.read("n", "n") or {"v": 0})["v"]
            store.write("n", "n", {"v": value + 1})


def test_the_lock_serialises_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count_up, args=(tmp_path, 50)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Store(tmp_path, behind=None).read("n", "n") == {"v": 100}


def test_a_snapshot_reads_and_computes_each_thing_once_until_something_is_written(tmp_path: Path) -> None:
    Store(tmp_path, None).write("kind", "name", {"value": 1})
    snapshot, made = Snapshot(tmp_path, None), []

    def twice() -> int:
        made.append(1)
        return 2 * int((snapshot.read("kind", "name") or {})["value"])

    assert snapshot.once(("twice",), twice) == 2
    Store(tmp_path, None).write("kind", "name", {"value": 5})
    Store(tmp_path, None).write("kind", "new", {"value": 6})
    assert snapshot.once(("twice",), twice) == 2 and len(made) == 1
    assert snapshot.read("kind", "new") is None and [name for name, _ in snapshot.all("kind")] == ["name"]
    snapshot.write("kind", "name", {"value": 3})
    assert snapshot.once(("twice",), twice) == 6 and len(made) == 2


def test_another_process_gets_the_store_and_not_what_was_read(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, None)
    snapshot.write("kind", "name", {"value": 1})
    references = References(load_track("digits-resnet18"), snapshot)
    assert len(references.examples.dataset.images) > 1000 and references.store.read("kind", "name") == {"value": 1}
    sent = pickle.dumps(references)
    assert len(sent) < 20_000
    there: References = pickle.loads(sent)
    assert there.store.root == tmp_path
    Store(tmp_path, None).write("kind", "name", {"value": 2})
    assert there.store.read("kind", "name") == {"value": 2} and snapshot.read("kind", "name") == {"value": 1}
    assert there.store.read("units", "any") is None, "nothing behind it, as before"
