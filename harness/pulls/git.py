"""Reading a git repository without a checkout: commits, changes and blobs, through git's plumbing only.

Nothing of the repository is executed: no hooks, filters, external diffs, replaced objects or lazy fetches, and the
user's configuration is not read. Everything that git prints is bounded in size and time.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.sandbox.text import one_line

TIMEOUT = 120.0
"""Seconds that one git command may take."""
OUTPUT = 16 << 20
"""Bytes that one git command may print."""
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "LC_ALL": "C",
}
SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never",
        "-c", "safe.directory=*")  # fmt: skip


class GitError(BenchError):
    """A repository that cannot be read as asked: the command's fault, never the entry's."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, "your command", remedy, USAGE)


@dataclass(frozen=True)
class Change:
    """One path that differs between two trees; ids and modes are zeros on a side where it is absent."""

    path: bytes
    status: str
    """One letter as in ``git diff-tree``: A, M, D, T. Renames are a deletion and an addition."""
    old_mode: str
    mode: str
    old_blob: str
    blob: str


class Repository:
    """A local repository, bare or not."""

    def __init__(self, path: Path) -> None:
        """Open the repository at ``path``.

        Raises:
            GitError: git is not installed, or there is no repository.
        """
        self.path = path
        self._run("rev-parse", "--git-dir", missing=f"{path} is not a git repository")

    def commit(self, name: str) -> str:
        """Return the full id of the commit that ``name`` (a branch, tag or id) names.

        Raises:
            GitError: there is none; the message mentions a shallow clone.
        """
        remedy = f"fetch it first: git fetch origin {name}"
        if name.startswith("-") or "\0" in name or not name:
            raise GitError(f"{name!r} names no commit", "name a branch, a tag or a commit id")
        commit = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if commit is None or not COMMIT.fullmatch(commit := commit.strip()):
            hint = " (this is a shallow clone)" if self.shallow else ""
            raise GitError(f"there is no commit {name!r} in {self.path}{hint}", remedy)
        return commit

    @property
    def shallow(self) -> bool:
        """Whether history was cut off when it was cloned."""
        return (self._try("rev-parse", "--is-shallow-repository") or "").strip() == "true"

    def merge_base(self, base: str, head: str) -> str:
        """Return the commit where ``head`` left ``base``.

        Raises:
            GitError: there is none or more than one, or history is cut off before it.
        """
        ancestors = (self._try("merge-base", "--all", base, head) or "").split()
        if len(ancestors) == 1:
            return ancestors[0]
        if not ancestors and self.shallow:
            raise GitError(
                f"{self.path} is a shallow clone: where {head[:12]} left {base[:12]} is not in it",
                "git fetch --unshallow",
            )
        kind = "no common history" if not ancestors else "several common ancestors"
        raise GitError(f"{base[:12]} and {head[:12]} have {kind}", "rebase the pull request on the base branch")

    def changes(self, old: str, new: str) -> list[Change]:
        """Return what differs between the trees of two commits, by path; no renames, no contents."""
        text = self._run(
            "diff-tree", "-r", "-z", "--raw", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv",
            old, new, what=f"the changes from {old[:12]} to {new[:12]} cannot be read",
        )  # fmt: skip
        fields = text.split(b"\0")[:-1]
        changes = []
        for description, path in zip(fields[::2], fields[1::2], strict=True):
            old_mode, mode, old_blob, blob, status = description.decode("ascii").lstrip(":").split(" ")
            changes.append(Change(path, status, old_mode, mode, old_blob, blob))
        return changes

    def tree(self, commit: str, *folders: str) -> Iterator[tuple[bytes, str, str]]:
        """Yield (path, mode, blob) of every file, and submodule, below ``folders`` of a commit's tree."""
        what = f"the files of {commit[:12]} cannot be read"
        text = self._run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *folders, what=what)
        for line in text.split(b"\0")[:-1]:
            description, path = line.split(b"\t", 1)
            mode, _, blob = description.decode("ascii").split(" ")
            yield path, mode, blob

    def size(self, blob: str) -> int:
        """Return the size of a blob in bytes."""
        return int(self._run("cat-file", "-s", blob, what=f"object {blob[:12]} is missing or no file"))

    def read(self, blob: str, limit: int) -> bytes | None:
        """Return the bytes of a blob, unfiltered; ``None`` where it has more than ``limit``."""
        if self.size(blob) > limit:
            return None
        return self._run("cat-file", "blob", blob, what=f"object {blob[:12]} is no file")

    def _try(self, *arguments: str) -> str | None:
        finished = self._call(arguments)
        return finished.stdout.decode("ascii", "replace") if finished.returncode == 0 else None

    def _run(self, *arguments: str, what: str = "", missing: str = "") -> bytes:
        finished = self._call(arguments)
        if finished.returncode != 0:
            errors = finished.stderr.decode("utf-8", "replace").strip().splitlines()
            why = f": {one_line(errors[-1], 200)}" if errors and not missing else ""
            remedy = "give the path of a clone with --repo" if missing else "fetch the commits again"
            raise GitError(f"{missing or what}{why}", remedy)
        return finished.stdout

    def _call(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | ENVIRONMENT
        try:
            process = subprocess.Popen(
                ["git", *SAFE, "-C", str(self.path), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        except FileNotFoundError:
            raise GitError("git is not installed", "install git") from None
        return _bounded(process)


def _bounded(process: subprocess.Popen[bytes]) -> subprocess.CompletedProcess[bytes]:
    """Wait for a process, with bounds on its time and its output."""
    timer = threading.Timer(TIMEOUT, process.kill)
    timer.start()
    try:
        assert process.stdout is not None and process.stderr is not None
        output = process.stdout.read(OUTPUT + 1)
        if len(output) > OUTPUT:
            process.kill()
            raise GitError("git says more than anybody can read", "send in a smaller pull request")
        errors = process.stderr.read(OUTPUT)
        return subprocess.CompletedProcess(process.args, process.wait(), output, errors)
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def blob_id(content: bytes, like: str) -> str:
    """Return the id that git gives to a file's content, by the hash (SHA-1 or SHA-256) that made the id ``like``."""
    algorithm = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()
