"""Entries of several files, and what an entry requires beyond the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.conftest import run
from tests.harness.gitrepo import Repo
from unlearn_bench.harness.entries.entry import Entry, InvalidEntry, from_source, read, require_allowed
from unlearn_bench.harness.pulls import pull_request
from unlearn_bench.harness.pulls.git import Repository
from unlearn_bench.harness.tracks.loading import load_track

MAIN = '''"""Fine-tune in another file."""
from .steps import fine_tune


def unlearn(model, retain, *, lr: float = 0.01):
    fine_tune(model, retain, lr)
'''
STEPS = """
import torch


def fine_tune(model, loader, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr)
    for images, labels in loader:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package of two files, beside what nobody reads."""
    place = tmp_path / "two_files"
    (place / "__pycache__").mkdir(parents=True)
    (place / "__pycache__" / "steps.pyc").write_bytes(b"\0")
    (place / "README.md").write_text("Mine.")
    (place / "__init__.py").write_text(MAIN)
    (place / "steps.py").write_text(STEPS)
    return place


def allowing(small: Path) -> Path:
    """The tiny track, which now takes packages."""
    small.write_text(small.read_text().replace("[protocol]", "[protocol]\npackages = true"))
    return small


def test_a_package_and_its_bundle_are_one_entry(folder: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "two_files.py"
    assert run("check", str(folder), "--bundle", str(bundle)).exit_code == 0
    package, unpacked = read(folder), read(bundle)
    assert package == unpacked and package.id == unpacked.id
    assert package.defaults == {"lr": 0.01} and package.summary == "Fine-tune in another file."
    assert dict(package.files) == {"__init__.py": MAIN.encode(), "steps.py": STEPS.encode()}


def test_a_bundle_replaces_nothing_but_a_bundle(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("mine")
    assert "is no bundle" in run("check", str(folder), "--bundle", str(other)).stderr
    assert other.read_text() == "mine"
    single = tmp_path / "single.py"
    single.write_text("def unlearn(model, retain): ...")
    assert "is a single file" in run("check", str(single), "--bundle", str(tmp_path / "new.py")).stderr
    for _ in range(2):
        assert run("check", str(folder), "--bundle", str(tmp_path / "new.py")).exit_code == 0


def test_an_image_for_an_entry_is_made_on_the_one_that_is_there(folder: Path) -> None:
    assert run("image", "--for", str(folder), "--if-missing").exit_code == 2


def test_a_package_is_called_as_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dotted = folder.rename(folder.with_name("two.files-1.0"))
    assert read(dotted).name == "two.files-1.0"
    monkeypatch.chdir(dotted)
    assert read(Path()).name == "two.files-1.0"


def test_every_file_of_a_package_counts_in_its_digests(folder: Path) -> None:
    before = read(folder)
    (folder / "steps.py").write_text(STEPS.replace("SGD", "Adam"))
    after = read(folder)
    assert before.sha256 != after.sha256 and before.syntax != after.syntax


def test_a_comment_in_a_file_of_a_package_is_no_other_method(folder: Path) -> None:
    before = read(folder)
    (folder / "steps.py").write_text(f"# mine\n{STEPS}")
    assert before.syntax == read(folder).syntax


FAULTS = {
    "no __init__.py": lambda folder: (folder / "__init__.py").unlink(),
    "steps.py: line 1: syntax error": lambda folder: (folder / "steps.py").write_text("def"),
    "imports einops, which the image lacks": lambda folder: (folder / "steps.py").write_text("import einops"),
    "weights.pt is no Python file": lambda folder: (folder / "weights.pt").write_bytes(b"\0"),
    "two.words.py is no Python file": lambda folder: (folder / "two.words.py").touch(),
    "linked.py is not a regular file": lambda folder: (folder / "linked.py").symlink_to(folder / "steps.py"),
    "more than 262,144 bytes": lambda folder: (folder / "steps.py").write_text("#" * 270_000),
    "like the header of a file": lambda folder: (folder / "steps.py").write_text("# ==== other.py ====\n"),
    "64 files": lambda folder: [(folder / f"m{i}.py").touch() for i in range(64)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_package_is_refused_with_the_reason(folder: Path, fault: str) -> None:
    FAULTS[fault](folder)
    with pytest.raises(InvalidEntry, match=fault):
        read(folder)


@pytest.mark.parametrize("path", ["../escape.py", "/etc/passwd.py", "a/b/c/d/e.py", "__init__.py"])
def test_a_bundle_writes_to_no_other_place(path: str) -> None:
    source = f"# ==== __init__.py ====\n{MAIN}# ==== {path} ====\n"
    with pytest.raises(InvalidEntry, match="occurs twice or cannot be imported"):
        from_source("mine", source.encode())


def test_a_track_of_single_files_refuses_a_package(small: Path, folder: Path) -> None:
    result = run("submit", str(folder), "--track", str(small), "--sandbox", "process")
    assert result.exit_code == 10
    assert "packages = true" in result.stderr


def test_allowing_packages_changes_no_digest(small: Path) -> None:
    before = load_track(str(small))
    after = load_track(str(allowing(small)))
    assert after.protocol.packages and not before.protocol.packages
    assert (before.reference_digest, before.protocol_digest) == (after.reference_digest, after.protocol_digest)


def test_a_pull_request_takes_a_bundle_where_the_track_allows_packages(folder: Path, tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo")
    repo.write("README.md", "base")
    repo.commit()
    repo.branch("pr")
    repo.write("submissions/two_files.py", read(folder).source.decode())
    repo.commit()
    allowed = pull_request.read(Repository(repo.path), "main", "pr", packages=True)
    assert [submission.entry.is_package for submission in allowed.submissions] == [True]
    refused = pull_request.read(Repository(repo.path), "main", "pr")
    assert [refusal.what for refusal in refused.invalid] == ["is a package, which this track does not allow"]


def requiring(*dependencies: str) -> Entry:
    """An entry whose metadata block names dependencies."""
    listed = ", ".join(f'"{dependency}"' for dependency in dependencies)
    block = f"# /// script\n# dependencies = [{listed}]\n# ///\n"
    return from_source("mine", (block + "import einops\n\n\ndef unlearn(model, retain): ...\n").encode())


def test_an_entry_requires_what_the_image_does_not_provide() -> None:
    entry = requiring("torch>=2", "Einops >= 0.8", "scikit-learn")
    assert entry.requirements == ("einops>=0.8",)


@pytest.mark.parametrize(
    "dependency",
    ["einops @ https://example.org/einops.whl", "einops; python_version < '4'", "--index-url=x", "../mine"],
)
def test_a_dependency_names_a_package_of_the_index(dependency: str) -> None:
    with pytest.raises(InvalidEntry, match="the dependency"):
        requiring(dependency)


def test_single_files_are_allowed_everywhere(small: Path) -> None:
    track = load_track(str(small))
    require_allowed(requiring("einops"), replace(track, protocol=replace(track.protocol, packages=False)))


@pytest.mark.slow
def test_a_package_runs_and_stands_on_the_board(prepared: object, small: Path, folder: Path) -> None:
    result = run("submit", str(folder), "--track", str(allowing(small)), "--sandbox", "process")
    assert result.exit_code == 0, result.output
    shown = run("show", "two_files", "--track", str(small), "--json")
    assert shown.exit_code == 0, shown.output
