"""The pages in a real browser, opened from the disk: what a reader does, on every kind of screen, without network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import run
from tests.site.conftest import EVIL, MADE_UP, TRACK, Built
from tests.site.synthetic import fill, methods
from unlearn_bench.harness.report.site.page_data import slug

pytestmark = pytest.mark.browser
NAMES = "[...document.querySelectorAll('#board tbody.%s tr:not([hidden])')].map(row => row.id.slice(4))"


@dataclass
class Visit:
    """A tab that notes what the page asks for and complains of; whatever is not a file is refused."""

    built: Built
    tab: Any
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, name: str, state: str = "") -> Any:
        self.tab.goto((self.built.place / name).as_uri() + state)
        return self.tab

    def names(self, part: str = "ranked") -> list[str]:
        found: list[str] = self.tab.evaluate(NAMES % part)
        return found

    def column(self, key: str, part: str = "ranked") -> list[float]:
        place = f"[...document.querySelectorAll('#board thead th')].findIndex(th => th.dataset.key === '{key}')"
        cells = f"[...document.querySelectorAll('#board tbody.{part} tr')].map(r => r.cells[{place}].textContent)"
        return [float(found[0]) for text in self.tab.evaluate(cells) if (found := re.match(r"[\d.]+", text))]

    def sorting(self) -> dict[str, str]:
        heads = "[...document.querySelectorAll('th[aria-sort]')].map(head => [head.dataset.key, head.ariaSort])"
        found: dict[str, str] = dict(self.tab.evaluate(heads))
        return found


@pytest.fixture
def visit(chromium: Any, built: Built, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """``@pytest.mark.parametrize("visit", [{…}], indirect=True)`` sets the screen."""
    context = chromium.new_context(**getattr(request, "param", {}))
    made = Visit(built, context.new_page())

    def watched(route: Any) -> None:
        if route.request.url.startswith(built.place.as_uri()):
            route.continue_()
        else:
            made.foreign.append(route.request.url)
            route.abort()

    context.route("**/*", watched)
    made.tab.on("console", lambda message: made.complaints.append(message.text))
    made.tab.on("pageerror", lambda error: made.complaints.append(str(error)))
    yield made
    context.close()
    assert made.foreign == [] and made.complaints == []


def test_a_click_sorts_and_a_second_one_turns_the_order_round(visit: Visit) -> None:
    tab = visit.open(f"{TRACK}.html")
    assert visit.sorting() == {"position": "ascending"}
    tab.click("th[data-key=rte] button")
    speeds = visit.column("rte")
    assert speeds == sorted(speeds, reverse=True)
    assert visit.sorting() == {"rte": "descending"}
    tab.click("th[data-key=rte] button")
    assert visit.column("rte") == sorted(speeds) and visit.sorting() == {"rte": "ascending"}
    tab.click("th[data-key=retdev] button")
    distances = visit.column("retdev")
    assert distances == sorted(distances) and len(set(distances)) > 10
    tab.click("th[data-key=method] button")
    shown = "[...document.querySelectorAll('#board tbody.ranked tr th')].map(th => th.innerText.trim())"
    names = tab.evaluate(shown)
    assert names == sorted(names, key=str.lower)
    assert visit.names("reference") == ["original", "retrain"], "reference rows stay apart"


def test_text_and_facets_filter_and_say_how_many_rows_are_left(visit: Visit) -> None:
    tab = visit.open(f"{TRACK}.html")
    everyone = visit.names()
    tab.fill("input[name=q]", "convolution transpose")
    assert visit.names() == ["ct"]
    assert re.fullmatch(r"\d+ of \d+ rows", tab.text_content("#count"))
    tab.fill("input[name=q]", "")
    tab.select_option("select[name=badge]", "verified")
    assert visit.names() == ["checked"] and tab.text_content("#count").startswith("1 of ")
    tab.select_option("select[name=badge]", "")
    tab.select_option("select[name=state]", "disqualified")
    assert visit.names() == [] and visit.names("unranked") == ["cheat"]
    tab.click("button[type=reset]")
    assert visit.names() == everyone


def test_the_state_is_in_the_address_survives_a_reload_and_goes_along_to_another_board(visit: Visit) -> None:
    tab = visit.open(f"{MADE_UP[0]}.html")
    tab.click("th[data-key=rte] button")
    tab.fill("input[name=q]", "m")
    tab.select_option("select[name=badge]", "baseline")
    seen = visit.names()
    assert len(seen) > 2
    assert all(part in tab.url for part in (f"track={MADE_UP[0]}", "sort=-rte", "q=m", "badge=baseline"))
    address = tab.url
    tab.reload()
    assert visit.names() == seen and tab.url == address
    assert tab.input_value("input[name=q]") == "m" and visit.sorting() == {"rte": "descending"}
    tab.click(f"nav a[data-board={TRACK}]")
    tab.wait_for_url("**/digits-resnet18.html*")
    assert visit.sorting() == {"rte": "descending"} and tab.input_value("select[name=badge]") == "baseline"
    tab.go_back()
    tab.wait_for_url("**/cifar10-resnet18.html*")
    assert visit.names() == seen
    visit.open("all.html", f"#track={MADE_UP[1]}&q=convolution")  # an address names its board, whichever page it opens
    tab.wait_for_url(f"**/{MADE_UP[1]}.html*")
    assert visit.names() + visit.names("unranked") == ["ct"]


def test_ticked_rows_are_compared_and_chosen_columns_stay_in_the_address(visit: Visit) -> None:
    tab = visit.open(f"{TRACK}.html")
    for name in ("ct", "ft"):
        tab.check(f"#row-{name} input")
    tab.click("#compare")
    assert sorted(visit.names()) == ["ct", "ft"] and visit.names("reference") == ["retrain", "original"]
    tab.click("#columns summary")
    tab.check("#columns input[name=spread]")
    tab.uncheck("#columns input[name=rte]")
    tab.reload()
    assert "compare=ct%2Cft" in tab.url and sorted(visit.names()) == ["ct", "ft"]
    assert tab.is_visible("th[data-key=spread]") and not tab.is_visible("th[data-key=rte]")
    tab.click("#compare")
    assert len(visit.names()) > 10


@pytest.mark.parametrize("visit", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_on_a_phone_the_headline_columns_fit(visit: Visit) -> None:
    tab = visit.open(f"{TRACK}.html")
    shown = "[...document.querySelectorAll('#board thead th')].filter(th => th.offsetWidth).map(th => th.dataset.key)"
    assert tab.evaluate(shown) == ["position", "method", "retdev", "forgetting", "rte"]
    table = "document.querySelector('#board').parentElement"
    assert tab.evaluate(f"{table}.scrollWidth <= {table}.clientWidth")


def test_a_row_has_an_address(visit: Visit) -> None:
    tab = visit.open(f"entries/{TRACK}/ft.html")
    tab.click("text=on the board")
    tab.wait_for_url(f"**/{TRACK}.html#row-ft")
    assert tab.is_visible("#row-ft")


def test_nonsense_in_the_address_does_no_harm(visit: Visit) -> None:
    visit.open(f"{TRACK}.html", "#track=nowhere&sort=__proto__&badge=none&q=%3Cb%3E&x=1")
    assert visit.sorting() == {"position": "ascending"} and visit.names() == []
    assert visit.tab.input_value("input[name=q]") == "<b>"


def test_everything_can_be_done_from_the_keyboard(visit: Visit) -> None:
    tab = visit.open(f"{MADE_UP[1]}.html")
    reached = []
    for _ in range(80):
        tab.keyboard.press("Tab")
        at = tab.evaluate("""() => { const e = document.activeElement; const box = getComputedStyle(e);
            return [e.closest('th')?.dataset.key || e.name || e.id || e.className || e.tagName, box.outlineStyle]; }""")
        reached.append(at[0])
        assert at[1] != "none", f"{at[0]} shows no focus"
        if at[0] == "rte":
            break
    assert reached[0] == "skip" and {"q", "badge", "state", "scroll tall", "position", "retdev"} <= set(reached)
    tab.keyboard.press("Enter")
    assert visit.sorting() == {"rte": "descending"}
    tab.keyboard.press("Space")
    assert visit.sorting() == {"rte": "ascending"}
    tab.focus("input[name=q]")
    tab.keyboard.type("ft")
    assert visit.names() == ["ft"]
    tab.focus("#board tbody tr:not([hidden]) a")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/entries/{MADE_UP[1]}/ft.html")


def test_a_long_board_shows_its_first_rows_and_all_when_asked(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are in the page, are sorted and are found; a browser takes a while to lay out many."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    fill(tmp_path / "home", MADE_UP[1:2], methods(230), drawn_curves=False)
    result = run("leaderboard", "--format", "html", "--track", MADE_UP[1], "--out", str(tmp_path / "site"))
    assert result.exit_code == 0, result.output
    tab = chromium.new_page()
    visit = Visit(Built(tmp_path / "home", tmp_path / "site"), tab)
    visit.open(f"{MADE_UP[1]}.html")
    total = tab.evaluate("document.querySelectorAll('#board tbody tr').length")
    assert len(visit.names() + visit.names("unranked")) == 200 and total == 230
    assert tab.text_content("#count") == "230 of 230 rows, the first 202 shown"
    assert len(visit.names("reference")) == 2, "what all are compared with"
    tab.click("th[data-key=rte] button")
    speeds = visit.column("rte")
    assert speeds == sorted(speeds, reverse=True)
    rows = "[...document.querySelectorAll('#board tbody.unranked tr')]"
    last = tab.evaluate(f"{rows}.at(-1).id.slice(4)")
    assert last not in visit.names("unranked")
    tab.fill("input[name=q]", last)
    assert last in visit.names("unranked") and not tab.is_visible("#more")
    tab.fill("input[name=q]", "")
    tab.focus("#more")
    tab.keyboard.press("Enter")
    assert len(visit.names() + visit.names("unranked")) == 228 and tab.text_content("#count") == "230 of 230 rows"
    assert not tab.is_visible("#more")
    tab.close()


@pytest.mark.parametrize("visit", [{"java_script_enabled": False}], indirect=True)
def test_without_script_there_is_a_sorted_table_and_no_control_that_does_nothing(visit: Visit) -> None:
    tab = visit.open("all.html")
    assert not tab.is_visible("#controls") and tab.locator("#board button").count() == 0
    places = tab.locator("#board tbody.ranked tr td:first-child").all_inner_texts()
    ranks = [int(place.split("–")[0]) for place in places]
    assert ranks == sorted(ranks) and len(ranks) > 10
    tab.click(f"nav a[data-board={TRACK}]")
    tab.click("#board tbody a >> nth=0")
    assert tab.is_visible("text=What every attack finds")


PAGES = (
    "index.html",
    "all.html",
    "paper.html",
    f"{TRACK}.html",
    "rules.html",
    f"entries/{TRACK}/ct.html",
    f"entries/{TRACK}/{slug(EVIL)}.html",
)


@pytest.mark.parametrize("visit", [{"viewport": {"width": 360, "height": 740}}], indirect=True)
def test_on_a_phone_no_page_scrolls_sideways(visit: Visit) -> None:
    for name in PAGES:
        tab = visit.open(name)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360, name
    tab = visit.open(f"{TRACK}.html")
    tab.evaluate("document.querySelector('#board').parentElement.scrollLeft = 600")
    left = tab.evaluate("document.querySelector('#board tbody th').getBoundingClientRect().left")
    assert 0 <= left < 60, "the method stays in sight"


@pytest.mark.parametrize("visit", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_nothing_for_a_screen_reader_to_stumble_over(visit: Visit, request: pytest.FixtureRequest) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for name in PAGES:
        tab = visit.open(name)
        back = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", back)[:3])) > 382
        assert light == tab.evaluate("matchMedia('(prefers-color-scheme: light)').matches"), name
        found = Axe().run(tab, options={"resultTypes": ["violations"], "preload": False})
        assert found.violations_count == 0, f"{name}\n{found.generate_report()}"


def test_nothing_that_a_participant_wrote_runs(visit: Visit) -> None:
    for name in (f"{TRACK}.html", f"entries/{TRACK}/{slug(EVIL)}.html", f"entries/{TRACK}/failed.html"):
        tab = visit.open(name)
        assert tab.evaluate("window.owned") is None
        assert tab.locator("text=window.owned = 1").count() > 0
    refused = tab.evaluate("""() => { const made = document.createElement('script');
        made.textContent = 'window.owned = 2'; document.body.append(made); return window.owned; }""")
    assert refused is None, "and the page's policy would not let it"
    visit.complaints.clear()  # the browser says that it refused
