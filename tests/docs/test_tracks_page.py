"""docs/tracks.md: every key that a track may have is explained there."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

from unlearn_bench.harness.tracks.specification import Track

PAGE = Path(__file__).parents[2] / "docs" / "tracks.md"


def test_the_page_on_tracks_explains_every_key() -> None:
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8")))))
    tables = [hint for hint in typing.get_type_hints(Track).values() if dataclasses.is_dataclass(hint)]
    keys = {field.name for table in tables for field in dataclasses.fields(table)}
    assert len(keys) > 30
    assert keys - words == set()
