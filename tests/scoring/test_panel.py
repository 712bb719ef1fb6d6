from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scoring.evidence import made, real, shadows
from unlearn_bench.scoring import panel
from unlearn_bench.scoring.attacks.umia_two_sided import umia_two_sided
from unlearn_bench.scoring.evidence import ModelEvidence, SwapEvidence
from unlearn_bench.scoring.panel import Attack, InvalidAttack, load, load_file, names
from unlearn_bench.scoring.umia import umia

MINE = """
TITLE = "Confidence gap"

def attack(model):
    return {"gap": model.phi[model.parts["forget"]].mean() - model.phi[model.parts["test"]].mean()}
"""

HEADLINES = {
    "epsilon": ("shadows", "points"),
    "klom": ("shadows", "mean"),
    "outputs": ("model", "forget"),
    "rmia": ("model", "auc"),
    "swap": ("swap", "advantage"),
    "umia": ("model", "accuracy"),
    "umia_two_sided": ("model", "accuracy"),
}


def evidence(models: str) -> object:
    rng = np.random.default_rng(0)
    if models == "swap":
        sides = np.split(rng.permutation(60), [20, 40])
        logits = rng.normal(size=(2, 60, 3))
        return SwapEvidence(
            *logits, labels=rng.integers(3, size=60), forget=sides[0], substitute=sides[1], val=sides[2]
        )
    return made(rng) if models == "model" else shadows(rng)


def test_attacks_are_found_by_folder() -> None:
    assert set(HEADLINES) <= set(names())


@pytest.mark.parametrize("name", names())
def test_every_attack_of_the_folder_has_a_title_and_says_what_it_reads(name: str) -> None:
    found = load(name)
    assert found.name == name
    assert found.title != name
    assert found.models in ("model", "shadows", "swap")


@pytest.mark.parametrize("name", HEADLINES)
def test_an_attack_gives_its_numbers_headline_first(name: str) -> None:
    attack = load(name)
    numbers = attack.run(evidence(attack.models))
    assert (attack.models, next(iter(numbers))) == HEADLINES[name]
    assert all(type(value) is float for value in numbers.values())


@pytest.mark.parametrize("name", [name for name, (models, _) in HEADLINES.items() if models == "model"])
def test_the_order_of_the_examples_does_not_matter(name: str) -> None:
    rng = np.random.default_rng(1)
    model = made(rng)
    mixed = replace(model, parts={part: rng.permutation(rows) for part, rows in model.parts.items()})
    assert load(name).run(mixed) == pytest.approx(load(name).run(model), rel=1e-12)


@pytest.mark.parametrize("name", [name for name, (models, _) in HEADLINES.items() if models == "shadows"])
def test_the_order_of_examples_and_models_does_not_matter(name: str) -> None:
    rng = np.random.default_rng(2)
    given = shadows(rng, n=40, shift=0.5)
    rows = rng.permutation(40)
    mixed = replace(
        given,
        forgotten=rng.permuted(given.forgotten[rows], axis=1),
        retrained=rng.permuted(given.retrained[rows], axis=1),
        retrained_never=rng.permuted(given.retrained_never[rows], axis=1),
    )
    assert load(name).run(mixed) == pytest.approx(load(name).run(given), rel=1e-12)


@pytest.mark.parametrize(("name", "function"), [("umia", umia), ("umia_two_sided", umia_two_sided)])
def test_forget_losses_are_told_from_test_losses_with_the_seed_of_the_unit(name: str, function: Any) -> None:
    model = replace(made(np.random.default_rng(4), sizes=(60, 30, 60, 130)), seed=5)
    forget, test = (model.losses[model.parts[part]] for part in ("forget", "test"))
    assert load(name).run(model)["accuracy"] == function(forget, test, 5) != function(forget, test, 6)


# On the shipped models of the default track, means over its ten seeds: what the original betrays, and the null.
@pytest.mark.parametrize(("name", "found"), [("umia", 0.665), ("umia_two_sided", 0.655), ("rmia", 0.765)])
def test_the_original_is_caught_and_a_second_retrained_model_is_not(name: str, found: float) -> None:
    attack = load(name)
    original, null = (
        np.mean([next(iter(attack.run(real(kind, seed)).values())) for seed in range(10)])
        for kind in ("original", "null")
    )
    assert original == pytest.approx(found, abs=0.015)
    assert null == pytest.approx(0.5, abs=0.02)


def test_the_original_is_further_from_the_retrained_model_than_a_second_one_on_forget_examples_only() -> None:
    original, null = (
        np.mean([list(load("outputs").run(real(kind, seed)).values()) for seed in range(10)], axis=0)
        for kind in ("original", "null")
    )
    assert original - null == pytest.approx([0.062, 0.003, -0.023], abs=0.02)


def test_a_users_own_file_needs_one_function(tmp_path: Path) -> None:
    (tmp_path / "gap.py").write_text(MINE)
    found = load_file(tmp_path / "gap.py")
    assert (found.name, found.title, found.models) == ("gap", "Confidence gap", "model")
    model = made(np.random.default_rng(3))
    means = [model.phi[model.parts[part]].mean() for part in ("forget", "test")]
    assert found.run(model) == pytest.approx({"gap": means[0] - means[1]})


def test_a_plain_number_is_called_value() -> None:
    assert Attack("mine", "Mine", "model", lambda _: 1).run(None) == {"value": 1.0}


@pytest.mark.parametrize(
    "source",
    ["", "attack = 3", "def attack(): ...", "def attack(models): ...", "def attack(model, seed): ..."],
)
def test_a_file_without_such_a_function_is_no_attack(tmp_path: Path, source: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(InvalidAttack, match=r"mine must define one of attack\(model\)"):
        load_file(tmp_path / "mine.py")


def test_a_file_of_another_language_is_no_attack(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(MINE)
    with pytest.raises(InvalidAttack, match="not a Python file"):
        load_file(tmp_path / "mine.txt")


@pytest.mark.parametrize("returned", [{}, None, {"a": float("nan")}, {"a": 0.5, "b": float("inf")}, {"a": "b"}, {1: 1}])
def test_anything_but_finite_numbers_by_name_is_refused(returned: object) -> None:
    attack = Attack("mine", "Mine", "model", lambda _: returned)  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidAttack, match="mine returned"):
        attack.run(None)


def test_where_a_class_is_forgotten_members_are_told_from_others_of_that_class() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 200)
    # class 0 is hard for everybody and was never learnt: its test examples look like its forget examples
    phi = rng.normal(np.where(labels == 0, -3.0, 4.0), 1.0)
    parts = {
        "forget": np.arange(0, 100),
        "test": np.concatenate([np.arange(100, 200), np.arange(200, 300)]),
        "retain": np.arange(300, 350),
        "val": np.arange(350, 400),
    }
    logits = np.stack([np.where(labels == 0, phi, 0.0), np.where(labels == 1, phi, 0.0)], axis=1)
    lacks = np.ones((2, len(labels)), dtype=bool)
    model = ModelEvidence(logits, logits, logits, labels, parts, np.stack([phi, phi]), lacks)
    assert set(labels[model.unseen].tolist()) == {0} and len(model.unseen) == 100
    for name, number in {"umia": "accuracy", "umia_two_sided": "accuracy", "rmia": "auc"}.items():
        found = next(attack for attack in panel.attacks_on("model") if attack.name == name).run(model)
        assert abs(found[number] - 0.5) < 0.1, "without the restriction each reads .75"
