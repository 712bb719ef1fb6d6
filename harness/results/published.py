"""The numbers that were published for the shipped methods: tables of the paper, and an independent replication.

``paper/`` has Tables 1 and 2 of "Deep Unlearn: Benchmarking Machine Unlearning". Its Figure 1 is published as a picture
without numbers. ``paper/replication.csv`` has the means of another group's runs of the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from unlearn_bench.scoring.board import LETTERS
from unlearn_bench.scoring.ranks import dense_ranks

FOLDER = Path(__file__).with_name("paper")
SETTINGS = (
    "mnist-resnet18",
    "mnist-tinyvit",
    "fashionmnist-resnet18",
    "fashionmnist-tinyvit",
    "cifar10-resnet18",
    "cifar10-tinyvit",
    "cifar100-resnet18",
    "cifar100-tinyvit",
    "utkface-resnet18",
)
"""The tracks that are the paper's nine settings."""
RESISTANT = ("ct", "msg")
"""The methods of which the paper says, of its Figure 1, that they resist U-LiRA."""


@dataclass(frozen=True)
class Published:
    """Published numbers by the names of the shipped entries, in the paper's order by RetDev."""

    counts: Mapping[str, pd.DataFrame]
    """``retdev`` and ``indisc`` → a row per method: ``G1``, ``G2``, ``G3``, ``F`` over the nine settings, ``rank``."""
    speed: pd.DataFrame
    """RTE on ResNet18 of the methods of Table 2, a column per data set and ``average``."""
    replication: pd.DataFrame
    """Means ``retdev`` and ``indisc`` on CIFAR-10 with ResNet18; NaN where a model was unusable."""

    @property
    def methods(self) -> list[str]:
        """Names of all methods of Table 1."""
        return [str(name) for name in self.counts["retdev"].index]


@cache
def published() -> Published:
    """Read the published numbers."""
    table = _read("table1")
    counts = {}
    for metric in ("retdev", "indisc"):
        columns = {letter: table[f"{metric}_{letter.lower()}"] for letter in LETTERS}
        counted = pd.DataFrame(columns)
        counts[metric] = counted.assign(rank=dense_ranks(counted[["G1", "G2", "G3"]].to_numpy()))
    replication = _read("replication").drop("retrain")
    return Published(counts, _read("table2"), replication[["retdev", "indisc"]].astype(float))


def _read(name: str) -> pd.DataFrame:
    table = pd.read_csv(FOLDER / f"{name}.csv", index_col="method")
    return table.rename(index=lambda method: method.lower().replace("+", "_plus").replace("-", "_"))
