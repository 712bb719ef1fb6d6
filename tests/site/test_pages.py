"""The pages as text: the same bytes again, what participants wrote escaped, what stands where, and their weight."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from tests.harness.conftest import run
from tests.site.conftest import BUILD, EVIL, MADE_UP, SHOWN, TRACK, Built
from tests.site.synthetic import fill, methods
from unlearn_bench.harness.entries.entry import baseline, baseline_names
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report.site.board_plots import pareto
from unlearn_bench.harness.report.site.build import _site, build
from unlearn_bench.harness.report.site.page_data import plain, slug
from unlearn_bench.harness.report.site.pages import boards
from unlearn_bench.harness.results.board import read_results
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.store.store import Snapshot, Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.scoring.curves import EDGES, FPR, loss_histogram, roc

PAPERS = {str(baseline(name).metadata["paper"]) for name in baseline_names()}
"""Addresses that pages link although they lie elsewhere."""


class Page(HTMLParser):
    """Elements, their attributes, and the text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.rows: dict[str, dict[str, str]] = {}
        """Name of the entry → key of the column → text."""
        self._keys: list[str] = []
        self._row: list[str] | None = None
        self._name = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self._end_row()
            self._row, self._name = [], (dict(attrs).get("id") or "").removeprefix("row-")
        elif tag == "th" and (key := dict(attrs).get("data-key")):
            self._keys.append(key)
        elif tag in ("td", "th") and self._row is not None:
            self._row.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("tr", "tbody"):
            self._end_row()

    def _end_row(self) -> None:
        if self._name and self._row:
            cells = [" ".join(cell.split()) for cell in self._row]
            self.rows[self._name] = dict(zip(self._keys, cells, strict=True))
        self._row, self._name = None, ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._row:
            self._row[-1] += data


def all_pages(built: Built) -> list[Path]:
    return sorted(built.place.rglob("*.html"))


@pytest.mark.slow
def test_the_same_store_gives_the_same_bytes(stored: Built, tmp_path: Path) -> None:
    assert run(*BUILD, "--out", str(tmp_path / "again")).exit_code == 0
    for path in stored.place.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(stored.place)).read_bytes(), path


def test_text_of_participants_is_text(built: Built) -> None:
    pages = {path: Page(path.read_text()) for path in all_pages(built)}
    for path, page in pages.items():
        for tag, attributes in page.elements:
            assert tag not in ("img", "iframe", "object", "embed", "style"), path
            assert tag != "script" or set(attributes) == {"src", "defer"}, path
            assert not any(key.startswith("on") or key == "style" for key in attributes), path
            address = str(attributes.get("href", ""))
            assert not address.lower().startswith(("javascript:", "http:", "data:", "//")), path
            assert not address.startswith("https:") or address in PAPERS, path
    own = pages[built.place / "entries" / TRACK / f"{slug(EVIL)}.html"].text
    assert f"Look at {SHOWN}." in own
    assert own.count(SHOWN) >= 9, (
        "name, title, summary, metadata, parameter, value, search, source, notes, log, environment"
    )
    assert "49" not in own[own.index("{{ 7") : own.index("{{ 7") + 12]
    failed = pages[built.place / "entries" / TRACK / "failed.html"].text
    assert failed.count(SHOWN) >= 10, "reason and warning of nine seeds, and the log"
    assert SHOWN in pages[built.place / f"{TRACK}.html"].text
    assert not any("\u202e" in page.text for page in pages.values())


def test_control_and_direction_characters_are_shown_and_long_texts_cut_at_the_start() -> None:
    assert plain("a\u202eb\x1b[31m\r\nc\td") == "a\\u202eb\\u001b[31m\nc\td"
    assert plain("0123456789", 4) == "[… 6 characters before]\n6789"


def test_names_that_are_no_file_names_get_one() -> None:
    assert slug("ft") == "ft"
    assert re.fullmatch(r"entry-[0-9a-f]{16}", slug("../../x")) and slug("../../x") != slug("../../y")


def test_every_link_leads_to_a_file(built: Built) -> None:
    for path in all_pages(built):
        for tag, attributes in Page(path.read_text()).elements:
            target = (attributes.get("href") or attributes.get("src") or "").partition("#")[0]
            if target and target not in PAPERS:
                assert (path.parent / target).resolve().is_file(), f"{path}: {tag} {target}"


def test_boards_are_light(built: Built) -> None:
    shell = sum(path.stat().st_size for path in (built.place / "static").iterdir())
    for path in built.place.glob("*.html"):
        without_plots = re.sub(r"<svg.*?</svg>", "", path.read_text(), flags=re.DOTALL)
        assert len(without_plots.encode()) + shell < 300_000, path
    assert len(built.read(f"{TRACK}.html")) + shell < 300_000, "with its plots, too"


def test_a_row_of_a_long_board_takes_few_bytes(tmp_path: Path) -> None:
    sizes = []
    for count in (60, 160):
        fill(tmp_path / f"home{count}", MADE_UP[:1], methods(count), drawn_curves=False)
        results = read_results(References(load_track(MADE_UP[0]), Snapshot(tmp_path / f"home{count}")))
        site = _site([results], False, [])
        sizes.append(sum(len(str(make()).encode()) for _, make in boards.pages(site)))
    assert sizes[0] + 440 * (sizes[1] - sizes[0]) / 100 < 300_000, "500 rows"


def test_there_is_a_board_for_every_track_architecture_and_data_set_that_has_several(built: Built) -> None:
    assert {path.stem for path in built.place.glob("*.html")} == {
        "index", "all", "paper", "rules", TRACK, *MADE_UP, "architecture-resnet18", "data-mnist",
    }  # fmt: skip
    overall = Page(built.read("data-mnist.html"))
    ranked = [row for row in overall.rows.values() if row["position"].isdigit() or "–" in row["position"][1:]]
    assert ranked
    for row in ranked:
        counts = [cell for key, cell in row.items() if key.startswith("g-")]
        assert [sum(map(int, cell.split("·"))) for cell in counts] == [2, 2, 2], "memberships on two tracks"
    whole = Page(built.read("all.html"))
    assert re.fullmatch(r"0\.\d\d", whole.rows["ft"]["forgetting"]), "a mean over tracks has no interval"
    assert f"entries/{MADE_UP[0]}/ft.html" in built.read("all.html")
    assert "checked" not in whole.rows, "it ran on one of four tracks"
    assert "ft" in whole.rows and "have not run all 4 tracks" in whole.text


def test_the_start_page_has_a_card_and_a_column_for_every_track(built: Built) -> None:
    index = Page(built.read("index.html"))
    for track in (TRACK, *MADE_UP):
        assert index.text.count(track) == 2, "its card and its column"
    linked = [attributes.get("href") for tag, attributes in index.elements if tag == "a"]
    assert f"entries/{MADE_UP[0]}/ft.html" in linked and "all.html" in linked
    assert "12 % of the training examples at random" in " ".join(index.text.split())


def test_a_board_says_which_method_to_take_and_every_row_what_its_numbers_mean(built: Built) -> None:
    page = Page(built.read(f"{TRACK}.html"))
    text = " ".join(page.text.split())
    assert "is the method to take: nothing finds more of F in it than in a retrained model" in text
    assert page.rows["bt"]["verdict"].startswith("leaks as Original does: ")
    assert page.rows["original"]["verdict"] == "nothing is unlearned"
    assert page.rows["failed"]["verdict"].startswith("fails: ")
    assert page.rows["bt"]["method"].startswith("Bad teacher bt 2023")


def test_a_board_can_be_taken_along(built: Built) -> None:
    page = built.read(f"{TRACK}.html")
    csv = pd.read_csv(built.place / "data" / f"{TRACK}.csv")
    assert {"ft", "checked", "failed"} <= set(csv["entry"])
    assert f"@misc{{unlearn-bench-{TRACK}," in page and load_track(TRACK).reference_digest[:12] in page
    figure = ElementTree.parse(built.place / "data" / f"{TRACK}-ulira.svg").getroot()
    assert figure.tag.endswith("svg")


def test_array_files_are_different_data_sets(tmp_path: Path) -> None:
    names = ["cifar10-mini", "fashionmnist-mini"]
    fill(tmp_path / "home", names, methods(21), drawn_curves=False)
    store = Store(tmp_path / "home", behind=None)
    build([read_results(References(load_track(name), store)) for name in names], tmp_path / "site")
    assert {path.stem for path in (tmp_path / "site").glob("*.html")} == {"index", "all", "paper", "rules", *names}
    assert "cifar10-mini, 16 pixels" in Page((tmp_path / "site" / "cifar10-mini.html").read_text()).text


def test_marks_and_badges_are_seen_and_marked_rows_have_no_position(built: Built) -> None:
    content = built.read(f"{TRACK}.html")
    rows = Page(content).rows
    badges = {name: row["badge"] for name, row in rows.items()}
    expected = {"ft": "baseline", "checked": "verified", "bare": "untrusted sandbox", "retrain": "reference"}
    assert {name: badges[name] for name in expected} == expected
    assert badges["failed"] == "self-reported"
    assert rows["cheat"]["position"] == "–" and rows["cheat"]["method"] == "cheat disqualified"
    assert rows["retrain"]["position"] == rows["original"]["position"] == "–"
    assert rows["ft"]["position"][0].isdigit() and "G" in rows["ft"]["retdev"] and rows["ft"]["seeds"] == "10/10"
    assert rows["failed"]["seeds"] == "1/10" and "F" in rows["failed"]["retdev"]
    order = list(rows)
    assert order[-2:] == ["retrain", "original"] and order.index("cheat") > order.index("failed")


def test_on_a_public_site_untrusted_rows_have_no_position(stored: Built, tmp_path: Path) -> None:
    run("leaderboard", "--format", "html", "--out", str(tmp_path), "--track", TRACK, "--public")
    rows = Page((tmp_path / f"{TRACK}.html").read_text()).rows
    assert rows["bare"]["position"] == "–" and rows["checked"]["position"][0].isdigit()


def test_an_entry_page_has_what_is_known(stored: Built) -> None:
    text = " ".join(Page(stored.page("ct")).text.split())
    record = next(c for c in board_entries(References(load_track(TRACK), Store())) if c.name == "ct").records[3]
    for known in (
        "bench baselines ct --track digits-resnet18 --sandbox docker",
        record.sha256,
        record.entry,
        record.reference_digest,
        f"{record.seconds:.2f}",
        repr(record.parameters["lr"]),
        "1e-05 to 0.1, log scale",
        "1 to 10",
        "100 trials × 3 units",
        str(record.environment["image"]),
        "module.weight.copy_(module.weight.transpose(2, 3).clone())",
        "umia_two_sided",
    ):
        assert known in text, known
    drawn = Counter(attributes.get("class", "") for _, attributes in Page(stored.page("ct")).elements)
    assert drawn["losses forget"] == drawn["losses test"] == 1
    assert drawn["roc own"] == drawn["roc original"] == drawn["roc retrained"] == 1
    made_up = " ".join(Page(stored.page("method_001", MADE_UP[0])).text.split())
    assert "bench submit method_001.py --track cifar10-resnet18 --sandbox docker" in made_up
    assert "optimiser.zero_grad()" in made_up and "Fine-tuning." in made_up


def test_the_pareto_front_is_what_no_other_method_beats_in_both() -> None:
    points = [(0.2, 0.1), (0.1, 0.2), (0.3, 0.15), (0.1, 0.3), (0.4, 0.05)]
    assert pareto(points) == [(0.1, 0.2), (0.2, 0.1), (0.4, 0.05)]


def test_curves_say_how_often_a_small_loss_was_forgotten() -> None:
    losses = [0.001, 0.01, 0.1, 1.0]
    assert loss_histogram([0.0, *losses, 1e9]).sum() == 6 and loss_histogram([1e-30])[0] == 1
    assert loss_histogram([10 ** (EDGES[3] + 0.01)])[3] == 1
    same = roc(losses * 250, losses * 250)
    assert same[-1] == 1.0 and (same <= FPR + 1e-9).all()
    apart = roc([0.001] * 10, [1.0] * 10)
    assert (apart == 1.0).all(), "every forgotten loss is below every other one"
    assert roc([1.0] * 10, [0.001] * 10)[:-1].max() == 0.0


def test_a_site_needs_a_place(stored: Built) -> None:
    for form in ("html", "parquet"):
        result = run("leaderboard", "--format", form)
        assert result.exit_code == 2 and "--out" in result.stderr


@pytest.mark.parametrize("form", ["csv", "json", "markdown"])
def test_several_tracks_become_several_files(stored: Built, tmp_path: Path, form: str) -> None:
    result = run("leaderboard", "--format", form, "--track", TRACK, "--track", MADE_UP[0], "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert {path.stem for path in tmp_path.iterdir()} == {TRACK, MADE_UP[0]}


def test_the_papers_tables_stand_beside_ours(built: Built) -> None:
    page = Page(built.read("paper.html"))
    text = " ".join(page.text.split())
    assert "Of the paper’s nine settings mnist-resnet18, mnist-tinyvit and cifar10-resnet18 have a board here" in text
    assert "8·1·0·0" in text and "17.5×" in text, "of MSG, and of CT"
    assert "prints no numbers beside its figure" in text
    assert "Figure 1 on digits-resnet18" in text and "Figure 1 on mnist-resnet18" not in text
    assert f"entries/{MADE_UP[0]}/ct.html" in built.read("paper.html")
    assert "paper.html" in built.read("index.html")
