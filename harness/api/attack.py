"""The attacks on arrays of your own, as ``ub.attack``: no track, no store, no torch.

They read φ, the log-odds of the true class, or losses, of logits from which confidence has been taken out:
:func:`phi` and :func:`losses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from unlearn_bench.harness.results import outputs
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.scoring import epsilon, panel
from unlearn_bench.scoring import ulira as _ulira
from unlearn_bench.scoring import umia as _umia
from unlearn_bench.scoring.accuracy import cross_entropy, margins
from unlearn_bench.scoring.attacks import klom as _klom
from unlearn_bench.scoring.attacks import umia_two_sided as _two_sided
from unlearn_bench.scoring.temperature import scaled
from unlearn_bench.scoring.ulira import ULira

__all__ = ["epsilons", "klom", "losses", "names", "panel_of", "phi", "ulira", "umia", "umia_two_sided"]


def names() -> list[str]:
    """Return the names of the attacks of the panel, and of those that installed packages add."""
    return sorted([*panel.names(), *panel.installed()])


def panel_of(
    arrays: Mapping[str, NDArray[Any]] | str | PathLike[str], attack: str | PathLike[str] | None = None
) -> pd.DataFrame:
    """Run the panel, or one ``attack``, on outputs of your own models: one row per attack and number.

    Columns: ``attack``, ``number``, ``value``; ``null``, the same of a second retrained model (for shadow models: of
    retrained ones), NaN where there is none; ``original``, the same before unlearning. Means over the seeds.

    Args:
        arrays: as for :func:`unlearn_bench.score`: logits, or φ of shadow models.
        attack: an attack's name, or a Python file with ``attack(model)`` or ``attack(shadows)``, which is run;
            default: the panel.

    Raises:
        BenchError: an array is missing, or does not belong to the others; no such attack, or one that fails.
    """
    given = arrays if isinstance(arrays, Mapping) else outputs.read(Path(arrays))
    try:
        chosen = None if attack is None else panel.named(str(attack))
        return pd.DataFrame(outputs.attacked(given, chosen))
    except panel.InvalidAttack as error:
        raise BenchError(str(error), "your command", "see scoring/README.md", USAGE) from None


def phi(logits: ArrayLike, labels: ArrayLike, val: ArrayLike) -> NDArray[np.float64]:
    """Return φ [n] of logits [n, classes], brought to one scale and temperature on the examples ``val`` (indices).

    Raises:
        ValueError: shapes that do not belong together, or logits that are not finite.
    """
    return margins(scaled(logits, labels, val).logits, labels)


def losses(logits: ArrayLike, labels: ArrayLike, val: ArrayLike) -> NDArray[np.float64]:
    """Return the cross-entropy [n] in nats of logits [n, classes], scaled as for :func:`phi`. Errors as there."""
    return cross_entropy(scaled(logits, labels, val).logits, labels)


def ulira(forgotten: ArrayLike, never: ArrayLike) -> ULira:
    """Run U-LiRA on φ [n, P] of examples when forgotten, and when never seen; column p of both is pair p of splits.

    Carlini et al. 2022 (arXiv:2112.03570); Hayes et al. 2024 (arXiv:2403.01218), with held-out decisions.

    Raises:
        ValueError: other shapes, fewer than two pairs, or φ that is not finite.
    """
    return _ulira.ulira(forgotten, never)


def umia(forget: ArrayLike, unseen: ArrayLike, seed: int = 0) -> float:
    """Return U-MIA's accuracy in [0, 1] of telling losses [n] of F from those [m] of unseen examples; .5 is chance.

    Raises:
        ValueError: a loss that is not finite, or fewer than ten examples a side.
    """
    return _umia.umia(forget, unseen, seed)


def umia_two_sided(forget: ArrayLike, unseen: ArrayLike, seed: int = 0) -> float:
    """Return the accuracy of U-MIA with two thresholds on the loss instead of one. Errors as for :func:`umia`."""
    return _two_sided.umia_two_sided(forget, unseen, seed)


def klom(unlearned: ArrayLike, retrained: ArrayLike) -> NDArray[np.float64]:
    """Return KLoM [n] in nats from φ [n, P] under unlearned and [n, Q] under retrained models.

    Georgiev et al. 2024 (arXiv:2410.23232), appendix E.1, with one added to every bin.

    Raises:
        ValueError: different examples, or φ that is not finite.
    """
    return _klom.smoothed(*_klom.histograms(unlearned, retrained))


def epsilons(unlearned: ArrayLike, retrained: ArrayLike) -> NDArray[np.float64]:
    """Return ε [n] in [0, 50] from φ [n, P] under unlearned and [n, Q] under retrained models.

    The forgetting quality of the NeurIPS 2023 competition (Triantafillou et al. 2024, arXiv:2406.09073).

    Raises:
        ValueError: different examples, or φ that is not finite.
    """
    return epsilon.epsilons(unlearned, retrained)
