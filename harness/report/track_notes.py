"""What a board says of its track, as text for every form of it: what is forgotten, access, weights, competition."""

from __future__ import annotations

import datetime

from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.sandbox.text import one_line


def access(track: Track) -> str:
    """Return the access tier of a track and what it means for entries, as a clause; empty where nothing is withheld."""
    given = {
        "full": "",
        "no-retain": "entries get neither R nor V",
        "few-shot-retain": "all that entries get of R, and of V",
        "no-forget-images": "entries get the labels of F",
    }[track.protocol.access]
    return given and f"{track.protocol.tier}: {given}"


def pretraining(track: Track) -> list[str]:
    """Return a line on the pretrained weights of a track, if it has any."""
    if "pretrained" not in track.model:
        return []
    return [f"all models start from {track.model['pretrained']}: what it was pretrained on cannot be unlearned"]


def forgetting(track: Track) -> str:
    """Return in words what is forgotten on a track."""
    splits = track.splits
    if track.corruption:
        return f"corrupted training data ({track.corruption}), of which a part is identified"
    if splits.forget_rule == "class":
        part = "a part of a class" if track.data.superclasses else "a class"
        return part if len(splits.forget_classes) == 1 else f"{len(splits.forget_classes)} classes"
    if splits.forget_rule == "highest":
        return "the most memorised examples"
    share = splits.forget / (splits.retain + splits.forget)
    requests = f", in {track.protocol.requests} requests" if track.protocol.requests > 1 else ""
    return f"{share:.0%} of the training examples at random{requests}".replace("%", " %")


def competition(track: Track) -> tuple[tuple[str, str, str], ...]:
    """Return what a track says of its competition: a word, a text, and the address that it leads to, or nothing.

    The first one is its title.
    """
    if (told := track.competition) is None:
        return ()
    contact = f"mailto:{told.contact}" if told.is_mail else told.contact if told.contact.startswith("https://") else ""
    rows = [
        ("Competition", told.title, ""),
        ("Deadline", "" if told.closes is None else _in_words(told.closes), ""),
        ("Prizes", told.prizes, ""),
        ("Host", told.host, ""),
        ("Rules", told.rules.removeprefix("https://"), told.rules),
        ("Contact", told.contact.removeprefix("https://"), contact),
    ]
    return tuple((word, one_line(text, 400), address) for word, text, address in rows if text)


def _in_words(time: datetime.datetime) -> str:
    """Return ``24 December 2026, 23:59 UTC+01:00``."""
    offset = time.strftime("%z")
    zone = "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"
    return f"{time.day} {time:%B %Y}, {time:%H:%M:%S} ".replace(":00 ", " ") + zone
