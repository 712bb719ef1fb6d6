"""A pull request from the fork to the board, on real repositories: scored from blobs, published as checked data."""

from __future__ import annotations

import re
import shutil
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
from unlearn_bench.harness.store.store import Store
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
    """A stranger's clone with a branch ``pr``."""
    made = Repo(tmp_path / "fork")
    made.git("fetch", "--quiet", str(upstream), "main:refs/remotes/origin/main")
    made.git("checkout", "--quiet", "-B", "pr", "refs/remotes/origin/main")
    return made


def score(fork: Repo, track: Path, out: Path, *options: str, base: str = "origin/main") -> Any:
    arguments = ["--base", base, "--head", "pr", "--repo", str(fork.path), "--track", str(track)]
    return run("score-pr", *arguments, "--out", str(out), *options)


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


@pytest.mark.parametrize(
    "sandbox", [pytest.param("process", marks=pytest.mark.slow), pytest.param("docker", marks=pytest.mark.docker)]
)
def test_a_pull_request_is_scored_published_and_stands_on_the_board(
    sandbox: str,
    prepared: References,
    small: Path,
    fork: Repo,
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    trusted = sandbox == "docker"
    if trusted:
        request.getfixturevalue("docker_sandbox")
        monkeypatch.setenv("GITHUB_TOKEN", "ghs_0123456789")
    pristine, out = tmp_path / "pristine", tmp_path / "out"
    shutil.copytree(home, pristine)
    fork.write("submissions/mine.py", entry(NOSY if trusted else "pass", TITLE))
    head = fork.commit()
    fork.git("checkout", "--quiet", "--detach", "origin/main")
    gate = score(fork, small, out, "--smoke", "--sandbox", sandbox)
    assert gate.exit_code == 0 and "mine: not ranked yet" in gate.stdout, gate.output
    assert "smoke run" in run("publish", str(out), "--track", str(small)).stderr
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    first = score(fork, small, out, "--sandbox", sandbox)
    assert first.exit_code == 0, first.output
    assert "mine: rank 1 of 1 · RetDev " in first.stdout and "the source of the base commit" in first.stderr
    assert not (fork.path / "submissions/mine.py").exists(), "nothing is checked out"
    document = pull_result.read(out)
    assert (document.head, document.status, document.harness.matches_base) == (head, "ok", True)
    text = (out / "comment.md").read_text()
    assert summary.read_text() == text and "**rank 1 of 1 · RetDev " in text and "seeds `0✓ 1✓`" in text
    assert "heading" not in text and "script" not in text, "of a participant's text the title alone"

    before = {path: path.read_bytes() for path in home.glob("units/**/*.json")}
    again = score(fork, small, tmp_path / "again", "--sandbox", sandbox)
    assert again.exit_code == 0 and "this is that result" in again.stderr and "to run" not in again.stderr
    assert pull_result.read(tmp_path / "again") == document
    assert {path: path.read_bytes() for path in home.glob("units/**/*.json")} == before

    monkeypatch.setenv("BENCH_HOME", str(pristine))  # the publisher's store knows nothing of the run
    published = tmp_path / "comment.md"
    command = ("publish", str(out), "--track", str(small), "--repo", str(fork.path), "--comment", str(published))
    checked = run(*command, "--check")
    assert checked.exit_code == 0 and not list(pristine.glob("units/**/*.json"))
    done = run(*command)
    assert done.exit_code == 0 and "appended 2 records of 1 entries" in done.stdout, done.output
    row = board.board(References(prepared.track, Store())).set_index("entry").loc["mine"]
    assert row["rank"] == 1 and row["trusted"] == trusted
    public = board.board(References(prepared.track, Store()), public=True).set_index("entry").loc["mine"]
    assert (public["state"] == board.UNTRUSTED) == (not trusted)
    assert f"RetDev {row['retdev']:.3f}" in published.read_text()
    assert "appended 0 records" in run(*command).stdout, "twice is once"
    assert run("verify", "mine", "--seed", "0", "--track", str(small), "--sandbox", sandbox).exit_code == 0
    assert review.marks(References(prepared.track, Store()))["mine"].verified == "verified"

    monkeypatch.setenv("BENCH_HOME", str(home))
    fork.git("checkout", "--quiet", "-B", "pr", "origin/main")
    fork.write("submissions/bad.py", entry("raise RuntimeError('@all <b>')", lr=2.0))
    fork.write("submissions/worse.py", entry("os._exit(3)", lr=3.0))
    fork.commit()
    failed = score(fork, small, out, "--sandbox", sandbox)
    assert failed.exit_code == 11 and "whose: your method" in failed.stdout
    text = (out / "comment.md").read_text()
    assert text.count("failed: `crash` on seed ") == 2 and text.count(". Whose: your method.") == 2
    assert "@" not in text and "RuntimeError" not in text, "what an entry says stays in its log"


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
    assert run("publish", str(tmp_path / "out"), "--track", str(small)).stdout.startswith("appended 0 records")


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
