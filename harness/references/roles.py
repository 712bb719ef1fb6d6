"""Roles of reference models: what each is trained on, which of them a kind of unit needs, and their random seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Track

RoleKind = Literal[
    "original",
    "retrained",
    "null",
    "shadow",
    "shadow-retrained",
    "swap",
    "tuning-original",
    "tuning-retrained",
    "clean",  # their places decide on random seeds: a new kind stands last
]
ROLE_KINDS: tuple[RoleKind, ...] = get_args(RoleKind)
SEED_KINDS: tuple[RoleKind, ...] = ROLE_KINDS[:3]


@dataclass(frozen=True)
class Role:
    """One reference model.

    ``original``: trained on R ∪ F. ``retrained``: on R only, from the same initial weights. ``null``: on R only, from
    other initial weights; its scores against ``retrained`` are the null of every metric. ``shadow``: the original of
    one shadow split. ``shadow-retrained``: trained on that split without one of its forget sets. ``swap``: the original
    of a seed that learnt a part of the test set in the place of F. ``tuning-original`` and ``tuning-retrained``: a pair
    on a split that only searches for hyper-parameters read. ``clean``: on R ∪ F in their clean form, from the initial
    weights of ``original``; only a track whose data is corrupted has it.
    """

    kind: RoleKind
    seed: int
    """The model seed, or the number of a shadow or tuning split."""
    forget_set: int | None = None
    """The forget set that a ``shadow-retrained`` model was trained without."""

    @property
    def name(self) -> str:
        """The role's name in the manifest."""
        return f"{self.kind}/{self.seed}" + ("" if self.forget_set is None else f"/{self.forget_set}")


def seed_kinds(track: Track) -> tuple[RoleKind, ...]:
    """Return the kinds of reference models that the track's seed units need."""
    return (*SEED_KINDS, "clean") if track.corruption else SEED_KINDS


def roles(track: Track) -> list[Role]:
    """Return all reference models that the track's seed units need."""
    return [Role(kind, seed) for kind in seed_kinds(track) for seed in range(track.protocol.seeds)]


def shadow_roles(track: Track) -> list[Role]:
    """Return all reference models that the track's shadow units need, split by split."""
    protocol = track.protocol
    needed = []
    for split in range(protocol.lira_splits):
        needed.append(Role("shadow", split))
        needed += [Role("shadow-retrained", split, forget_set) for forget_set in range(protocol.lira_forget_sets)]
    return needed


def shadow_originals(track: Track) -> list[Role]:
    """Return the originals of all shadow splits."""
    return [Role("shadow", split) for split in range(track.protocol.lira_splits)]


def swap_roles(track: Track) -> list[Role]:
    """Return the originals that SWAP needs in addition to those of the seed units."""
    return [Role("swap", seed) for seed in range(track.protocol.seeds)]


def tuning_roles(track: Track) -> list[Role]:
    """Return the models that a search for hyper-parameters needs; no score reads them."""
    kinds: tuple[RoleKind, ...] = ("tuning-original", "tuning-retrained")
    return [Role(kind, split) for split in range(track.analysis.tuning_seeds) for kind in kinds]


def tuning_shadow_roles(track: Track) -> list[Role]:
    """Return the models of a pair of shadow splits that no score reads, for a search on shadow units."""
    needed = []
    for split, forget_set in tuning_shadows(track):
        needed += [Role("shadow", split), Role("shadow-retrained", split, forget_set)]
    return list(dict.fromkeys(needed))


def tuning_shadows(track: Track) -> list[tuple[int, int]]:
    """Return (split, forget set) of the shadow units to tune on, in turn from the two splits after the scored ones."""
    splits, sets = track.protocol.lira_splits, track.protocol.lira_forget_sets
    return [(splits + i % 2, i // 2 % sets) for i in range(track.analysis.tuning_seeds)] if sets else []


def initial_seed(track: Track, role: Role) -> int:
    """Return the random seed of the initial weights, which the models of a seed, or of a shadow split, share."""
    if role.kind.startswith("shadow"):
        return derive(track.recipe.seed, 2, role.seed)
    if role.kind.startswith("tuning"):
        return derive(track.recipe.seed, 5, role.seed)
    return derive(track.recipe.seed, 0, role.seed, int(role.kind == "null"))


def order_seed(track: Track, role: Role) -> int:
    """Return the random seed of the data order and augmentation."""
    if role.kind.startswith("shadow"):
        return derive(track.recipe.seed, 3, role.seed, 0 if role.forget_set is None else 1 + role.forget_set)
    if role.kind == "swap":
        return derive(track.recipe.seed, 4, role.seed)
    if role.kind.startswith("tuning"):
        return derive(track.recipe.seed, 6, role.seed, int(role.kind == "tuning-retrained"))
    return derive(track.recipe.seed, 1, role.seed, ROLE_KINDS.index(role.kind))
