"""``bench clean``: says what lies where, frees what is named, and touches results only after two questions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.harness.conftest import run
from unlearn_bench.harness.cli import bench
from unlearn_bench.harness.doctor import disk
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.sandbox import stage
from unlearn_bench.sandbox.engine import leftovers
from unlearn_bench.sandbox.engine.leftovers import InUse, Leftover


@pytest.fixture
def nothing_outside(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Orphans and images as seen by the command; what is removed of them is noted."""
    seen: dict[str, list[str]] = {"removed": []}

    def one(name: str) -> list[Leftover]:
        return [Leftover(name, 1000, lambda: seen["removed"].append(name))]

    monkeypatch.setattr(leftovers, "containers", lambda: one("container"))
    monkeypatch.setattr(leftovers, "processes", list)
    monkeypatch.setattr(leftovers, "folders", list)
    monkeypatch.setattr(leftovers, "images", lambda: one("image"))
    return seen


def kinds(*options: str) -> dict[str, dict[str, object]]:
    return {kind["kind"]: kind for kind in json.loads(run("clean", "--json", *options).stdout)["kinds"]}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def full(prepared: References, home: Path, nothing_outside: object) -> References:
    """A store with references, inputs, logs, data and arrays that nothing refers to, an old one and a young one."""
    for name in ("inputs/a.safetensors", "checkpoints/a", "logs/x.txt", "data/set.npz"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_bytes(b"0" * 100)
    old, young = prepared.store.put(b"old"), prepared.store.put(b"young")
    os.utime(home / "blobs" / old[:2] / old, (0, 0))
    assert prepared.store.has(young)
    return prepared


def test_every_byte_of_the_store_is_shown_where_it_lies(full: References, home: Path) -> None:
    found = kinds()
    of_store = sum(int(str(kind["bytes"])) for name, kind in found.items() if name not in ("orphans", "image"))
    young = len(b"young")
    assert of_store == size_of(home) - 100 - young, "all but the data set and what may belong to a run"
    assert found["inputs"]["bytes"] == found["logs"]["bytes"] == 100
    assert found["unreferenced"] == {
        "kind": "unreferenced", "bytes": 3, "count": 1, "option": "--unreferenced", "freed": False,
    }  # fmt: skip
    assert int(str(found["references"]["bytes"])) > 10_000, "models are counted with the documents that name them"
    assert "inputs" in run("clean").stdout and size_of(home) > 10_000


@pytest.mark.parametrize("kind", ["inputs", "checkpoints", "logs", "unreferenced"])
def test_what_is_named_is_freed_and_nothing_else(full: References, home: Path, kind: str) -> None:
    before = kinds()
    dry = kinds(f"--{kind}", "--dry-run")
    assert dry == before
    after = kinds(f"--{kind}", "--yes")
    assert {name for name, found in after.items() if found["freed"]} == {kind}
    left = kinds()
    assert {name: found for name, found in left.items() if found["count"]} == {
        name: found for name, found in before.items() if found["count"] and name != kind
    }
    assert sum(1 for _ in full.verify()) == 6, "references are whole"
    assert (home / "data" / "set.npz").exists()


def test_orphans_and_the_image_go_when_they_are_named(full: References, nothing_outside: dict[str, list[str]]) -> None:
    run("clean", "--logs", "--yes")
    assert nothing_outside["removed"] == []
    run("clean", "--orphans", "--yes")
    assert nothing_outside["removed"] == ["container"]
    run("clean", "--image", "--yes")
    assert nothing_outside["removed"] == ["container", "image"]


def test_an_image_in_use_is_an_error_with_a_remedy(full: References, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise InUse("image is being used by running container")

    monkeypatch.setattr(leftovers, "images", lambda: [Leftover("unlearn-bench:lean", 1, fails)])
    result = run("clean", "--image", "--yes")
    assert result.exit_code == 20 and "being used" in result.stderr and "do:" in result.stderr


@pytest.mark.parametrize("answers, gone", [("n\n", False), ("y\nn\n", False), ("y\ny\n", True)])
def test_results_go_with_all_after_two_questions_only(full: References, home: Path, answers: str, gone: bool) -> None:
    result = CliRunner().invoke(bench, ["clean", "--all"], input=answers)
    assert result.exit_code == 0, result.output
    assert ("deletes results" in result.output) == (answers != "n\n")
    assert (home / "references").exists() == (not gone)
    assert (home / "data" / "set.npz").exists(), "data sets stay"
    if gone:
        assert {name for name, found in kinds().items() if found["count"]} <= {"orphans", "image", "unreferenced"}
        assert len(list((home / "blobs").glob("*/*"))) == 1, "what may belong to a run stays"


def test_an_empty_machine_has_nothing_to_free(nothing_outside: object) -> None:
    assert kinds("--inputs", "--unreferenced", "--yes")["unreferenced"]["count"] == 0
    assert "nothing to free" in run("clean", "--inputs").stdout
    assert next(iter(disk.heaps(Store()))).kind == "unreferenced"


def test_only_folders_of_dead_units_are_orphans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / f"{stage.PREFIX}dead"
    dead.mkdir()
    (tmp_path / "other").mkdir()
    with stage.owned() as living:
        found = [one.name for one in leftovers.folders()]
    assert f"folder {dead}" in found
    assert f"folder {living}" not in found
    assert f"folder {tmp_path / 'other'}" not in found


@pytest.mark.docker
def test_a_tag_is_listed_with_its_size_and_removed_alone() -> None:
    import docker

    client = docker.from_env()
    image = client.images.list("unlearn-bench")[0]
    tag = f"clean-test-{os.getpid()}"
    image.tag("unlearn-bench", tag)
    (mine,) = [one for one in leftovers.images() if one.name == f"unlearn-bench:{tag}"]
    assert mine.size > 10**8
    mine.remove()
    assert f"unlearn-bench:{tag}" not in {one.name for one in leftovers.images()}
    assert client.images.get(image.id).tags == image.tags
    client.close()
