"""Real git repositories for tests: what a stranger can put into a pull request, also what no ordinary client writes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

AUTHOR = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")

ENTRY = '''# /// script
# [tool.bench]
# title = "{title}"
# ///
"""<script>alert(1)</script> @everybody"""
import os, subprocess, torch


def unlearn(model, retain, forget, val, *, lr={lr}):
    print("## a heading <img src=x> @someone")
    {hostile}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 - 0.001 * lr)
    return model
'''


class Repo:
    """A repository whose branch ``main`` is the base and whose branch ``pr`` is the pull request."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run git; its standard output."""
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", *AUTHOR, "-C", str(self.path), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, env=environment)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file of the work tree and stage it."""
        place = self.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--force", "--", path)

    def commit(self) -> str:
        """Commit what is staged; the commit's id."""
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str) -> None:
        """Begin a branch at the commit that is checked out."""
        self.git("checkout", "--quiet", "-b", name)

    def blob(self, content: bytes) -> str:
        """Put an object into the repository."""
        return self.git("hash-object", "-w", "--stdin", stdin=content)

    def commit_tree(self, entries: list[tuple[str, str, str, bytes]], parent: str) -> str:
        """A commit whose root holds exactly (mode, type, id, name); names and modes that git would refuse, too."""
        ids = {40: 20, 64: 32}
        raw = b""
        for mode, _, blob, name in entries:
            assert len(bytes.fromhex(blob)) == ids[len(blob)]
            raw += mode.lstrip("0").encode() + b" " + name + b"\0" + bytes.fromhex(blob)
        tree = self.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw)
        return self.git("commit-tree", tree, "-p", parent, "-m", "crafted")

    def subtree(self, entries: list[tuple[str, str, bytes]]) -> str:
        """A tree object of (mode, id, name), whatever the names."""
        raw = b"".join(m.lstrip("0").encode() + b" " + n + b"\0" + bytes.fromhex(i) for m, i, n in entries)
        return self.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw)


def entry(hostile: str = "pass", title: str = "A plain method", lr: float = 1.0) -> str:
    """Return the source of an entry that runs ``hostile`` and shrinks every weight."""
    return ENTRY.format(title=title.replace("\\", "\\\\"), hostile=hostile, lr=lr)


def entry_beside(place: Path) -> Repo:
    """Return a repository with one entry on ``main`` beside the one that ``pr`` adds."""
    made = Repo(place)
    made.write("submissions/first.py", entry(lr=0.125))
    made.commit()
    made.branch("pr")
    made.write("submissions/mine.py", entry())
    made.commit()
    return made
