"""What a command says on standard error: errors in three lines, messages of the library, diagnostics with -v."""

from __future__ import annotations

import logging

import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.support.workers import worker_pool
from unlearn_bench.harness.tracks import loading

logger = logging.getLogger("unlearn_bench.somewhere")


def test_an_error_of_the_library_is_three_lines_and_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[str]:
        raise BenchError("the store is on fire", "this machine", "call somebody", 20, "/tmp/log")

    monkeypatch.setattr(loading, "track_names", fail)
    result = run("tracks")
    lines = ["error:  the store is on fire", "whose:  this machine", "do:     call somebody", "log:    /tmp/log"]
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (20, "", lines)


@pytest.mark.parametrize(("options", "expected"), [((), "waiting\n"), (("-v",), "waiting\ndetail\n")])
def test_messages_go_to_standard_error_and_diagnostics_only_when_asked_for(
    options: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say() -> list[str]:
        logger.info("waiting")
        logger.debug("detail")
        return ["digits-resnet18"]

    monkeypatch.setattr(loading, "track_names", say)
    result = run(*options, "tracks")
    assert result.exit_code == 0 and result.stderr == expected and "waiting" not in result.stdout


@pytest.mark.parametrize("secret", [False, True])
def test_the_words_of_a_bug_are_quoted_unless_a_secret_is_about(secret: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearn_bench.harness.tracks.loading.read_track", lambda name: {}["the seed is 42"])
    result = run("show", "ft", *(("--secret", "cup.toml") if secret else ()))
    assert result.exit_code == 20
    assert ("the seed is 42" in result.stderr) != secret and "KeyError" in result.stderr


def _say_in_worker() -> None:
    logger.info("a worker waits")


@pytest.mark.usefixtures("fresh_processes")
def test_messages_of_worker_processes_reach_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("unlearn_bench").setLevel(logging.INFO)
    with worker_pool(1, _say_in_worker) as pool:
        pool.submit(int).result()
    assert capfd.readouterr().err == "a worker waits\n"
