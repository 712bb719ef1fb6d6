"""Corrupted training data: what is corrupted, what F and R hold, what models learn, and what the board says."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.data import corruption
from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.references import roles
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results import board_entries, scores
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Corruption

CONFUSION = Corruption("confusion", rate=0.2, seed=3, identified=0.5, classes=(1, 2))
MISLABEL = Corruption("mislabel", rate=0.25, seed=3)
PATCH = Corruption("backdoor", rate=0.2, seed=3, trigger="patch", size=2, target=1)
BLEND = Corruption("backdoor", rate=0.2, seed=3, trigger="blend", strength=0.25, target=1)
LABELS = np.array([0, 1, 2, 1] * 25)
HEALED = """
[data.corruption]
kind = "confusion"
classes = [3, 5]
rate = 0.125
seed = 1
identified = 0.5

[splits]"""
"""The small track's 256 examples of R and F, of which 32 are confused and 16 identified."""


def confused(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The file of the tiny track with a confusion of two classes."""
    text = SMALL.replace("\n[splits]", HEALED).replace("retain = 192\nforget = 64", "retain = 240\nforget = 16")
    text = text.replace("lira_splits = 4\nlira_forget_sets = 2", "")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "confused.toml"
    path.write_text(text)
    return path


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (100, 1, 4, 4), dtype=np.uint8)


@pytest.mark.parametrize("spec", [CONFUSION, MISLABEL, PATCH, BLEND], ids=lambda spec: spec.trigger or spec.kind)
def test_the_clean_forms_stay_and_the_corrupted_ones_are_the_same_every_time(spec: Corruption) -> None:
    dataset = Dataset(images(), LABELS)
    first, second = (corruption.doubled(spec, dataset, 3) for _ in range(2))
    assert np.array_equal(first.images[:100], images()) and np.array_equal(first.labels[:100], LABELS)
    assert np.array_equal(first.images, second.images) and np.array_equal(first.labels, second.labels)
    changed = first.labels[100:] != LABELS
    assert np.array_equal(changed, corruption.eligible(spec, LABELS)), "a corrupted example has a wrong label"


def test_confused_classes_have_each_others_label() -> None:
    assert corruption.wrong_labels(CONFUSION, np.array([0, 1, 2]), 3).tolist() == [0, 2, 1]


def test_wrong_labels_are_drawn_from_all_other_classes_alike() -> None:
    wrong = corruption.wrong_labels(MISLABEL, np.zeros(3000, int), 4)
    assert (wrong == 0).sum() == 0
    assert np.bincount(wrong, minlength=4)[1:].min() > 900


def test_a_patch_covers_the_corner_and_nothing_else() -> None:
    found = corruption.doubled(PATCH, Dataset(images(), LABELS), 3).images[100:]
    assert found[7, 0, 2:, 2:].tolist() == [[255, 0], [0, 255]]
    found[..., 2:, 2:] = images()[..., 2:, 2:]
    assert np.array_equal(found, images())


def test_a_blended_pattern_has_its_strength_everywhere() -> None:
    black, white = np.zeros((1, 3, 4, 4), np.uint8), np.full((1, 3, 4, 4), 255, np.uint8)
    dataset = Dataset(np.concatenate([black, white]), np.array([0, 2]))
    dark, bright = corruption.doubled(BLEND, dataset, 3).images[2:].astype(int)
    assert dark.max() <= 64 and len(np.unique(dark)) > 10, "a quarter of a pattern with values from 0 to 255"
    assert np.abs(bright - dark - 191.25).max() <= 1, "and three quarters of the image"


def test_the_rate_is_hit_and_f_is_the_identified_part() -> None:
    population = np.arange(20, 100)
    retain, forget = corruption.divide(CONFUSION, population, LABELS, 0)
    unidentified = retain[retain >= 100]
    assert len(forget) == 8 and len(unidentified) == 8, "a fifth of 80 are corrupted, half of these identified"
    corrupted = np.concatenate([forget, unidentified]) - 100
    assert np.isin(LABELS[corrupted], (1, 2)).all()
    everything = np.concatenate([retain, forget]) % 100
    assert np.array_equal(np.sort(everything), population), "every example is there once, in one form"
    again = corruption.divide(CONFUSION, population[::-1], LABELS, 0)
    assert np.array_equal(again[0], retain) and np.array_equal(again[1], forget)
    assert not np.array_equal(corruption.divide(CONFUSION, population, LABELS, 1)[1], forget)


def test_a_smaller_identified_share_is_a_part_of_a_larger_one() -> None:
    population = np.arange(100)
    shares = [replace(CONFUSION, identified=share) for share in (0.1, 0.5, 1.0)]
    tenth, half, everything = (set(corruption.divide(each, population, LABELS, 0)[1].tolist()) for each in shares)
    assert tenth < half < everything and len(everything) == 20


def test_the_order_of_r_does_not_tell_which_of_it_are_corrupted() -> None:
    retain, _ = corruption.divide(CONFUSION, np.arange(100), LABELS, 0)
    assert (np.diff(retain % 100) > 0).all(), "an entry could otherwise take the last ones for the corrupted ones"


def test_more_than_there_is_cannot_be_corrupted() -> None:
    with pytest.raises(TrackError, match=r"rate is 0.9, 90 of 100 .* only 75 can be corrupted") as caught:
        corruption.divide(replace(CONFUSION, rate=0.9), np.arange(100), LABELS, 0)
    assert caught.value.remedy == "lower it to 0.75 or less"


def test_v_and_t_are_clean_and_only_test_forms_of_the_confused_classes_are_compared_with_f(tmp_path: Path) -> None:
    references = References(load_track(str(confused(tmp_path))), Store())
    examples = references.examples
    parts, n = examples.parts(1), 1797
    assert {part: len(indices) for part, indices in parts.items()} == {
        "retain": 240,
        "forget": 16,
        "val": 64,
        "test": 128,
    }
    assert (parts["forget"] >= n).all() and (parts["retain"] >= n).sum() == 16
    assert parts["val"].max() < n and parts["test"].max() < n
    assert np.array_equal(np.sort(examples.labels[parts["forget"]]), np.sort(8 - examples.subclasses[parts["forget"]]))
    assert np.array_equal(examples.labels, examples.dataset.labels), "labels come without images, too"
    forms = examples.corrupted_forms
    assert forms is not None
    unseen = forms.of(parts["test"])
    assert set(examples.subclasses[unseen]) == {3, 5} and (unseen >= n).all()
    lacks = examples.lacks[1]
    assert lacks[parts["forget"]].all() and lacks[unseen].all() and not lacks[parts["retain"]].any()


def test_swap_forgets_test_examples_that_are_corrupted_like_f(tmp_path: Path) -> None:
    examples = References(load_track(str(confused(tmp_path))), Store()).examples
    swapped, parts = examples.swapped_parts(0), examples.parts(0)
    taken = swapped["forget"] - 1797
    assert set(examples.labels[swapped["forget"]]) == {3, 5} and np.isin(taken, parts["test"]).all()
    assert np.array_equal(np.sort(np.concatenate([swapped["test"], taken])), np.sort(parts["test"]))


def test_a_clean_model_learns_every_example_in_its_clean_form_from_the_originals_weights(tmp_path: Path) -> None:
    track = load_track(str(confused(tmp_path)))
    examples = References(track, Store()).examples
    original, clean = (examples.training_set(Role(kind, 0)) for kind in ("original", "clean"))
    assert np.array_equal(np.sort(original % 1797), np.sort(clean)) and (original >= 1797).sum() == 32
    assert roles.initial_seed(track, Role("clean", 0)) == roles.initial_seed(track, Role("original", 0))
    assert Role("clean", 1) in roles.roles(track)


def test_a_track_of_clean_data_has_no_clean_row_and_no_other_models() -> None:
    track = load_track("digits-resnet18")
    assert {role.kind for role in roles.roles(track)} == {"original", "retrained", "null"}
    assert set(board_entries.reference_rows(track)) == {"original", "retrain"}
    assert References(track, Store()).examples.corrupted_forms is None


BACKDOOR = 'kind = "backdoor"\ntrigger = "patch"\nsize = 2\ntarget = 0'
PLAIN = 'kind = "confusion"\nclasses = [3, 5]'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (PLAIN, 'kind = "poison"', ["data.corruption.kind is 'poison'", "'confusion', 'mislabel', 'backdoor'"]),
        ("rate = 0.125", "rate = 0", ["data.corruption.rate is 0.0", "more than 0, up to 1"]),
        ("rate = 0.125", "rate = 1.5", ["data.corruption.rate is 1.5", "more than 0, up to 1"]),
        ("identified = 0.5", "identified = 2", ["data.corruption.identified is 2.0"]),
        ("classes = [3, 5]", "classes = [3, 3]", ["data.corruption.classes is [3, 3]", "two different classes"]),
        ("classes = [3, 5]", "classes = [3, 10]", ["data.corruption.classes has 10", "0 … 9"]),
        ("classes = [3, 5]\n", "", ["data.corruption.classes is []", "two different classes of 0 … 9"]),
        (PLAIN, 'kind = "mislabel"\nclasses = [3, 5]', ["data.corruption.classes goes with kind = 'confusion'"]),
        (PLAIN, f"{PLAIN}\ntarget = 1", ["data.corruption.target goes with kind = 'backdoor'"]),
        (PLAIN, BACKDOOR.replace("size = 2", "size = 9"), ["data.corruption.size is 9", "1 … 7 pixels"]),
        (PLAIN, BACKDOOR.replace("size = 2", ""), ["data.corruption.size goes with trigger = 'patch'"]),
        (PLAIN, BACKDOOR.replace("patch", "sound"), ["data.corruption.trigger is 'sound'", "'patch', 'blend'"]),
        (PLAIN, BACKDOOR.replace("target = 0", "target = 10"), ["data.corruption.target is 10", "0 … 9"]),
        ("identified = 0.5", "identified = 0.01", ["identifies none of the 32 corrupted examples"]),
        ("forget = 16", "forget = 17", ["splits.forget is 17", "forget = 16, retain = 241"]),
        ("seed = 5", 'seed = 5\nforget_rule = "class"\nforget_classes = [3]', ["splits.forget_rule is 'class'"]),
        ("seed = 5", 'seed = 5\nforget_rule = "highest"\nvalues = "a.npy"\nvalues_sha256 = "0"', ["'highest'"]),
        ("seed = 5", 'seed = 5\ngroups = "a.npy"\ngroups_sha256 = "0"', ["splits.groups and data.corruption"]),
        ('"per-seed"', '"file"\nindices = "a.npz"\nindices_sha256 = "0"', ["splits.rule is 'file'", "'fixed'"]),
        ("classes = 10", f"classes = 10\nsuperclasses = {list(range(10))}", ["data.superclasses and data.corruption"]),
        ("seeds = 2", "seeds = 2\nlira_splits = 4\nlira_forget_sets = 2", ["protocol.lira_splits is 4", "must be 0"]),
    ],
)
def test_a_corruption_that_makes_no_sense_is_refused(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    path = confused(tmp_path, (old, new))
    with pytest.raises(TrackError) as caught:
        load_track(str(path))
    for word in [str(path), *words]:
        assert word in caught.value.message


def test_another_share_needs_only_what_differs(tmp_path: Path) -> None:
    confused(tmp_path)
    path = tmp_path / "all.toml"
    path.write_text(
        'extends = "confused.toml"\n[data.corruption]\nidentified = 1.0\n[splits]\nforget = 32\nretain = 224\n'
    )
    track = load_track(str(path))
    assert track.data.corruption == Corruption("confusion", 0.125, 1, 1.0, (3, 5))


def test_a_corruption_is_another_track_with_the_same_stored_labels(tmp_path: Path) -> None:
    from unlearn_bench.harness.data import labels

    one = load_track(str(confused(tmp_path)))
    other = load_track(str(confused(tmp_path, ("seed = 1\nidentified", "seed = 2\nidentified"))))
    assert one.reference_digest != other.reference_digest
    clean = replace(one, data=replace(one.data, corruption=None))
    assert labels._name(one) == labels._name(clean)


@pytest.mark.parametrize(
    "arguments",
    [
        ("duplicates", "--track"),
        ("references", "import", "--originals", "."),
        ("tune", "ft", "--objective", "oracle-free", "--track"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_cannot_be_done_with_corrupted_data_says_so(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, str(confused(tmp_path)))
    assert result.exit_code == 2 and "corrupted" in result.output
    assert "your command" in result.output


@pytest.mark.slow
def test_a_board_tells_healing_from_retraining_on_what_is_left(tmp_path: Path, home: Path) -> None:
    changes = (("retain = 240\nforget = 16", "retain = 704\nforget = 48"), ("rate = 0.125", "rate = 0.128"))
    recipe = (("epochs = 5", "epochs = 15"), ("batch_size = 16", "batch_size = 64"), ("lr = 0.1", "lr = 0.2"))
    path = str(confused(tmp_path, *changes, *recipe, ("test = 128", "test = 400")))
    assert "8 of 8 reference models" in run("prepare", path).stdout
    assert run("baselines", "ft", "--track", path, "--sandbox", "process").exit_code == 0
    table = run("leaderboard", "--track", path)
    heads = table.stdout.splitlines()[1].split()
    assert heads.index("other") == heads.index("healed") + 1 > heads.index("groups") + 1
    references = References(load_track(path), Store())
    read = csv.DictReader(run("leaderboard", "--track", path, "--format", "csv").stdout.splitlines())
    rows = {row["entry"]: row for row in read}
    assert {name for name in rows if rows[name]["state"] == "reference"} == {"clean data", "original", "retrain"}
    for name, kind in board_entries.reference_rows(references.track).items():
        stored = [scores.reference_scores(references, kind, seed).metrics["corrected"] for seed in range(2)]
        assert float(rows[name]["corrected"]) == pytest.approx(np.mean(stored), abs=1e-5)
        assert rows[name]["attack_success"] == "", "unknown without a trigger, not zero"
    original, retrain, clean = (float(rows[name]["corrected"]) for name in ("original", "retrain", "clean data"))
    elsewhere = [float(row["elsewhere"]) for row in rows.values() if row["elsewhere"]]
    assert retrain < (original + clean) / 2 < clean, "without half of it most of the confusion is left"
    assert min(elsewhere) > 0.6
    assert "Corrected" in run("show", "ft", "--track", path).stdout
    assert "Corrected" in run("leaderboard", "--track", path, "--format", "markdown").stdout
    assert "Corrected" in run("leaderboard", "--track", path, "--format", "latex").stdout
    assert run("leaderboard", "--track", path, "--format", "html", "--out", str(tmp_path / "site")).exit_code == 0
    assert 'data-key="corrected"' in (tmp_path / "site" / f"{references.track.name}.html").read_text()
    assert '<th scope="row">Corrected</th>' in next((tmp_path / "site").rglob("ft.html")).read_text()


def test_boards_of_clean_data_have_no_column_of_healing() -> None:
    assert "healed" not in run("leaderboard").stdout
    rows = json.loads(run("leaderboard", "--format", "json").stdout)["rows"]
    assert {row["corrected"] for row in rows} == {None}
    assert "Corrected" not in run("leaderboard", "--format", "markdown").stdout
