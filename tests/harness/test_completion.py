"""What shells offer: tracks, methods, entries of the track that was named, and files where none of them fits."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from unlearn_bench.harness.cli import bench


def offered(*words: str) -> list[str]:
    *arguments, incomplete = words
    completion = ShellComplete(bench, {}, "bench", "_BENCH_COMPLETE")
    return [item.value for item in completion.get_completions(arguments, incomplete)]


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (("sub",), ["submit"]),
        (("submit", "mine.py", "--track", "digits-res"), ["digits-resnet18"]),
        (("leaderboard", "--track", "digits-res"), ["digits-resnet18"]),
        (("prepare", "cifar100-tiny"), ["cifar100-tinyvit", "cifar100-tinyvit-lite"]),
        (("baselines", "ft", "sal"), ["salun"]),
        (("show", "prm"), ["prmq"]),
        (("show", "--track", "cifar10-mini", "prm"), ["prm"]),
        (("leaderboard", "--format", "ht"), ["html"]),
        (("tune", "my_"), ["my_"]),
    ],
)
def test_what_is_offered(words: tuple[str, ...], some: list[str]) -> None:
    assert offered(*words) == some


def test_a_track_that_does_not_exist_has_no_entries_and_no_traceback() -> None:
    assert offered("show", "--track", "nothing", "f") == []
