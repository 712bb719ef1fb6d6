"""A page of the site is one new file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.conftest import run
from tests.site.conftest import TRACK, Built
from unlearn_bench.harness.report.site import pages

PAGE = '''
from unlearn_bench.harness.report.site.templating import render_text

TEXT = """{% extends "base.html" %}{% block title %}Machines{% endblock %}
{% block body %}<main id="main">{% for track in names %}<p>{{ track }}</p>{% endfor %}</main>{% endblock %}"""
LINK = ("machines/index.html", "Machines <&>")


def pages(site):
    names = [results.references.track.name for results in site.tracks]
    yield "machines/index.html", lambda: render_text(site, TEXT, root="../", names=names)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder whose files are pages of the site, too."""
    place = tmp_path / "pages"
    place.mkdir()
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(place)])
    yield place
    sys.modules.pop(f"{pages.__name__}.extra", None)


def test_a_page_in_one_new_file_is_built_and_linked_from_every_page(
    folder: Path, stored: Built, tmp_path: Path
) -> None:
    (folder / "extra.py").write_text(PAGE)
    site = tmp_path / "site"
    result = run("leaderboard", "--format", "html", "--out", str(site), "--track", TRACK)
    assert result.exit_code == 0, result.output
    page = (site / "machines" / "index.html").read_text()
    assert f"<p>{TRACK}</p>" in page and '<link rel="stylesheet" href="../static/style.css">' in page
    others = [path for path in site.rglob("*.html") if path.parent == site]
    assert {path.name for path in others} == {"index.html", "paper.html", f"{TRACK}.html", "rules.html"}
    for path in others:
        assert '<a href="machines/index.html">Machines &lt;&amp;&gt;</a>' in path.read_text()
    entry = (site / "entries" / TRACK / "ft.html").read_text()
    assert '<a href="../../machines/index.html">Machines' in entry


@pytest.mark.parametrize(
    "source, why",
    [
        ("LINK = ('extra.html', 'Extra')", r"extra\.py must define pages\(site\), see harness/report/site/contract"),
        (
            "def pages(site):\n    yield 'rules.html', str",
            r"(extra|rules)\.py and .*(extra|rules)\.py both make rules\.html",
        ),
    ],
)
def test_a_module_that_breaks_the_contract_is_named(
    folder: Path, stored: Built, tmp_path: Path, source: str, why: str
) -> None:
    (folder / "extra.py").write_text(source)
    from unlearn_bench.harness.report.site.board_data import read
    from unlearn_bench.harness.report.site.build import build
    from unlearn_bench.harness.store.store import Snapshot
    from unlearn_bench.harness.tracks.loading import load_track

    with pytest.raises(ValueError, match=why):
        build(read([load_track(TRACK)], Snapshot(), False), tmp_path / "site")
