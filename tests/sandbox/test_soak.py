from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import soak
from unlearn_bench.sandbox.types import Sandbox


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_dozen_units_and_two_kills_account_for_everything(docker_sandbox: Sandbox, tmp_path: Path) -> None:
    report = soak.drive(tmp_path, units=12, every=4, seed=0)
    assert {line["kind"] for line in report.lines} == set(soak.KINDS)
    assert report.kills == 2
    assert report.clean, report


def test_a_journal_that_lacks_doubles_or_misjudges_a_unit_is_not_clean(tmp_path: Path) -> None:
    kinds = soak.plan(20)
    lines = [{"unit": i, "kind": kind, "status": soak.KINDS[kind].status, "reason": ""} for i, kind in enumerate(kinds)]
    assert soak.judge(lines, 20, [], kills=0, seconds=0.0).clean
    for wrong in (lines[:-1], [*lines, lines[0]], [{**lines[0], "status": "infra"}, *lines[1:]]):
        assert not soak.judge(wrong, 20, [], kills=0, seconds=0.0).clean
    assert not soak.judge(lines, 20, ["container x"], kills=0, seconds=0.0).clean
