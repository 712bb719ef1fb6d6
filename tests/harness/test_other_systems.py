"""A system that is not Linux: boards can be read and files checked, and what cannot run there says so at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIMULATED = """
import os, select, signal, sys
for name in ("sched_getaffinity", "sched_setaffinity", "pidfd_open", "memfd_create", "unshare", "setresuid", "O_PATH"):
    if hasattr(os, name):
        delattr(os, name)
del select.epoll, signal.pidfd_send_signal
def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file or directory", str(arguments[0]))
sys.addaudithook(refuse)
sys.argv[0] = "bench"
from unlearn_bench.harness.cli import main
main()
"""
"""The command on a system without Linux's own functions and folders."""


def bench(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SIMULATED, *words], cwd=folder, capture_output=True, text=True)


SITE = ("leaderboard", "--format", "html", "--out", "site")


@pytest.mark.parametrize("words", [("leaderboard",), ("check", "mine.py"), pytest.param(SITE, marks=pytest.mark.slow)])
def test_what_runs_no_method_works(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def unlearn(model, retain):\n    return model\n")
    done = bench(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [("submit", "mine.py"), ("doctor",)])
def test_what_runs_methods_says_that_it_needs_linux(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def unlearn(model, retain):\n    return model\n")
    done = bench(*words, folder=tmp_path)
    assert done.returncode == 20
    assert "needs Linux" in done.stderr and "Traceback" not in done.stderr
