"""What a pull request may add, on real repositories: everything but plain new entries is refused, and says why."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from tests.harness.gitrepo import Repo
from unlearn_bench.harness.entries.entry import BASELINES
from unlearn_bench.harness.pulls import pull_request
from unlearn_bench.harness.pulls.git import GitError, Repository

SOURCE = '''"""Does {what}."""


def unlearn(model, retain, forget, val, *, lr={lr}):
    return model
'''


def source(what: str = "nothing", lr: float = 0.5) -> str:
    return SOURCE.format(what=what, lr=lr)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A base branch with one entry and a file of the harness; the branch ``pr`` is checked out."""
    made = Repo(tmp_path / "repo")
    made.write("submissions/first.py", source("the first", 0.125))
    made.write("harness/results/board.py", "pass\n")
    made.commit()
    made.branch("pr")
    return made


def read(repo: Repo, head: str = "pr", base: str = "main", allow_change: bool = False) -> pull_request.PullRequest:
    return pull_request.read(Repository(repo.path), base, head, allow_change)


def refusals(repo: Repo, head: str = "pr", allow_change: bool = False) -> list[tuple[str, str]]:
    """(path, what) of everything that is refused; nothing may be scored beside it."""
    found = read(repo, head, allow_change=allow_change)
    assert not found.submissions or not found.refusals
    return [(one.path, one.what) for one in found.refusals]


def test_new_entries_are_read_as_blobs_and_the_work_tree_does_not_matter(repo: Repo) -> None:
    repo.write("submissions/mine.py", source("mine"))
    repo.write("submissions/other-2.py", source("other", 0.25))
    head = repo.commit()
    (repo.path / "submissions/mine.py").write_text("raise SystemExit('the work tree was read')")
    repo.git("checkout", "--quiet", "--force", "main")
    repo.write("harness/results/board.py", "later = True\n")
    repo.write("submissions/second.py", source("later", 0.375))
    base = repo.commit()
    found = read(repo)
    assert (found.base, found.head) == (base, head) and found.merge_base not in (base, head)
    assert [(s.path, s.change, s.entry.summary) for s in found.submissions] == [
        ("submissions/mine.py", "added", "Does mine."),
        ("submissions/other-2.py", "added", "Does other."),
    ]
    assert found.submissions[0].entry.source == source("mine").encode()


def test_a_changed_entry_needs_a_maintainers_word(repo: Repo) -> None:
    repo.write("submissions/first.py", source("the first, mended", 0.75))
    repo.commit()
    assert refusals(repo) == [("submissions/first.py", "is there already")]
    (found,) = read(repo, allow_change=True).submissions
    assert (found.change, found.entry.defaults["lr"]) == ("changed", 0.75)


def test_an_entry_that_came_to_the_base_branch_meanwhile_is_a_changed_one(repo: Repo) -> None:
    repo.write("submissions/mine.py", source("mine"))
    repo.commit()
    repo.git("checkout", "--quiet", "main")
    repo.write("submissions/mine.py", source("somebody else's", 0.25))
    repo.commit()
    assert refusals(repo) == [("submissions/mine.py", "is there already")]
    repo.write("submissions/mine.py", source("mine"))
    repo.commit()
    assert refusals(repo) == [("", "adds nothing to the base branch")], "it was merged meanwhile"


def _delete(repo: Repo) -> None:
    repo.git("rm", "--quiet", "submissions/first.py")


def _rename(repo: Repo) -> None:
    repo.git("mv", "submissions/first.py", "submissions/renamed.py")


def _symlink(repo: Repo) -> None:
    (repo.path / "submissions/link.py").symlink_to("/etc/passwd")
    repo.git("add", "submissions/link.py")


def _typechange(repo: Repo) -> None:
    (repo.path / "submissions/first.py").unlink()
    (repo.path / "submissions/first.py").symlink_to("../harness/results/board.py")
    repo.git("add", "submissions/first.py")


def _submodule(repo: Repo) -> None:
    head = repo.git("rev-parse", "HEAD")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{head},submissions/module.py")


def _executable(repo: Repo) -> None:
    repo.write("submissions/mine.py", source("mine"))
    repo.git("update-index", "--chmod=+x", "submissions/mine.py")


REFUSED = {
    "delete": (_delete, "submissions/first.py", "is removed"),
    "rename": (_rename, "submissions/first.py", "is renamed"),
    "symlink": (_symlink, "submissions/link.py", "is a symbolic link"),
    "type change": (_typechange, "submissions/first.py", "is a symbolic link"),
    "submodule": (_submodule, "submissions/module.py", "is a submodule"),
    "executable": (_executable, "submissions/mine.py", "is executable"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_new_regular_file_is_refused(repo: Repo, case: str) -> None:
    make, path, what = REFUSED[case]
    make(repo)
    repo.commit()
    assert (path, what) in refusals(repo)
    assert (path, what) in refusals(repo, allow_change=True), "a maintainer's word is for changes alone"


@pytest.mark.parametrize(
    ("path", "what"),
    {
        "harness/results/board.py": "is outside of submissions/",
        ".github/workflows/gate.yml": "is outside of submissions/",
        ".gitattributes": "is outside of submissions/",
        "submissions.py": "is outside of submissions/",
        "Submissions/mine.py": "is outside of submissions/",
        "submissions/README.md": "is not named like an entry",
        "submissions/.gitattributes": "is not named like an entry",
        "submissions/deep/mine.py": "is not named like an entry",
        "submissions/mine.pyc": "is not named like an entry",
        "submissions/-mine.py": "is not named like an entry",
        "submissions/" + "a" * 65 + ".py": "is not named like an entry",
        "submissions/__init__.py": "has a name that Python or its tools give a meaning to",
        "submissions/Conftest.py": "has a name that Python or its tools give a meaning to",
        "submissions/test_mine.py": "has a name that Python or its tools give a meaning to",
        "submissions/ft.py": "has the name of a shipped method",
        "submissions/SalUN.py": "has the name of a shipped method",
        "submissions/ct.oracle-free.py": "has the name of a shipped method",
        "submissions/First.py": "differs from another file by case alone",
    }.items(),
)
def test_other_places_and_names_are_refused(repo: Repo, path: str, what: str) -> None:
    repo.write(path, source("mine"))
    repo.write("submissions/fine.py", source("fine", 0.25))
    repo.commit()
    assert refusals(repo) == [(path, what)]


def test_two_entries_that_differ_by_case_are_refused(repo: Repo) -> None:
    for name in (b"Mine", b"mine"):
        blob = repo.blob(source(name.decode(), len(name)).encode() + name)
        repo.git("update-index", "--add", "--cacheinfo", f"100644,{blob},submissions/{name.decode()}.py")
    repo.commit()
    what = "differs from another file by case alone"
    assert refusals(repo) == [("submissions/Mine.py", what), ("submissions/mine.py", what)]


@pytest.mark.parametrize(
    "name", [b"caf\xe9.py", "naïve.py".encode(), b"a b.py", b"a\nb.py", b"`a`.py", b"@you.py", b"..", b"\x1b[31m.py"]
)
def test_odd_names_are_refused_and_never_quoted_where_others_read(repo: Repo, name: bytes) -> None:
    main = repo.git("rev-parse", "main")
    folder = repo.subtree([("100644", repo.blob(source("mine").encode()), name)])
    head = repo.commit_tree([("40000", "tree", folder, b"submissions")], main)
    found = [one for one in read(repo, head).refusals if one.detail]
    assert [(one.path, one.what) for one in found] == [("", "is not named like an entry")]
    assert found[0].detail.isascii() and found[0].detail.isprintable()


def test_a_path_that_climbs_out_is_refused(repo: Repo) -> None:
    blob = repo.blob(source("mine").encode())
    up = repo.subtree([("100644", blob, b"mine.py")])
    folder = repo.subtree([("40000", up, b"..")])
    head = repo.commit_tree([("40000", "tree", folder, b"submissions")], repo.git("rev-parse", "main"))
    assert ("", "is not named like an entry") in refusals(repo, head)


def test_contents_are_checked_without_running_them(repo: Repo) -> None:
    limit = 64 * 1024
    cases = {
        "big": source() + "#" * (limit + 1),
        "binary": b"\x7fELF\x00\x01",
        "latin": "# caf\xe9\n".encode("latin-1") + source().encode(),
        "broken": "def unlearn(:\n",
        "empty": "",
        "foreign": "import tensorflow\n" + source(),
    }
    for name, content in cases.items():
        repo.write("submissions/mine.py", content)
        repo.commit()
        pull = read(repo)
        ((path, what),) = [(each.path, each.what) for each in pull.invalid]
        assert path == "submissions/mine.py" and not pull.submissions and not pull.refusals, name
        assert what == ("has more than 65,536 bytes" if name == "big" else "does not pass `bench check`"), name
    repo.write("submissions/mine.py", source() + "#" * (limit - len(source())))
    repo.commit()
    assert len(read(repo).submissions) == 1, "exactly 64 KiB are allowed"


def test_copies_are_refused_also_in_other_clothes(repo: Repo) -> None:
    first = source("the first", 0.125)
    shipped = (BASELINES / "ft.py").read_text()
    cases = {
        first: "has the bytes of submissions/first.py",
        "# mine\n" + source("something else entirely", 0.125).replace("lr=0.125", "lr  =  0.125"): (
            "differs from submissions/first.py in comments, docstrings and layout alone"
        ),
        shipped: "has the bytes of baselines/ft.py",
        shipped + "\n# my own\n": "differs from baselines/ft.py in comments, docstrings and layout alone",
    }
    for content, what in cases.items():
        repo.write("submissions/mine.py", content)
        repo.commit()
        assert refusals(repo) == [("submissions/mine.py", what)]
    repo.write("submissions/mine.py", source("twice"))
    repo.write("submissions/twin.py", source("twice, again"))
    repo.commit()
    what = "differs from submissions/mine.py in comments, docstrings and layout alone"
    assert refusals(repo) == [("submissions/twin.py", what)]


def test_a_pull_request_without_entries_or_with_too_many_is_refused(repo: Repo) -> None:
    repo.commit()
    assert refusals(repo) == [("", "adds nothing to the base branch")]
    for index in range(6):
        repo.write(f"submissions/mine{index}.py", source(lr=index))
    repo.commit()
    assert refusals(repo) == [("", "has 6 entries, more than 5")]


def test_missing_commits_and_cut_histories_are_said(repo: Repo, tmp_path: Path) -> None:
    repo.write("submissions/mine.py", source("mine"))
    repo.commit()
    for name, words in {
        "nowhere": "no commit 'nowhere'",
        "--output=x": "names no commit",
        "": "names no commit",
    }.items():
        with pytest.raises(GitError, match=words):
            read(repo, base=name)
    with pytest.raises(GitError, match="is not a git repository"):
        Repository(tmp_path)
    repo.git("checkout", "--quiet", "main")
    repo.commit()
    clone = Repo(tmp_path / "clone")
    clone.git("fetch", "--quiet", "--depth=1", f"file://{repo.path}", "main:base", "pr:pr")
    with pytest.raises(GitError, match="shallow clone") as error:
        read(clone, base="base")
    assert error.value.exit_code == 2 and "--unshallow" in error.value.remedy
    repo.git("checkout", "--quiet", "--orphan", "alien")
    repo.write("alien.py", "")
    repo.commit()
    with pytest.raises(GitError, match="no common history"):
        read(repo, "alien")


def test_settings_of_the_repository_do_not_run_anything(repo: Repo, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    script = tmp_path / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\ncat\n")
    script.chmod(0o755)
    for key in ("diff.external", "core.fsmonitor", "diff.own.textconv", "filter.own.smudge", "core.pager"):
        repo.git("config", key, str(script))
    (repo.path / ".git/info/attributes").write_text("*.py diff=own filter=own\n")
    blob = repo.blob(source("mine").encode())
    repo.git("-c", "core.fsmonitor=", "update-index", "--add", "--cacheinfo", f"100644,{blob},submissions/mine.py")
    repo.git("-c", "core.fsmonitor=", "commit", "--quiet", "-m", "mine")
    trap.unlink(missing_ok=True)
    assert len(read(repo).submissions) == 1
    assert not trap.exists()


def test_a_repository_with_other_hashes_is_read_too(tmp_path: Path) -> None:
    made = Repo(tmp_path / "sha256", "--object-format=sha256")
    made.write("submissions/first.py", source("the first", 0.125))
    made.commit()
    made.branch("pr")
    made.write("submissions/mine.py", source("mine"))
    assert len(made.commit()) == 64
    assert [s.path for s in read(made).submissions] == ["submissions/mine.py"]


def flood(repo: Repo, names: list[str], content: bytes) -> str:
    """A commit that adds one file of this content under each name to the folder of entries."""
    blob, first = repo.blob(content), repo.git("rev-parse", "main:submissions/first.py")
    files = sorted([(b"first.py", first), *((name.encode(), blob) for name in names)])
    folder = repo.subtree([("100644", each, name) for name, each in files])
    rest = ("040000", "tree", repo.git("rev-parse", "main:harness"), b"harness")
    return repo.commit_tree([rest, ("040000", "tree", folder, b"submissions")], repo.git("rev-parse", "main"))


def test_more_entries_than_a_pull_request_may_have_are_refused_in_one_line(repo: Repo) -> None:
    head = flood(repo, [f"e{number:02}.py" for number in range(50)], source().encode())
    assert refusals(repo, head) == [("", "has 50 entries, more than 5")]


def test_of_ten_thousand_files_a_few_refusals_are_listed(repo: Repo) -> None:
    head = flood(repo, [f"e{number:05}.txt" for number in range(10_000)], b"junk")
    assert len(refusals(repo, head)) == pull_request.SHOWN


def test_junk_is_refused_by_its_size_and_never_held(repo: Repo) -> None:
    repo.write("submissions/junk.py", b"#" * (32 << 20))
    repo.commit()
    tracemalloc.start()
    (invalid,) = read(repo).invalid
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "has more than" in invalid.what and peak < 24 << 20
