"""U-LiRA end to end: shadow models, an entry's shadow units, what stops and goes on, what attacks make of it."""

from __future__ import annotations

import json
import shutil
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.harness.conftest import once, run
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.references.references import References, half
from unlearn_bench.harness.references.roles import Role, shadow_roles
from unlearn_bench.harness.report.site import board_plots
from unlearn_bench.harness.results import attack_panel, board, scores
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.results.shipping import export_records
from unlearn_bench.harness.store.store import SHIPPED, Store
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.tracks.validation import contradictions
from unlearn_bench.harness.units import result_names, shadow_units, worker_runner
from unlearn_bench.harness.units.runner import UntimedResult
from unlearn_bench.harness.units.sandbox_runner import SandboxRunner
from unlearn_bench.harness.units.unit_kinds import SeedUnit, Unit
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.sandbox.types import Job, Outcome
from unlearn_bench.scoring.temperature import scaled
from unlearn_bench.scoring.ulira import ulira

ATTACK = """
TITLE = "mean loss"

def attack(model):
    return float(model.losses[model.parts["forget"]].mean())
"""


class Drawn:
    """A runner whose models are drawn: logits that depend on the unit alone."""

    backend, trusted, at_once, overhead = "drawn", True, 2, 0.0

    def __init__(self, examples: int, failing: str = "", stop_after: int | None = None) -> None:
        self.asked: list[str] = []
        self._examples, self._failing, self._stop = examples, failing, stop_after

    def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, UntimedResult]]:
        for unit in units:
            if len(self.asked) == self._stop:
                raise KeyboardInterrupt
            self.asked.append(unit.key)
            if self._failing and unit.seed == 1:
                yield unit, UntimedResult(self._failing, "it broke", None, 0.1, "the log")  # type: ignore[arg-type]
            else:
                rng = np.random.default_rng(np.ravel(unit.index))
                logits = rng.normal(size=(self._examples, 10)).astype(np.float32)
                yield unit, UntimedResult("ok", "", logits, 0.5)


@pytest.fixture
def default() -> References:
    return References(load_track("digits-resnet18"), Store())


@pytest.fixture(scope="session")
def attacked(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which two methods have all their units on the tiny track, shadow units included."""

    def make(place: Path) -> None:
        track = str(place / "small.toml")
        shutil.copytree(trained, place / "home")
        result = run("prepare", track, "--lira")
        assert "12 reference models to train" in result.stderr
        assert "18 of 18 reference models, every file verified" in result.stdout
        assert run("baselines", "ft", "ga", "original", "--track", track, "--sandbox", "process").exit_code == 0
        without_engine = {"DOCKER_HOST": "unix:///nowhere"}  # containers would run the timed units again
        result = run("baselines", "ft", "ga", "--track", track, "--lira", env=without_engine)
        assert result.exit_code == 0, result.output
        assert "in worker processes, without a sandbox" in result.stderr
        assert "U-LiRA: 16 shadow units, 2 at a time: about " in result.stderr
        assert "ft: ok, 2 of 2 pairs of splits" in result.stderr

    return once(tmp_path_factory, "attacked", make)


@pytest.fixture
def scored(attacked: Path, home: Path, references: References) -> References:
    shutil.copytree(attacked, home)
    return references


def test_shadow_models_see_half_the_population_and_retrained_ones_lack_a_forget_set(default: References) -> None:
    halves = [set(default.examples.training_set(Role("shadow", split))) for split in (0, 1)]
    assert halves[0] | halves[1] == set(default.examples.population) and not halves[0] & halves[1]
    assert (len(halves[0]), len(default.examples.population)) == (512, 1024)
    sets = [default.examples.shadow_parts(0, forget_set) for forget_set in range(8)]
    assert set.union(*(set(parts["forget"]) for parts in sets)) == halves[0]
    for forget_set, parts in enumerate(sets):
        assert (len(parts["forget"]), len(parts["retain"])) == (64, 448)
        assert set(parts["retain"]) | set(parts["forget"]) == halves[0]
        assert np.array_equal(default.examples.training_set(Role("shadow-retrained", 0, forget_set)), parts["retain"])
        assert not halves[0] & set(parts["val"]) and not halves[1] & set(parts["val"])
    assert len(shadow_roles(default.track)) == 16 * 9


def sized(track: Track, **changes: object) -> Track:
    """The tiny track with shadow models of the size of its originals; F fits into R ∪ F four times."""
    splits = replace(track.splits, shadow_size="original", **changes)  # type: ignore[arg-type]
    return replace(track, splits=splits, protocol=replace(track.protocol, lira_forget_sets=4))


def test_shadow_units_can_have_the_sizes_of_seed_units(small_track: Track) -> None:
    examples = References(sized(small_track), Store()).examples
    seed, sizes = examples.parts(0), {"retain": 192, "forget": 64, "val": 64, "test": 128}
    assert {part: len(indices) for part, indices in seed.items()} == sizes
    first, second = (set(examples.training_set(Role("shadow", split))) for split in (0, 1))
    assert len(first) == len(second) == 256 and not first & second
    assert set(seed["retain"]) | set(seed["forget"]) < first | second
    for forget_set in range(4):
        parts = examples.shadow_parts(1, forget_set)
        assert {part: len(indices) for part, indices in parts.items()} == sizes
        assert not (first | second) & (set(parts["val"]) | set(parts["test"]))
    assert sized(small_track).reference_digest != small_track.reference_digest


def test_shadow_models_of_the_originals_size_are_refused_where_they_do_not_fit(small_track: Track) -> None:
    (what,) = contradictions(sized(small_track, forget=60))
    assert what.startswith("protocol.lira_forget_sets is 4; with splits.shadow_size = 'original'")
    assert list(contradictions(sized(small_track))) == []
    with pytest.raises(TrackError, match="needs 1280 examples outside of R, F, V and T, and the data set has 325"):
        _ = References(sized(small_track, retain=960, forget=320), Store()).examples.population


@pytest.mark.slow
def test_the_board_has_u_lira_against_both(scored: References, small: Path) -> None:
    found = board.board(scored).set_index("entry")
    assert found.loc[["ft", "ga", "retrain", "original"], "ulira"].between(0, 1).all()
    assert found.loc[["ft", "ga", "retrain", "original"], "ulira_retrained"].between(0, 1).all()
    assert (found["provisional"] == "").all()
    assert found["trusted"].tolist() == [False] * 4, "their timed units ran without a sandbox"
    null = board.null(scored)
    assert null["ulira_low"] <= null["ulira"] <= null["ulira_high"]
    table = run("leaderboard", "--track", str(small)).stdout
    assert "LiRA" in table and all(len(line) <= 100 for line in table.splitlines())
    picture = run("leaderboard", "--track", str(small), "--format", "ulira").stdout
    texts = {element.text for element in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")}
    assert {"ft", "ga", "retrain", "original"} <= texts


@pytest.mark.slow
def test_what_is_stored_is_scored_again_to_the_same_numbers(scored: References, small: Path) -> None:
    before = board.board(scored)
    result = run("rescore", "--track", str(small), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["models"] == 6 + 2 * 2 + 4
    assert board.board(scored).equals(before)
    # a number that was changed by hand comes back
    record = next(iter(board_entries(scored)[0].records.values()))
    right = scores.record_scores(scored, record)
    assert right is not None
    scores.put(scored, result_names.of_unit(scored, record), replace(right, metrics={**right.metrics, "ra": 0.123}))
    run("rescore", "--track", str(small))
    assert scores.record_scores(scored, record) == right


@pytest.mark.slow
def test_an_attack_of_ones_own_reads_every_stored_entry(scored: References, small: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(ATTACK)
    found = json.loads(run("rescore", "--track", str(small), "--attack", str(path), "--json").stdout)
    assert (found["title"], found["reads"]) == ("mean loss", "model")
    assert {name: len(rows) for name, rows in found["entries"].items()} == dict.fromkeys(
        ("ft", "ga", "null", "original", "retrain"), 2
    )
    original = found["entries"]["original"][1]["value"]
    labels, split = scored.examples.dataset.labels, scored.examples.split(1)
    logits = scaled(scored.logits(Role("original", 1)), labels, split.val).logits
    losses = [np.log(np.exp(logits[i] - logits[i, labels[i]]).sum()) for i in split.forget]
    assert original == pytest.approx(np.mean(losses))
    table = run("rescore", "--track", str(small), "--attack", str(path)).stdout
    assert table.startswith("mean loss\n") and " ± " in table

    path.write_text("def attack(shadows):\n    return {'gap': float((shadows.forgotten - shadows.never).mean())}\n")
    found = json.loads(run("rescore", "--track", str(small), "--attack", str(path), "--json").stdout)
    assert {name: len(rows) for name, rows in found["entries"].items()} == dict.fromkeys(
        ("ft", "ga", "original", "retrain"), 1
    )
    assert found["entries"]["original"][0]["gap"] != found["entries"]["retrain"][0]["gap"]

    wrong = {
        "def attack(losses): ...": "must define one of",
        "def attack(swap): ...": "reads swap",
        "def attack(model):\n    return model.nothing": "mine raised AttributeError",
        "def attack(:": "cannot be imported",
    }
    for bad, word in wrong.items():
        path.write_text(bad)
        result = run("rescore", "--track", str(small), "--attack", str(path))
        assert result.exit_code == 2 and word in result.stderr


@pytest.mark.slow
def test_show_and_compare_read_the_panel(scored: References, small: Path) -> None:
    shown = json.loads(run("show", "ft", "--track", str(small), "--json").stdout)
    attacks = {row["attack"] for row in shown["panel"]}
    assert attacks >= {"umia", "umia_two_sided", "rmia", "outputs", "ulira", "klom", "epsilon", "collateral"}
    (collateral,) = (r for r in shown["panel"] if (r["attack"], r["number"]) == ("collateral", "accuracy"))
    assert all(0 <= collateral[key] <= 1 for key in ("value", "null", "original"))
    assert shown["shadows"]["pairs"] == 2 and shown["shadows"]["narrow"] is None
    text = run("show", "ft", "--track", str(small)).stdout
    assert "collateral" in text and "ok, 2 of 2 pairs of shadow splits, workers" in text

    compared = json.loads(run("compare", "ft", "ga", "--track", str(small), "--json").stdout)["differences"]
    by_metric = {one["metric"]: one for one in compared}
    assert set(by_metric) == {"retdev", "indisc", "umia", "ra", "fa", "ta", "rte", "ulira"}
    rows = board.board(scored).set_index("entry")
    assert by_metric["ra"]["change"]["mean"] == pytest.approx(rows.loc["ft", "ra"] - rows.loc["ga", "ra"])
    assert by_metric["rte"]["change"]["mean"] == pytest.approx(rows.loc["ft", "rte"] / rows.loc["ga", "rte"])
    assert "U-LiRA" in run("compare", "ft", "ga", "--track", str(small)).stdout
    assert run("compare", "ft", "nobody", "--track", str(small)).exit_code == 2


@pytest.mark.slow
def test_swapped_originals_learn_other_examples_and_unlearn_them(scored: References, small: Path) -> None:
    parts, usual = scored.examples.swapped_parts(0), scored.examples.parts(0)
    assert np.array_equal(parts["retain"], usual["retain"]) and len(parts["forget"]) == len(usual["forget"])
    assert set(parts["forget"]) <= set(usual["test"]) and not set(parts["forget"]) & set(parts["test"])
    learnt = set(scored.examples.training_set(Role("swap", 0)))
    assert learnt == set(parts["retain"]) | set(parts["forget"])

    command = ["baselines", "ga", "--track", str(small), "--swap"]
    first = run(*command)
    assert first.exit_code == 0, first.output
    assert "2 reference models to train" in first.stderr and "ga swapped seed 1 ok" in first.stderr
    assert "swapped seed" not in run(*command).stderr, "finished units are kept"
    panel = json.loads(run("show", "ga", "--track", str(small), "--json").stdout)["panel"]
    swap = {row["number"]: row for row in panel if row["attack"] == "swap"}
    assert swap["advantage"]["null"] == 0, "a model that learnt neither cannot tell"
    assert 0 <= swap["advantage"]["value"] <= 1 and 0 <= swap["advantage"]["original"] <= 1
    path = small.with_name("other.py")
    path.write_text("def attack(swap):\n    return float(len(set(swap.forget) & set(swap.substitute)))\n")
    found = json.loads(run("rescore", "--track", str(small), "--attack", str(path), "--json").stdout)
    assert {name: len(rows) for name, rows in found["entries"].items()} == {"ga": 2, "original": 2, "retrain": 2}


@pytest.mark.slow
def test_shipped_records_are_scored_to_the_same_numbers_and_nothing_else_is_kept(
    scored: References, tmp_path: Path
) -> None:
    target = Store(tmp_path / "shipped", behind=None)
    target.put(b"of an older record")
    export_records(scored, target)
    sizes = [path.stat().st_size for path in target.root.rglob("*") if path.is_file()]
    assert sum(sizes) < 1_000_000
    shipped = References(scored.track, Store(target.root, behind=scored.store.root))
    for column in ("ulira", "rte"):  # accuracies of barely trained models have ties, two pairs no interval
        np.testing.assert_allclose(board.board(shipped)[column], board.board(scored)[column], atol=3e-3)
    blobs = {path.stem for path in (target.root / "blobs").glob("*/*")}
    assert len(blobs) == 2 * 2 + 4, "logits of ft and ga, and φ of four rows"
    export_records(shipped, target)
    assert {path.stem for path in (target.root / "blobs").glob("*/*")} == blobs, "half precision stays as it is"


def test_half_precision_moves_no_metric_by_more_than_one_example_does(default: References) -> None:
    worker_runner._references = default
    result = worker_runner._run(SeedUnit(baseline("ft"), default.track, 0), 60.0)
    assert result.logits is not None
    full, rounded = (scores.score(default, 0, z) for z in (result.logits, half(result.logits).astype(np.float32)))
    for name in ("ra", "fa", "va", "ta", "retdev"):
        assert rounded.metrics[name] == pytest.approx(full.metrics[name], abs=1e-3), name
    one = 2 / (2 * 128 * 3)  # a loss at the threshold may change sides: of 2 · 128 in one of 3 chunks, twice in Indisc
    for attack, numbers in full.attacks.items():
        assert rounded.attacks[attack] == pytest.approx(numbers, abs=1e-3 + one), attack
    rng = np.random.default_rng(0)
    phi = rng.normal(3, 4, (2, 1024, 8))
    assert ulira(*phi.astype(np.float16)).accuracy == pytest.approx(ulira(*phi).accuracy, abs=1e-3)


def test_a_stopped_run_keeps_what_is_finished(default: References) -> None:
    entry = baseline("ft")
    with pytest.raises(KeyboardInterrupt):
        shadow_units.run(default, entry, Drawn(len(default.examples.dataset.labels), stop_after=50))
    assert shadow_units.find(default, entry) is None, "half a run is no result"
    assert len(shadow_units.pending(default, entry)) == 128 - 50
    shadow_units.run(default, entry, second := Drawn(len(default.examples.dataset.labels)))
    assert len(second.asked) == 128 - 50


def test_a_unit_that_fails_ends_the_run_and_one_lost_to_the_machine_does_not_count(default: References) -> None:
    entry, examples = baseline("ft"), len(default.examples.dataset.labels)
    crashed = shadow_units.run(default, entry, Drawn(examples, failing="crash"))
    assert (crashed.status, crashed.reason, crashed.failed) == ("crash", "it broke", "split 1 forget set 0")
    assert shadow_units.find(default, entry) == crashed and crashed.values is None
    lost = shadow_units.run(default, baseline("ga"), Drawn(examples, failing="infra"))
    assert lost.status == "infra" and shadow_units.find(default, baseline("ga")) is None


class Refusing:
    """A sandbox in which the entry called ga crashes; it looks at the stop event like any back end."""

    name, trusted = "refusing", True

    def run(self, job: Job, clock: object, stop: threading.Event | None = None) -> Outcome:
        assert stop is not None
        if stop.is_set():
            return Outcome("infra", "stopped")
        return Outcome("crash" if b"Gradient ascent" in job.source else "invalid", "as told")


def test_an_entry_that_fails_does_not_stop_the_next_one(default: References) -> None:
    runner = SandboxRunner(UnitContext(default, Refusing(), run_id="x"))  # type: ignore[arg-type]
    todo = {name: [SeedUnit(baseline(name), default.track, seed) for seed in range(4)] for name in ("ga", "ft")}
    assert next(iter(runner.run(todo["ga"], 5.0)))[1].status == "crash"  # its run ends here, as that of a failed entry
    assert [result.status for _, result in runner.run(todo["ft"], 5.0)] == ["invalid"] * 4


def test_the_null_comes_from_as_many_pairs_as_the_entry_has(default: References) -> None:
    board_entry = next(c for c in board_entries(default) if c.name == "ft")

    def klom() -> attack_panel.AttackNumber:
        found = attack_panel.attack_numbers(default, board_entry)
        return next(one for one in found if (one.attack, one.number) == ("klom", "mean"))

    record = next(one for one in shadow_units.records(default) if one.name == "ft")
    full = klom()
    shadow_units.keep(default, replace(record, pairs=4, date="2100-01-01"))
    early = klom()
    assert early.null < 0.8 * full.null, "half the models a side, another null"
    assert early.value < full.value and early.original < full.original, "from the same pairs"


@pytest.mark.slow
@pytest.mark.parametrize(("track", "records"), [("digits-resnet18", 200), ("digits-class", 100)])
def test_an_export_onto_what_ships_loses_nothing(track: str, records: int, tmp_path: Path) -> None:
    place = tmp_path / "shipped"
    shutil.copytree(SHIPPED, place)
    references = References(load_track(track), Store(tmp_path / "empty", behind=place))
    before = {path.relative_to(place) for path in place.rglob("*") if path.is_file()}
    assert export_records(references, Store(place, behind=None)) == records
    assert {path.relative_to(place) for path in place.rglob("*") if path.is_file()} == before


def test_a_track_without_shadow_splits_says_so() -> None:
    for command in (["prepare", "digits-tinyvit", "--lira"], ["baselines", "--lira", "--track", "digits-tinyvit"]):
        result = run(*command)
        assert result.exit_code == 2 and "declares no U-LiRA protocol" in result.stderr


@pytest.mark.slow
def test_names_in_the_plot_are_text(scored: References) -> None:
    rows = board.board(scored)
    rows["entry"] = '<script>"&'
    picture = board_plots.ulira(board_plots.ulira_rows(rows), board.null(scored), "<title>", standalone=True)
    assert "<script>" not in picture
    texts = [element.text for element in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count('<script>"&') == 4 and "<title>" in texts
    rows.loc[0, "state"] = "disqualified"
    assert len(board_plots.ulira_rows(rows)) == 3, "a disqualified row is left out"
