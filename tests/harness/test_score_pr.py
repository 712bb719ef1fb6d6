"""A pull request from the fork to the board, on real repositories: scored from blobs, published as checked data."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import once, run
from tests.harness.gitrepo import Repo, entry, entry_beside
from tests.sandbox.conftest import docker_sandbox  # noqa: F401
from unlearn_bench.harness.cli import bench
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.pulls import comment, provenance
from unlearn_bench.harness.pulls import result as pull_result
from unlearn_bench.harness.pulls.git import Repository
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board, review
from unlearn_bench.harness.results.badges import NO_BASELINES
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units.records import now
from unlearn_bench.harness.workflows import score_pr

ROOT = Path(__file__).parents[2]
TITLE = "<b>@all</b> `x` [a](http://e.example) ![i](u) | $x$ #1 & \\n"


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose branch ``main`` holds the benchmark as it runs here."""

    def make(place: Path) -> None:
        made = Repo(place / "home")
        for folder in (*provenance.FOLDERS, "submissions"):
            shutil.copytree(ROOT / folder, made.path / folder, ignore=shutil.ignore_patterns("__pycache__"))
        made.git("add", "--force", ".")
        made.commit()

    return once(tmp_path_factory, "upstream", make)


@pytest.fixture
def fork(upstream: Path, tmp_path: Path) -> Repo:
    return clone(upstream, tmp_path / "fork")


def clone(upstream: Path, place: Path) -> Repo:
    """A stranger's clone with a branch ``pr``."""
    made = Repo(place)
    made.git("fetch", "--quiet", str(upstream), "main:refs/remotes/origin/main")
    made.git("checkout", "--quiet", "-B", "pr", "refs/remotes/origin/main")
    return made


def score(
    fork: Repo, track: Path, out: Path, *options: str, base: str = "origin/main", sandbox: str = "process"
) -> Any:
    arguments = ["--base", base, "--head", "pr", "--repo", str(fork.path), "--track", str(track)]
    return run("score-pr", *arguments, "--out", str(out), "--sandbox", sandbox, *options)


def test_the_harness_says_whether_it_is_that_of_the_base(upstream: Path, tmp_path: Path) -> None:
    same = provenance.compare_with_commit(Repository(upstream), Repository(upstream).commit("main"))
    assert same.matches and same.line.endswith("the source of the base commit")
    changed = Repo(tmp_path / "changed")
    changed.git("fetch", "--quiet", str(upstream), "main:main", "--update-head-ok")
    changed.git("checkout", "--quiet", "--force", "main")
    changed.write("harness/results/board.py", "pass\n")
    changed.git("rm", "--quiet", "scoring/ranks.py")
    other = provenance.compare_with_commit(Repository(changed.path), changed.commit())
    assert set(other.differing) == {"harness/results/board.py", "scoring/ranks.py"} and "NOT that of" in other.line
    assert other.digest == same.digest, "it is a digest of what runs"


NOSY = """
    assert "GITHUB_TOKEN" not in os.environ, "a token"
    for process in ("self", "1"):
        try:
            assert b"ghs_" not in open(f"/proc/{process}/environ", "rb").read(), "a token of another process"
        except PermissionError:
            pass
    for folder, folders, files in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            folders.clear()
        assert ".git" not in folders and not {".gitconfig", ".git-credentials", "docker.sock"} & set(files), folder
""".strip()
"""Looks for what a stranger would like to take along, and fails when it finds any."""


@dataclass(frozen=True)
class Scored:
    """A pull request that was scored in forked units, and where all of it lies."""

    fork: Repo
    out: Path
    track: Path
    store: Path

    @property
    def publish(self) -> tuple[str, ...]:
        return ("publish", str(self.out), "--track", str(self.track), "--repo", str(self.fork.path))


@pytest.fixture(scope="session")
def scored_once(trained: Path, upstream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(place: Path) -> None:
        shutil.copytree(trained, place / "home")
        fork = clone(upstream, place / "fork")
        fork.write("submissions/mine.py", entry("pass", TITLE))
        fork.commit()
        fork.git("checkout", "--quiet", "--detach", "origin/main")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary.md"))
            result = score(fork, place / "small.toml", place / "out")
        assert result.exit_code == 0, result.output
        assert "mine: 1st of 1 · RetDev " in result.stdout and "the source of the base commit" in result.stderr

    return once(tmp_path_factory, "scored-pull", make).parent


@pytest.fixture
def scored(scored_once: Path, home: Path, small: Path, tmp_path: Path) -> Scored:
    for name in ("fork", "out"):
        shutil.copytree(scored_once / name, tmp_path / name)
    shutil.copytree(scored_once / "home", home)
    return Scored(Repo(tmp_path / "fork"), tmp_path / "out", small, home)


@pytest.fixture
def publisher(scored: Scored, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The publisher's store, which has the models and knows nothing of the run."""
    shutil.copytree(trained, tmp_path / "publisher")
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "publisher"))
    return tmp_path / "publisher"


def test_a_result_says_what_was_scored_by_which_harness(scored: Scored, scored_once: Path) -> None:
    assert not (scored.fork.path / "submissions/mine.py").exists(), "nothing is checked out"
    document = pull_result.read(scored.out)
    assert document.head == Repository(scored.fork.path).commit("pr")
    assert (document.status, document.harness.matches_base) == ("ok", True)
    text = (scored.out / "comment.md").read_text()
    assert (scored_once / "summary.md").read_text() == text
    assert "**1st of 1 · RetDev " in text and "seeds `0✓ 1✓`" in text
    assert "heading" not in text and "script" not in text, "of a participant's text the title alone"


def test_scored_again_it_is_that_result_and_nothing_runs(scored: Scored, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in scored.store.glob("units/**/*.json")}
    again = score(scored.fork, scored.track, tmp_path / "again")
    assert again.exit_code == 0 and "this is that result" in again.stderr and "to run" not in again.stderr
    assert pull_result.read(tmp_path / "again") == pull_result.read(scored.out)
    assert {path: path.read_bytes() for path in scored.store.glob("units/**/*.json")} == before


def test_a_checked_result_stands_on_the_board_of_the_publisher(scored: Scored, publisher: Path, tmp_path: Path) -> None:
    before = sorted(publisher.glob("units/**/*.json"))
    assert run(*scored.publish, "--check").exit_code == 0
    assert sorted(publisher.glob("units/**/*.json")) == before, "it was a check"
    published = tmp_path / "comment.md"
    done = run(*scored.publish, "--comment", str(published))
    assert (
        done.exit_code == 0
        and "appended 2 records of 1 entry to" in done.stdout
        and "mine: this is its row now" in done.stdout
    ), done.output
    references = References(load_track(str(scored.track)), Store())
    row = board.board(references).set_index("entry").loc["mine"]
    assert row["position"] == 1 and not row["trusted"]
    assert board.board(references, public=True).set_index("entry").loc["mine", "state"] == board.UNTRUSTED
    assert f"RetDev {row['retdev']:.3f}" in published.read_text()
    assert "appended 0 records" in run(*scored.publish).stdout, "twice is once"


def test_a_published_unit_is_run_again_and_verified(scored: Scored, publisher: Path) -> None:
    assert run(*scored.publish).exit_code == 0
    command = ("verify", "mine", "--seed", "0", "--track", str(scored.track), "--sandbox", "process")
    assert run(*command).exit_code == 0
    references = References(load_track(str(scored.track)), Store())
    assert review.marks(references)["mine"].verified == "verified"


def test_a_smoke_run_ranks_nothing_and_is_not_published(
    prepared: References, small: Path, fork: Repo, tmp_path: Path
) -> None:
    fork.write("submissions/mine.py", entry())
    fork.commit()
    gate = score(fork, small, tmp_path / "out", "--smoke")
    assert gate.exit_code == 0 and "mine: not ranked yet" in gate.stdout, gate.output
    assert "smoke run" in run("publish", str(tmp_path / "out"), "--track", str(small)).stderr


def test_a_method_that_fails_is_told_whose_fault_it_is(
    prepared: References, small: Path, fork: Repo, tmp_path: Path
) -> None:
    fork.write("submissions/bad.py", entry("raise RuntimeError('@all <b>')", lr=2.0))
    fork.write("submissions/worse.py", entry("os._exit(3)", lr=3.0))
    fork.commit()
    failed = score(fork, small, tmp_path / "out")
    assert failed.exit_code == 11 and "whose: your method" in failed.stdout
    text = (tmp_path / "out" / "comment.md").read_text()
    assert text.count("failed: `crash` on seed ") == 2 and text.count(". Whose: your method.") == 2
    assert "@" not in text and "RuntimeError" not in text, "what an entry says stays in its log"


def test_a_method_that_does_not_apply_has_not_failed(
    prepared: References, small: Path, fork: Repo, tmp_path: Path
) -> None:
    body = "from sandbox.toolkit import NotApplicable\n    raise NotApplicable('@everybody')"
    fork.write("submissions/unfit.py", entry(body))
    fork.commit()
    assert score(fork, small, tmp_path / "out").exit_code == 16
    result = pull_result.read(tmp_path / "out")
    assert (result.status, result.entries[0].status) == ("ok", "not-applicable")
    text = (tmp_path / "out" / "comment.md").read_text()
    assert "**not applicable: the method cannot work on the track's network" in text and "failed" not in text
    assert "everybody" not in text, "what an entry says stays in its record"


@pytest.mark.docker
@pytest.mark.usefixtures("docker_sandbox")
def test_in_containers_a_pull_request_finds_no_secrets_and_is_trusted(
    prepared: References, small: Path, fork: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_0123456789")
    fork.write("submissions/mine.py", entry(NOSY, TITLE))
    fork.commit()
    first = score(fork, small, tmp_path / "out", sandbox="docker")
    assert first.exit_code == 0, first.output
    command = ("publish", str(tmp_path / "out"), "--track", str(small), "--repo", str(fork.path))
    assert "appended 0 records" in run(*command).stdout, "the store has them"
    row = board.board(prepared, public=True).set_index("entry").loc["mine"]
    assert row["trusted"] and row["state"] == NO_BASELINES, "no baseline ran in a container"
    assert run("verify", "mine", "--seed", "0", "--track", str(small), "--sandbox", "docker").exit_code == 0


def test_a_refused_pull_request_runs_nothing_and_says_why(small: Path, tmp_path: Path) -> None:
    fork = entry_beside(tmp_path / "bare")
    fork.write("harness/results/board.py", "import os; os.abort()\n")
    fork.write(".github/workflows/gate.yml", "on: pull_request_target\n")
    fork.write("submissions/@all`<b>`.py", entry(lr=2.0))
    fork.commit()
    result = score(fork, small, tmp_path / "out", base="main")
    assert result.exit_code == 10
    assert (
        result.stderr.count("error:") == 1
        and "is outside of submissions/" in result.stderr
        and "and 2 more" in result.stderr
    )
    document = pull_result.read(tmp_path / "out")
    assert document.status == "refused" and not document.entries
    text = (tmp_path / "out" / "comment.md").read_text()
    assert "**Refused**" in text and "- `harness/results/board.py` is outside of submissions/" in text
    assert "@" not in text and "<b>" not in text
    assert "refused" in run("publish", str(tmp_path / "out"), "--track", str(small)).stdout


def test_an_invalid_entry_does_not_take_the_others_with_it(prepared: References, small: Path, tmp_path: Path) -> None:
    fork = entry_beside(tmp_path / "bare")
    for name in ("nan_metadata", "many_parameters", "coding_cookie"):
        fork.write(f"submissions/{name}.py", (ROOT / "tests" / "data" / "entries" / f"{name}.py").read_bytes())
    fork.write("submissions/noted.py", entry("exec('pass')", lr=0.5))
    fork.commit()
    result = score(fork, small, tmp_path / "out", "--smoke", base="main")
    assert result.exit_code == 10 and "mine: not ranked yet" in result.stdout, result.output
    assert "3,000 hyper-parameters, more than 64" in result.stdout and "note: line 11: uses exec" in result.stdout
    document = pull_result.read(tmp_path / "out")
    assert [(each.name, each.status) for each in document.entries] == [("mine", "ok"), ("noted", "ok")]
    assert [each.path[12:-3] for each in document.invalid] == ["coding_cookie", "many_parameters", "nan_metadata"]
    text = (tmp_path / "out" / "comment.md").read_text()
    assert "**Invalid**; not run." in text and "for the reviewer: line 11: uses exec" in text


def test_a_title_cannot_do_anything_in_a_comment() -> None:
    from markdown_it import MarkdownIt

    nasty = [
        TITLE, "`` ` ``", "a\n\n# b", "x" * 500, "\x1b[31mred\x00", "\u202egnp.exe", "https://evil.example",
        "www.evil.example", "</sub></details>", "&lt;img&gt;", "$`\\href{}`$", "<!-- -->", "", "   ", "@org/team",
        "a|b|c", "~~x~~",
    ]  # fmt: skip
    parser = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")
    for text in nasty:
        span = comment.title(text)
        tokens = parser.parse(f"before {span} after")
        assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"], text
        children = [token.type for token in tokens[1].children or []]
        assert children == ["text", "code_inline", "text"], text
        inside = span[1:-1]
        assert 0 < len(inside) <= 80 and inside.isprintable()
        assert not set(inside) & set("`<>@#|&\\$") and "://" not in inside and "www." not in inside
    assert comment.title("Plain, with dots: a.b (2026)") == "`Plain, with dots: a.b (2026)`"


def test_commands_are_found_under_their_names() -> None:
    assert {"score-pr", "publish", "verify", "disqualify"} <= set(bench.list_commands(None))  # type: ignore[attr-defined]
    assert run("score-pr", "--help").exit_code == 0


def test_the_date_of_a_result_is_when_its_scoring_started(
    references: References, small: Path, fork: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ["2026-01-01T00:00:00+00:00"]

    def run_for_hours(*_: object) -> tuple[References, list[Any]]:
        clock[0] = "2026-01-01T09:00:00+00:00"
        return references, []

    monkeypatch.setattr(score_pr, "now", lambda: clock[0])
    monkeypatch.setattr(score_pr, "_run", run_for_hours)
    fork.write("submissions/mine.py", entry())
    fork.commit()
    scored = score_pr.score_pull(fork.path, "origin/main", "pr", str(small), RunOptions(), smoke=True)
    assert scored.result.date == "2026-01-01T00:00:00+00:00"


def test_the_clock_of_results_is_utc_to_the_second() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())
