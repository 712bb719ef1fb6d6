"""``bench leaderboard --columns literature``: in every format, what it keeps, what it refuses."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.harness.conftest import once, run
from tests.site.synthetic import _record
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.references.manifest import TrainingFacts
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import SEED_KINDS, Role
from unlearn_bench.harness.report.cells import number
from unlearn_bench.harness.results import curves, literature, shipping
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.harness.training.recipe import initial_model
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import track_folder
from unlearn_bench.harness.workflows import literature as workflow
from unlearn_bench.scoring import svm_mia
from unlearn_bench.scoring.literature import LiteratureEvidence, zrf
from unlearn_bench.scoring.literature_columns import COLUMNS

ROOT = Path(__file__).parents[2]
DATA = str(ROOT / "tests" / "data")
TRACK = "cifar10-mini"
"""Its images are in ``tests/data``, and it has three seeds."""
NAMES = [column.name for column in COLUMNS]


def command(*options: str, images: bool = True) -> Any:
    arguments = ("leaderboard", "--track", TRACK, "--columns", "literature", *options)
    return run(*arguments, env={"BENCH_DATA": DATA} if images else None)


def made_logits(references: References, seed: int, sharpness: float) -> np.ndarray:
    """Logits of a model that has learnt R and F, more of it with more sharpness."""
    labels, parts = references.examples.labels, references.examples.parts(seed)
    rng = np.random.default_rng(int(1000 * sharpness) + seed)
    logits = rng.normal(size=(len(labels), 10)).astype(np.float32)
    logits[np.arange(len(labels)), labels] += 2.0
    for part in ("retain", "forget"):
        logits[parts[part], labels[parts[part]]] += sharpness
    return logits


def keep_unit(references: References, name: str, seed: int, logits: np.ndarray | None) -> None:
    record = _record(references.track, baseline(name), seed, 1.0)
    if logits is None:
        replace(record, status="crash", reason="division by zero", logits=None).save(references.store)
    else:
        sha = references.store.put(unit_store.pack(logits))
        replace(record, logits=sha).save(references.store)


@pytest.fixture(scope="session")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with outputs of reference models, of an entry, and of one that failed on a seed; to be copied."""

    def make(place: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BENCH_DATA", DATA)
            references = References(load_track(TRACK), Store())
            for seed in range(3):
                for kind, sharpness in zip(SEED_KINDS, (4.0, 3.0, 3.1), strict=True):
                    references.add(Role(kind, seed), None, made_logits(references, seed, sharpness), TrainingFacts())
                keep_unit(references, "ft", seed, made_logits(references, seed, 2.0))
                keep_unit(references, "ct", seed, None if seed == 1 else made_logits(references, seed, 2.5))
            assert command("--format", "json").exit_code == 0

    return once(tmp_path_factory, "literature-outputs", make)


@pytest.fixture
def stored(outputs: Path, home: Path) -> References:
    """The same in the test's own store, with the numbers kept."""
    shutil.copytree(outputs, home)
    return References(load_track(TRACK), Store())


def rows(**options: Any) -> dict[str, dict[str, Any]]:
    result = command("--format", "json", **options)
    assert result.exit_code == 0, result.output
    return {row["entry"]: row for row in json.loads(result.stdout)["rows"]}


def test_a_row_is_the_mean_over_its_seeds_of_what_its_logits_say(stored: References) -> None:
    from unlearn_bench.harness.results import scores

    found = rows()
    assert list(found) == ["ct", "ft", "original", "retrain", "null model"]
    evidence = [scores.model_evidence(stored, seed, made_logits(stored, seed, 2.0)) for seed in range(3)]
    values = [LiteratureEvidence(each).efficacy("entropy") for each in evidence]
    assert found["ft"]["mia_entropy"] == pytest.approx(np.mean([v for v in values if v is not None]), abs=1e-5)
    assert found["ft"]["mia_entropy_low"] < found["ft"]["mia_entropy"] < found["ft"]["mia_entropy_high"]
    ends = {"avg_gap": 0.0, "tow": 1.0, "js_divergence": 0.0, "activation_distance": 0.0}
    assert {name: found["retrain"][name] for name in ends} == pytest.approx(ends, abs=1e-6)
    assert (found["ct"]["state"], found["ct"]["seeds_ok"]) == ("failed", 2)


def test_the_terminal_shows_every_column_within_its_width(stored: References) -> None:
    lines = command().stdout.splitlines()
    assert max(map(len, lines)) <= 100
    heads = next(line for line in lines if line.startswith("method"))
    assert heads.split() == ["method", *((c.heading or c.title) for c in COLUMNS)]
    shown = {line[:15].strip(): line[15:].split() for line in lines}
    assert {len(shown[row]) for row in ("ct*", "ft", "original", "retrain", "null model")} == {len(COLUMNS)}
    assert shown["ft"][0] == number(rows()["ft"]["ua"], 3)
    assert any(line.startswith("* its state on the board is not ok") for line in lines)


def test_a_narrow_terminal_gets_every_column_in_blocks(stored: References) -> None:
    environment = {"BENCH_DATA": DATA, "COLUMNS": "60"}
    lines = run("leaderboard", "--track", TRACK, "--columns", "literature", env=environment).stdout.splitlines()
    assert max(map(len, lines)) <= 60
    heads = [line.split()[1:] for line in lines if line.startswith("method")]
    assert [name for head in heads for name in head] == [(c.heading or c.title) for c in COLUMNS] and len(heads) > 1


def test_tables_for_programs_have_the_same_numbers(stored: References, tmp_path: Path) -> None:
    expected = rows()
    csv = pd.read_csv(io.StringIO(command("--format", "csv").stdout)).set_index("entry")
    assert command("--format", "parquet", "--out", str(tmp_path)).exit_code == 0
    parquet = pd.read_parquet(tmp_path / f"{TRACK}-literature.parquet").set_index("entry")
    for name in NAMES:
        for row in expected:
            assert csv.loc[row, name] == pytest.approx(expected[row][name], abs=1e-5)
            assert parquet.loc[row, name] == pytest.approx(expected[row][name], abs=1e-5)


def test_markdown_and_latex_have_intervals_and_one_cell_a_column(stored: References) -> None:
    lines = command("--format", "markdown").stdout.splitlines()
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 2}
    assert next(line for line in lines if line.startswith("| ft |")).count(" ± ") == len(COLUMNS)
    assert any(line.startswith("| ct (failed) |") for line in lines)
    text = command("--format", "latex").stdout
    table = [line for line in text.splitlines() if "&" in line]
    assert {line.count("&") + 4 * line.count(r"\multicolumn{5}") for line in table} == {len(COLUMNS)}
    assert {line.count("$") % 2 for line in table} == {0} and text.count("{") == text.count("}")
    assert text.startswith(f"% bench leaderboard --track {TRACK} --columns literature --format latex")
    assert re.search(r"^ft & \$\.\d{3}_\{\\pm \.\d{3}\}\$", text, re.M), text
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")


def test_what_the_methods_cite_is_the_same_as_on_the_board(stored: References) -> None:
    cited = command("--format", "bibtex").stdout
    assert cited == run("leaderboard", "--track", TRACK, "--format", "bibtex").stdout
    assert cited.startswith("@misc{ct,")


def test_the_board_itself_does_not_change(stored: References) -> None:
    assert {"ua", "mia_entropy", "avg_gap", "tow", "aus", "zrf"}.isdisjoint(
        run("leaderboard", "--track", TRACK, "--format", "csv").stdout.splitlines()[0].split(",")
    )


def test_numbers_are_computed_once(stored: References, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> float:
        raise AssertionError("a number was computed again")

    before = command("--format", "csv").stdout
    monkeypatch.setattr(svm_mia, "efficacy", never)
    assert command("--format", "csv").stdout == before


def test_a_unit_that_runs_again_has_new_numbers(stored: References) -> None:
    before = rows()["ft"]["mia_confidence"]
    for seed in range(3):
        keep_unit(stored, "ft", seed, made_logits(stored, seed, 0.0))
    assert rows()["ft"]["mia_confidence"] > before + 0.1


def test_a_mean_without_one_of_its_seeds_is_unknown(stored: References, home: Path) -> None:
    records = unit_store.seed_records(stored.store, stored.track)
    (record,) = (each for each in records if (each.name, each.seed) == ("ft", 2))
    next(stored.store.root.glob(f"blobs/*/{record.logits}")).unlink()
    shutil.rmtree(home / "literature")
    found = rows()
    assert {found["ft"][name] for name in NAMES} == {None} and found["ct"]["ua"] is not None


def test_without_the_images_only_zrf_is_unknown_and_it_comes_later(stored: References, home: Path) -> None:
    expected = rows()
    shutil.rmtree(home / "untrained")
    shutil.rmtree(home / "literature")
    without = json.loads(command("--format", "json", images=False).stdout)
    assert without["notes"][0].startswith("ZRF is unknown: it needs the images once")
    assert {row["zrf"] for row in without["rows"]} == {None}
    assert [row["tow"] for row in without["rows"]] == [row["tow"] for row in expected.values()]
    assert rows() == expected


def test_zrf_compares_with_the_weights_that_the_original_started_from(stored: References) -> None:
    track, forget = stored.track, stored.examples.split(1).forget
    network = initial_model(track, Role("original", 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA", DATA)
        import torch

        expected = infer(network, torch.from_numpy(stored.examples.dataset.images[forget]), normaliser(track))
    kept = literature.untrained(stored, 1)
    assert kept is not None and np.array_equal(kept, expected)
    found = dict(literature.numbers(stored, literature.stored_models(stored), lambda _: None))
    (own,) = (values for model, values in found.items() if (model.row, model.seed) == ("ft", 1))
    assert own["zrf"] == pytest.approx(zrf(made_logits(stored, 1, 2.0)[forget], expected))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--columns", "papers"), "'papers' is no choice here; allowed are board, literature"),
        (("--columns", "literature", "--format", "html", "--out", "site"), "--format html shows the board's columns"),
        (("--columns", "literature", "--format", "ulira"), "--format ulira shows the board's columns"),
        (("--columns", "literature", "--figures", "figures"), "--figures shows the board's columns"),
    ],
)
def test_what_cannot_be_shown_is_refused(options: tuple[str, ...], words: str) -> None:
    result = run("leaderboard", *options)
    assert result.exit_code == 2 and words in result.output


def test_a_track_without_reference_models_says_what_to_do(small: Path) -> None:
    result = run("leaderboard", "--track", str(small), "--columns", "literature")
    assert result.exit_code == 20 and "has no reference model original/0" in result.output
    assert "bench prepare small" in result.output


def test_a_sealed_track_discloses_none_of_it(cup: Path, home: Path) -> None:
    result = run("leaderboard", "--track", str(cup), "--columns", "literature")
    assert result.exit_code == 2 and "would give away the inside of the sealed track cup" in result.output
    assert not (home / "literature").exists()


@pytest.mark.slow
def test_the_page_says_what_each_column_reads_on_the_default_track(monkeypatch: pytest.MonkeyPatch) -> None:
    references = References(load_track("digits-resnet18"), Store())
    assert workflow._evaluate_untrained(references) == ()
    models = [
        model for model in literature.stored_models(references) if model.row in ("original", "retrain", literature.NULL)
    ]
    values: dict[str, list[literature.Numbers]] = {}
    for model, found in literature.numbers(references, models, lambda _: None):
        values.setdefault(model.row, []).append(found)
    page = (ROOT / "docs" / "literature.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        numbers = ([each[column.name] for each in values[row]] for row in ("original", "retrain", literature.NULL))
        means = (number(float(np.mean([value for value in each if value is not None])), 3) for each in numbers)
        assert f"| {column.title} | {' | '.join(means)} |" in page


PAPER = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage[margin=1cm]{geometry}
\begin{document}
\input{cifar10-mini-literature.tex}
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed: apt-get install texlive")
@pytest.mark.slow
def test_the_table_compiles_and_fits_on_a_page(stored: References, tmp_path: Path) -> None:
    assert command("--format", "latex", "--out", str(tmp_path)).exit_code == 0
    (tmp_path / "paper.tex").write_text(PAPER)
    compiler = ["pdflatex", "-halt-on-error", "paper"]
    done = subprocess.run(compiler, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Overfull" not in done.stdout, done.stdout


def test_leaving_out_logits_needs_an_export() -> None:
    result = run("baselines", "ft", "--without-logits")
    assert result.exit_code == 2 and "add --export" in result.output


def test_records_that_ship_without_logits_show_the_same_numbers_and_curves(
    stored: References, home: Path, tmp_path: Path
) -> None:
    def shown(references: References) -> list[Any]:
        return [curves.entry_curves(references, entry.records.values()) for entry in board_entries(references)]

    numbers, drawn = rows(), shown(stored)
    ships = Store(tmp_path / "ships", behind=None)
    shipping.export_references(stored, ships)
    older = f"curves/{track_folder(stored.track)}/1"
    ships.write(older, "of-an-older-version", {})
    logits = len(list(ships.root.glob("blobs/*/*")))
    shipping.export_records(stored, ships, logits=False)
    assert len(list(ships.root.glob("blobs/*/*"))) == logits, "only those of the reference models"
    shutil.rmtree(home)
    shutil.copytree(ships.root, home)
    assert not list(Store().all(older))
    assert rows() == numbers
    assert shown(References(stored.track, Store())) == drawn
    assert any(drawn)
