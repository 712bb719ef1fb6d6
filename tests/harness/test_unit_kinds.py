"""Keys and random seeds of every kind of unit, which stored records hang on."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tests.harness.conftest import with_recipe
from unlearn_bench.harness.entries.entry import Entry, from_source
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit, SwapUnit, Unit, YardstickUnit

KINDS = (SeedUnit, YardstickUnit, ShadowUnit, SwapUnit)


def unit(kind: type[Unit], references: References) -> Unit:
    entry = from_source("pinned", b"def unlearn(model, retain, *, lr=0.1):\n    return model\n")
    track = with_recipe(references.track, epochs=2, batch_size=64).track
    given: tuple[Entry, object, int] = entry.with_parameters({"lr": 0.5}), track, 1
    return ShadowUnit(*given, 0) if kind is ShadowUnit else kind(*given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "key", "random_seed", "second_request"),
    [
        (SeedUnit, "34e73f48f651a8011ebdd1bfcc8614d8e177c67bfc77c2768be385b20d045c70", 307626447, 1301376914),
        (YardstickUnit, "34e73f48f651a8011ebdd1bfcc8614d8e177c67bfc77c2768be385b20d045c70", 307626447, 1301376914),
        (ShadowUnit, "4e8cb31dbb80ec7a6369444309eb36c7a877a46241e65050ec0160331f3f2161", 959653083, 2894441163),
        (SwapUnit, "a697f0be05c2cce9dac8526134e5746e1878c5f555ad26c0e61fa6412c33caa0", 3939357645, 2791291461),
    ],
)
def test_keys_and_random_seeds_never_change(
    kind: type[Unit], key: str, random_seed: int, second_request: int, references: References
) -> None:
    made = unit(kind, references)
    assert (made.key, made.random_seed, made.request_seed(2)) == (key, random_seed, second_request)


@pytest.mark.parametrize(
    ("kind", "original", "target"),
    [
        (SeedUnit, Role("original", 1), Role("retrained", 1)),
        (YardstickUnit, Role("original", 1), Role("retrained", 1)),
        (ShadowUnit, Role("shadow", 1), Role("shadow-retrained", 1, 0)),
        (SwapUnit, Role("swap", 1), Role("retrained", 1)),
    ],
)
def test_a_unit_names_its_original_and_the_retrained_model_it_should_equal(
    kind: type[Unit], original: Role, target: Role, references: References
) -> None:
    made = unit(kind, references)
    assert (made.original, made.target) == (original, target)


@pytest.mark.parametrize("kind", KINDS)
def test_the_original_has_learnt_what_a_unit_forgets_and_its_target_has_not(
    kind: type[Unit], references: References
) -> None:
    made = unit(kind, references)
    forget = made.parts(references.examples)["forget"]
    assert np.isin(forget, references.examples.training_set(made.original)).all()
    assert not np.isin(forget, references.examples.training_set(made.target)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_is_the_same_in_another_process(kind: type[Unit], references: References) -> None:
    made = unit(kind, references)
    sent = pickle.loads(pickle.dumps(made))
    assert sent == made and sent.key == made.key


def test_kinds_keep_their_records_apart(references: References) -> None:
    places = {
        (made.document_kind(made.track, made.entry.id), made.document_name)
        for made in (unit(k, references) for k in KINDS)
    }
    assert len(places) == len(KINDS)
    assert {place.split("/")[0] for place, _ in places} == {"units", "probe-units", "shadow-units", "swap-units"}
