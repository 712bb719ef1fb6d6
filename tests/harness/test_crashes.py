"""A command that is killed while it writes leaves whole files, and the same command ends as if nothing had happened."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.benchmarks import crash
from tests.harness import warm_command


@pytest.mark.slow
@pytest.mark.parametrize("name", ["disqualify", "clean", "check --bundle"])
def test_a_kill_before_any_operation_loses_and_doubles_nothing(tmp_path: Path, name: str) -> None:
    program = tmp_path / "bench"
    with warm_command.program(program, crash.armed):
        _, found = crash.kills(crash.Machine(tmp_path / "machine", program), name, 2, random.Random(0))
    assert len(found) == 2 and [kill for kill in found if not kill.clean] == []
