from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearn_bench.scoring.shadows import Design, design, evidence, gather, gather_originals

COLUMNS = ("forgotten", "never", "retained", "absent")


def units(shadows: Design, splits: int | None = None) -> np.ndarray:
    """φ [S, G, n], all different, so that each value names its split, unit and example."""
    shape = (splits or shadows.splits, shadows.forget_sets, shadows.population)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@given(
    half=st.integers(1, 40), pairs=st.integers(1, 5), seed=st.integers(0, 2**64), share=st.floats(0, 1), data=st.data()
)
def test_halves_are_complementary_and_forget_sets_partition_them(
    half: int, pairs: int, seed: int, share: float, data: st.DataObject
) -> None:
    sets = 1 + round(share * (half - 1))
    drawn = design(2 * half, 2 * pairs, sets, seed)
    assert (drawn.splits, drawn.pairs, drawn.population, drawn.forget_sets) == (2 * pairs, pairs, 2 * half, sets)
    assert drawn.forget.dtype == np.int16
    split = data.draw(st.integers(0, drawn.splits - 1))
    partner = drawn.partner(split)
    assert partner != split and partner // 2 == split // 2 and drawn.partner(partner) == split
    both = np.concatenate([drawn.half(split), drawn.half(partner)])
    np.testing.assert_array_equal(np.sort(both), np.arange(2 * half))
    members = [drawn.members(split, index) for index in range(sets)]
    np.testing.assert_array_equal(np.sort(np.concatenate(members)), drawn.half(split))
    found = [len(positions) for positions in members]
    assert max(found) - min(found) <= 1


@given(seed=st.integers(0, 2**64), sets=st.integers(2, 8))
def test_what_belongs_together_lies_in_one_half_and_one_forget_set(seed: int, sets: int) -> None:
    groups = np.random.default_rng(seed % 2**32).permutation(np.concatenate([np.arange(150), np.arange(50)]))
    drawn = design(200, 4, sets, seed, groups)
    for split in range(4):
        half = drawn.half(split)
        assert len(half) == 100
        assert not np.isin(groups[half], groups[drawn.half(drawn.partner(split))]).any()
        members = [drawn.members(split, index) for index in range(sets)]
        assert max(map(len, members)) - min(map(len, members)) <= 1
        np.testing.assert_array_equal(np.sort(np.concatenate(members)), half)
        assert sum(len(np.unique(groups[each])) for each in members) == len(np.unique(groups[half]))


def test_every_example_is_forgotten_once_in_half_of_the_splits_and_absent_from_the_others() -> None:
    drawn = design(1024, 16, 8, seed=3)
    assert all(len(drawn.members(split, index)) == 64 for split in range(16) for index in range(8))
    times = np.zeros(1024, dtype=int)
    for split in range(16):
        for index in range(8):
            times[drawn.members(split, index)] += 1
    np.testing.assert_array_equal(times, 8)
    np.testing.assert_array_equal((drawn.forget < 0).sum(axis=0), 8)


def test_forget_sets_and_halves_are_random() -> None:
    drawn = design(4000, 8, 4, seed=4)
    together = [np.mean(drawn.forget[0][drawn.half(2)] >= 0), np.mean(drawn.forget[4][drawn.half(7)] >= 0)]
    np.testing.assert_allclose(together, 0.5, atol=0.05)  # halves of different pairs are independent
    same = drawn.forget[0] == drawn.forget[2]
    assert np.mean(same[(drawn.forget[0] >= 0) & (drawn.forget[2] >= 0)]) == pytest.approx(0.25, abs=0.05)
    positions = [drawn.members(0, index).mean() for index in range(4)]
    np.testing.assert_allclose(positions, 2000, atol=250)  # not blocks of neighbours
    assert not np.array_equal(drawn.forget, design(4000, 8, 4, seed=5).forget)


def test_a_longer_design_begins_with_the_shorter_one() -> None:
    long, short = design(120, 12, 5, seed=6), design(120, 4, 5, seed=6)
    np.testing.assert_array_equal(long.forget[:4], short.forget)
    # Other forget sets leave the halves, and so the originals, as they are.
    np.testing.assert_array_equal(design(120, 12, 3, seed=6).forget < 0, long.forget < 0)
    with pytest.raises(ValueError, match="read-only"):
        long.forget[0, 0] = 1


def test_the_draws_of_a_seed_stay_as_they_are() -> None:
    # Stored units name their split and forget set: other draws would orphan them.
    expected = [
        [-1, -1, -1, -1, 0, 0, 1, 1],
        [1, 0, 1, 0, -1, -1, -1, -1],
        [1, -1, 0, 0, -1, -1, 1, -1],
        [-1, 0, -1, -1, 1, 1, -1, 0],
    ]
    np.testing.assert_array_equal(design(8, 4, 2, seed=123).forget, expected)


@pytest.mark.parametrize(
    ("population", "splits", "sets", "message"),
    [
        (101, 4, 2, "even population, got 101"),
        (0, 4, 2, "even population"),
        (100, 3, 2, "splits come in pairs, got 3"),
        (100, 0, 2, "splits come in pairs"),
        (100, 4, 0, "1 to 50 forget sets, not 0"),
        (100, 4, 51, "1 to 50 forget sets, not 51"),
        (80_000, 2, 32_768, "1 to 32767 forget sets"),
    ],
)
def test_designs_that_do_not_come_out_even_are_refused(population: int, splits: int, sets: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design(population, splits, sets, seed=0)
    assert design(100, 2, 50, seed=0).forget.max() == 49


@pytest.mark.parametrize("sets", [2, 3, 5])
@pytest.mark.parametrize("splits", [2, 6, 8])
def test_gathering_equals_looking_up_each_value(sets: int, splits: int) -> None:
    drawn = design(30, 8, sets, seed=7)
    phi = units(drawn, splits)
    expected = {name: np.empty((30, splits // 2)) for name in COLUMNS}
    for pair in range(splits // 2):
        for example in range(30):
            split = next(s for s in (2 * pair, 2 * pair + 1) if example in drawn.half(s))
            index = next(g for g in range(sets) if example in drawn.members(split, g))
            other = (index + 1) % sets
            expected["forgotten"][example, pair] = phi[split, index, example]
            expected["never"][example, pair] = phi[drawn.partner(split), index, example]
            expected["retained"][example, pair] = phi[split, other, example]
            expected["absent"][example, pair] = phi[drawn.partner(split), other, example]
    found = gather(drawn, phi)
    for name, values in expected.items():
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(found, name), values)


def test_units_may_come_one_split_at_a_time() -> None:
    drawn = design(20, 6, 4, seed=8)
    phi = units(drawn)

    def stored() -> Iterator[list[np.ndarray]]:
        for split in phi:
            yield list(split)

    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(gather(drawn, stored()), name), getattr(gather(drawn, phi), name))


def test_originals_are_gathered_by_who_was_trained_on_the_example() -> None:
    drawn = design(20, 6, 4, seed=9)
    phi = units(drawn)[:, 0]
    trained, never = gather_originals(drawn, phi[:4])
    assert trained.shape == never.shape == (20, 2)
    for pair in range(2):
        for example in range(20):
            split = next(s for s in (2 * pair, 2 * pair + 1) if example in drawn.half(s))
            assert trained[example, pair] == phi[split, example]
            assert never[example, pair] == phi[drawn.partner(split), example]


def test_evidence_has_each_column_from_its_own_models() -> None:
    drawn = design(20, 6, 4, seed=10)
    phi, labels = units(drawn), np.arange(20) % 3
    found = evidence(drawn, phi, phi + 10_000, phi[:, 0] + 20_000, labels)
    columns = gather(drawn, phi)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(columns, name))
    np.testing.assert_array_equal(found.retrained, columns.forgotten + 10_000)
    np.testing.assert_array_equal(found.retrained_never, columns.never + 10_000)
    originals = gather_originals(drawn, phi[:, 0] + 20_000)
    np.testing.assert_array_equal(found.original, originals[0])
    np.testing.assert_array_equal(found.original_never, originals[1])
    assert found.labels is labels
    with pytest.raises(ValueError, match="different pairs"):
        evidence(drawn, phi[:4], phi, phi[:, 0], labels)


def test_what_does_not_fit_the_design_is_refused() -> None:
    drawn = design(20, 6, 4, seed=11)
    phi = units(drawn)
    for splits in (0, 1, 5):
        with pytest.raises(ValueError, match=f"whole pairs of splits expected, got {splits}"):
            gather(drawn, phi[:splits])
    with pytest.raises(ValueError, match="more than the 6 splits"):
        gather(drawn, np.concatenate([phi, phi[:2]]))
    with pytest.raises(ValueError, match=r"split 0 has shape \(3, 20\), not \(4, 20\)"):
        gather(drawn, phi[:, :3])
    with pytest.raises(ValueError, match=r"split 0 has shape \(19,\), not \(20,\)"):
        gather_originals(drawn, phi[:, 0, :19])
    with pytest.raises(ValueError, match="at least 2 forget sets"):
        gather(design(20, 6, 1, seed=0), phi[:, :1])
