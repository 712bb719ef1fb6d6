"""A competition's table in a track: what it may say, where it is shown, and the deadline of pull requests."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.pulls.pull_request import PullRequest, in_time
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report.track_notes import competition
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.tracks.loading import load_track

CUP = """
[competition]
title = "Forget <Me> Cup"
rules = "https://example.org/rules"
deadline = 2026-12-24T23:59:00+01:00
contact = "cup@example.org"
"""


@pytest.fixture
def cup_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL + CUP)
    return path


def test_a_competition_is_in_no_digest(cup_file: Path, tmp_path: Path) -> None:
    told = load_track(str(cup_file))
    cup_file.write_text(SMALL)
    silent = load_track(str(cup_file))
    for name in ("reference_digest", "protocol_digest", "analysis_digest"):
        assert getattr(told, name) == getattr(silent, name)
    assert told.competition is not None and silent.competition is None
    assert competition(silent) == ()


def test_a_track_with_a_competition_is_written_out_and_read_again(cup_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.toml"
    copy.write_text(run("tracks", str(cup_file)).stdout)
    assert load_track(str(copy)).competition == load_track(str(cup_file)).competition
    assert run("tracks", str(cup_file), "--json").exit_code == 0


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("deadline", "2026-12-24T23:59:00", "time zone"),
        ("deadline", '"next Friday"', "time zone"),
        ("rules", '"javascript:alert(1)"', "a URL"),
        ("contact", '"somebody"', "a mail address"),
        ("hosts", '"x"', "competition.hosts is not a key"),
    ],
)
def test_a_wrong_value_is_named(cup_file: Path, key: str, value: str, said: str) -> None:
    lines = [line for line in CUP.splitlines() if not line.startswith(f"{key} =")]
    cup_file.write_text(SMALL + "\n".join([*lines, f"{key} = {value}"]))
    with pytest.raises(TrackError, match=said):
        load_track(str(cup_file))


def test_what_comes_after_the_deadline_is_refused(cup_file: Path) -> None:
    told = load_track(str(cup_file)).competition
    pull = PullRequest("a" * 40, "b" * 40, "a" * 40, (), (), ())
    zone = datetime.timezone(datetime.timedelta(hours=-5))
    before, after = (datetime.datetime(2026, 12, 24, 17, minute, tzinfo=zone) for minute in (58, 59))
    assert in_time(pull, told, before) == pull
    assert in_time(pull, told, after) == pull, "to the second"
    late = in_time(pull, told, after + datetime.timedelta(seconds=1))
    assert "2026-12-24T23:59:00+01:00" in late.refusals[0].what
    assert in_time(pull, None, after) == pull


def test_the_page_of_the_board_shows_it(prepared: References, cup_file: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = run("leaderboard", "--track", str(cup_file), "--format", "html", "--out", str(site))
    assert done.exit_code == 0, done.output
    page = (site / f"{load_track(str(cup_file)).name}.html").read_text()
    assert "Forget &lt;Me&gt; Cup" in page and "24 December 2026, 23:59 UTC+01:00" in page
    assert 'href="mailto:cup@example.org"' in page and 'href="https://example.org/rules"' in page
