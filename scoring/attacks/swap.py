"""SWAP test (Tu, Hu, Ma 2025, A Cryptographic Game Perspective, arXiv:2404.11577, section 3.3).

Two models are made by the same method with the roles of forget set F and test examples T′ exchanged. An attack's
advantage is averaged over both, with its sign: what it owes to the examples cancels, what it owes to their having been
forgotten adds up. Where nothing of the forgotten examples is left, as after retraining, both models have learnt the
same R and the advantage is zero, whichever examples were drawn and however poor the attack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.scoring import logistic
from unlearn_bench.scoring.cross_validation import FOLDS, folds
from unlearn_bench.scoring.evidence import SwapEvidence
from unlearn_bench.scoring.umia import standardised

TITLE = "SWAP test"


def attack(swap: SwapEvidence) -> dict[str, float]:
    """``advantage`` in [0, 1], 0 after perfect retraining, and the paper's ``quality`` = 1 − advantage.

    Raises:
        ValueError: sides of different sizes or with examples in common, fewer than 10 a side, or non-finite logits.
    """
    sides = np.stack(_sides(swap))
    advantage = abs(signed_advantage(swap.phi[:, sides]))
    return {"advantage": advantage, "quality": 1.0 - advantage}


def signed_advantage(phi: NDArray[np.float64], seed: int = 0) -> float:
    """Advantage in [−1, 1] from φ [model, side, n]: side 0 is F, which model 0 forgot, side 1 is T′ (model 1).

    One logistic regression, as U-MIA's but on φ, says of a pair (model, example) whether the model has forgotten the
    example. (The loss is a function of φ, with so long a tail on one side that the regression misses the best
    threshold.) It is fitted to both models at once, with the opposite answers for the two pairs of an example, and both
    pairs are held out together: so two equal models give exactly 0. (An attack fitted to each model apart would find
    whatever sets F apart from T′ twice, and call it forgetting.)
    """
    forgotten = np.stack([phi[0, 0], phi[1, 1]])
    not_forgotten = np.stack([phi[1, 0], phi[0, 1]])
    # Folds are drawn from sorted examples, so that the order in which they come does not matter; one draw for both
    # sides, so that exchanging the models does not matter either.
    draw = np.random.default_rng(seed).permutation(forgotten.shape[1])
    order = np.stack([np.lexsort((not_forgotten[side], forgotten[side]))[draw] for side in (0, 1)])
    forgotten, not_forgotten = standardised(
        np.take_along_axis(forgotten, order, axis=1), np.take_along_axis(not_forgotten, order, axis=1)
    )
    held_out = np.tile(folds(forgotten.shape[1]), 2)
    calls = zip(logistic.fits(np.stack([forgotten.ravel(), not_forgotten.ravel()]), held_out), held_out, strict=True)
    return float(np.mean([called[0, fold].mean() - called[1, fold].mean() for called, fold in calls]))


def _sides(swap: SwapEvidence) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    forget, substitute = np.asarray(swap.forget), np.asarray(swap.substitute)
    if forget.size != substitute.size or forget.size < FOLDS:
        raise ValueError(
            f"SWAP needs sides of equal size, at least {FOLDS}, got {forget.size} and {substitute.size} examples"
        )
    if np.intersect1d(forget, substitute).size:
        raise ValueError("SWAP needs forget and substitute sets without examples in common")
    return forget, substitute
