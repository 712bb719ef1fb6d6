"""Rows for boards, made from a few numbers an entry."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

USUAL = {"kind": "baseline", "status": "ok", "ra": 0.99, "fa": 0.85, "va": 0.84, "ta": 0.84, "rr": 1.0, "fr": 1.0}
USUAL |= {"tr": 1.0, "retdev": 0.1, "umia": 0.52, "rte": 5.0, "ra_retrain": 0.99, "classes": 10}
USUAL |= {"temperature": 1.0, "collapse": ""}


@pytest.fixture
def make_rows() -> Callable[..., pd.DataFrame]:
    """``make_rows({"FT": {"retdev": 0.1, "status": ["ok", "crash", "ok"]}})``: a list is one value a seed."""

    def make(entries: Mapping[str, Mapping[str, Any]], track: str = "digits", seeds: int = 3) -> pd.DataFrame:
        tables = [pd.DataFrame({"entry": name, "seed": range(seeds), **USUAL, **own}) for name, own in entries.items()]
        return pd.concat(tables, ignore_index=True).assign(track=track, indisc=lambda t: 1 - np.abs(2 * t["umia"] - 1))

    return make
