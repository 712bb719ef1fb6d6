"""A store at a URL: two machines, a lost connection, a reader who changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile

from tests.harness.conftest import run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store import mirror
from unlearn_bench.harness.store.remote import Absent, Remote
from unlearn_bench.harness.store.store import Snapshot, Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError, StoreError

URL = "memory://somewhere/store"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Go to a machine with a cache folder of its own; returns where its copy of the store is."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()

    def go(name: str) -> Path:
        monkeypatch.setenv("BENCH_HOME", URL)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        found = mirror.current()
        assert found is not None
        found._lock = None  # as if the last command's process had ended
        found.pull()
        return found.root

    return go


def at_url() -> set[str]:
    return {path.removeprefix("/somewhere/store/") for path in fsspec.filesystem("memory").find("/somewhere/store")}


def test_what_one_machine_writes_another_has(machine: Callable[[str], Path]) -> None:
    machine("one")
    store = Store()
    sha = store.put(b"logits")
    store.write("units/x", "1", {"seconds": 1.0, "logits": sha})
    root = machine("two")
    store = Store()
    assert store.read("units/x", "1") == {"seconds": 1.0, "logits": sha}
    assert [name for name, _ in Snapshot().all("units/x")] == ["1"]
    assert store.has(sha) and not (root / "blobs").exists(), "arrays come when they are asked for"
    assert store.size(sha) == 6 and store.get(sha) == b"logits"
    assert not store.has("0" * 64)


def test_a_document_that_changed_comes_again_and_one_that_did_not_stays(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("one")
    Store().write("references", "a", {"roles": 1})
    Store().write("references", "b", {"roles": 1})
    machine("two")
    Store().write("references", "a", {"roles": 2})  # of the same size
    machine("one")
    assert Store().read("references", "a") == {"roles": 2}
    asked: list[str] = []
    read = Remote.read
    monkeypatch.setattr(Remote, "read", lambda self, names: (asked.extend(names), read(self, names))[1])
    machine("one")
    assert asked == []


def test_what_cannot_be_sent_waits_for_the_next_command(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine("one")

    def broken(self: Remote, files: object) -> None:
        raise Absent(f"{self.url} cannot be reached", "this machine", "run it again", EXIT_CODES["infra"])

    with monkeypatch.context() as lost:
        lost.setattr(Remote, "write", broken)
        with pytest.raises(BenchError, match="cannot be reached"):
            Store().write("units/x", "1", {"seconds": 1.0})
        assert at_url() == set()
        with pytest.raises(BenchError, match="cannot be reached"):
            machine("one")
        with pytest.raises(BenchError, match="cannot be reached"):
            Store().write("units/x", "2", {"seconds": 1.0})
    Store().write("units/x", "2", {"seconds": 2.0})
    machine("one")
    assert at_url() == {"units/x/1.json", "units/x/2.json"} and Store().read("units/x", "1") == {"seconds": 1.0}
    assert Store().read("units/x", "2") == {"seconds": 2.0}, "what was sent later stays"
    assert not any(path.is_file() for path in (root / "unsent").rglob("*"))


def test_what_is_cleared_is_cleared_there_too(machine: Callable[[str], Path]) -> None:
    machine("one")
    Store().write("drafts/x", "1", {})
    Store().write("drafts/y", "1", {})
    Store().clear("drafts/x")
    assert at_url() == {"drafts/y/1.json"}
    machine("two")
    assert [name for name, _ in Store().all("drafts")] == ["y/1"]
    machine("three")
    Store().clear("drafts/y")
    machine("two")
    assert [name for name, _ in Store().all("drafts")] == [], "also from a copy that had it"
    machine("one")
    Store().write("drafts/y", "1", {})
    assert [name for name, _ in Store().all("drafts")] == ["y/1"]


def test_a_store_for_export_is_only_where_it_is(machine: Callable[[str], Path], tmp_path: Path) -> None:
    machine("one")
    Store(tmp_path / "export", behind=None).write("units/x", "1", {})
    Store(tmp_path / "export", behind=None).clear("units")
    assert at_url() == set()


def test_a_second_command_does_not_change_the_copy_under_the_first(machine: Callable[[str], Path]) -> None:
    root = machine("one")
    first = mirror.current()
    assert first is not None
    second = mirror.Mirror(URL, root)
    Remote(URL).write({"units/x/1.json": b"{}"})
    second.pull()
    assert Store().read("units/x", "1") is None
    assert first._lock is not None
    first._lock.close()
    second.pull()
    assert Store().read("units/x", "1") == {}


@pytest.mark.slow
def test_commands_work_with_a_store_at_a_url(
    prepared: References, small: Path, machine: Callable[[str], Path], home: Path
) -> None:
    files = {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    Remote(URL).write(files)
    before = at_url()
    machine("one")
    result = run("prepare", str(small), "--verify")
    assert result.exit_code == 0, result.output
    assert "6 of 6 reference models, every file verified" in result.stdout
    path = small.with_name("own_method.py")
    path.write_text("def unlearn(model, retain, forget, val):\n    return model\n")
    result = run("submit", str(path), "--track", str(small), "--sandbox", "process")
    assert result.exit_code == 0, result.output
    assert any(name.startswith("units/") for name in at_url() - before)
    result = run("tune", "ft", "--track", str(small), "--trials", "1")
    assert result.exit_code == 0, result.output
    shutil.rmtree(machine("one"))
    machine("two")
    result = run("tune", "ft", "--track", str(small), "--trials", "2", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)[0]["trials"] == 2, result.output
    assert "ft trial 1" in result.stderr
    assert "ft trial 0" not in result.stderr, "what the other machine has tried is not tried again"
    result = run("leaderboard", "--track", str(small))
    assert result.exit_code == 0, result.output
    assert "own_method" in result.stdout


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("hf://someone/references", 2, "use a bucket"),
        ("https://127.0.0.1:9/store", 2, "over HTTP"),
        ("nothing://x", 2, "Protocol not known"),
    ],
)
def test_a_place_for_no_store_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, code: int, words: str
) -> None:
    monkeypatch.setenv("BENCH_HOME", url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = run("leaderboard")
    assert result.exit_code == code and words in result.stderr


def test_what_needs_no_store_waits_for_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_HOME", "https://127.0.0.1:9/store")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run("submit", "--help").exit_code == 0
    assert run("init", str(tmp_path / "method.py")).exit_code == 0


def test_what_is_damaged_at_the_url_is_named_there_and_made_again(machine: Callable[[str], Path]) -> None:
    machine("one")
    sha = Store().put(b"logits")
    blob, record = f"blobs/{sha[:2]}/{sha}", "units/x/1.json"
    Remote(URL).write({blob: b"damage", record: b"{"})
    root = machine("two")
    for read, name in ((lambda: Store().get(sha), blob), (lambda: Store().read("units/x", "1"), record)):
        with pytest.raises(StoreError, match="damaged store") as caught:
            read()
        assert f"remove the copy {root / name} " in caught.value.remedy
        assert f"remove {URL}/{name} as well" in caught.value.remedy
        (root / name).unlink()
        Remote(URL).remove(name)
    machine("two")
    assert Store().read("units/x", "1") is None and not Store().has(sha)
    Store().put(b"logits")
    machine("three")
    assert Store().get(sha) == b"logits"


def test_a_name_that_leads_out_of_the_copy_is_not_followed(machine: Callable[[str], Path]) -> None:
    fsspec.filesystem("memory").store["/somewhere/store/units/../../../out.json"] = MemoryFile(path="x", data=b"{}")
    root = machine("one")
    assert not list(root.parents[2].rglob("out.json"))


def test_a_folder_may_be_named_as_a_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_HOME", tmp_path.as_uri())
    Store().write("units/x", "1", {})
    assert (tmp_path / "units/x/1.json").is_file()
