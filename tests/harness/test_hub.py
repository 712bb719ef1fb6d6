"""References on the Hugging Face Hub, through its own client: a place that counts commits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.harness.conftest import run
from tests.harness.hub import LARGE, REPOSITORY, Hub, serving
from tests.harness.test_publishing import manifest
from unlearn_bench.harness.references import publication
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.support.errors import EXIT_CODES

URL = f"hf://datasets/{REPOSITORY}/digits"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    found = Hub()
    with serving(found) as url:
        # the client reads its environment once, when it is imported
        for name, value in {
            "ENDPOINT": url,
            "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
        yield found


@pytest.mark.parametrize("url", [URL, f"hf://{REPOSITORY}"])
def test_what_the_hub_holds_others_fetch(
    prepared: References, small: Path, tmp_path: Path, hub: Hub, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("prepare", str(small), "--publish", url)
    assert result.exit_code == 0, result.output
    assert "12 files to publish" in result.stderr
    assert [len(files) for files in hub.commits] == [12, 1], "all files in one commit, the manifest after them"
    sizes = [len(content) for content in hub.files.values()]
    assert min(sizes) < LARGE < max(sizes), "some in the commit itself, some through LFS"
    assert "0 files to publish" in run("prepare", str(small), "--publish", url).stderr
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "other"))
    result = run("prepare", str(small), "--fetch", url)
    assert result.exit_code == 0, result.output
    assert manifest(tmp_path / "other") == manifest(tmp_path / "home")


def test_a_commit_holds_no_more_than_memory_should(
    prepared: References, small: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "LOT", 1_000_000)
    assert run("prepare", str(small), "--publish", URL).exit_code == 0
    assert len(hub.commits) > 3 and sum(map(len, hub.commits)) == 13
    for files in hub.commits:
        assert len(files) == 1 or sum(len(hub.files[name]) for name in files) <= 1_000_000


def test_where_the_hub_takes_no_more_commits_nothing_is_lost(prepared: References, small: Path, hub: Hub) -> None:
    hub.most = 1
    result = run("prepare", str(small), "--publish", URL)
    assert result.exit_code == EXIT_CODES["infra"]
    assert f"{URL} takes nothing more for now: HTTP 429" in result.stderr and "wait" in result.stderr
    hub.most = 128
    result = run("prepare", str(small), "--publish", URL)
    assert result.exit_code == 0 and "0 files to publish" in result.stderr


def test_a_repository_must_be_made_first(prepared: References, small: Path, hub: Hub) -> None:
    result = run("prepare", str(small), "--publish", "hf://nobody/nothing")
    assert result.exit_code == 2
    assert "there is no hf://nobody/nothing" in result.stderr and "has the place been made" in result.stderr
    assert not hub.commits
