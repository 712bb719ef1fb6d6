"""One site for all tests: the shipped board with hostile entries, and three tracks with made-up records beside it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import once, run
from tests.site import browser
from tests.site.synthetic import fill, methods
from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import review
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import entry_sources, unit_store
from unlearn_bench.harness.units.records import Record, now

TRACK = "digits-resnet18"
MADE_UP = ("cifar10-resnet18", "mnist-resnet18", "mnist-tinyvit")
BUILD = ("leaderboard", "--format", "html", *(f"--track={name}" for name in sorted((TRACK, *MADE_UP))))
"""Builds the site of these tracks alone, whatever else ships."""
EVIL = '<script>window.owned = 1</script><img src=x onerror="window.owned = 1">\'"&amp;</title></pre>{{ 7 * 7 }}\u202e'
SHOWN = EVIL.replace("\u202e", "\\u202e")
"""What a reader sees of it."""


@dataclass(frozen=True)
class Built:
    home: Path
    place: Path

    def read(self, name: str) -> str:
        return (self.place / name).read_text(encoding="utf-8")

    def page(self, entry: str, track: str = TRACK) -> str:
        return self.read(f"entries/{track}/{entry}.html")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Made by the command, once for all parallel workers."""

    def make(place: Path) -> None:
        store = Store()
        fill(store.root, MADE_UP, methods(25))
        hostile(store)
        result = run(*BUILD, "--out", str(place / "site"))
        assert result.exit_code == 0, result.output

    home = once(tmp_path_factory, "site-of-all", make)
    return Built(home, home.parent / "site")


@pytest.fixture
def stored(built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Built:
    """Commands read the store of the site."""
    monkeypatch.setenv("BENCH_HOME", str(built.home))
    monkeypatch.setenv("BENCH_LOCKS", str(tmp_path / "locks"))
    return built


def hostile(store: Store) -> None:
    """Entries of which every text is HTML and script: one that ran, and others of every kind that has no rank."""
    put(store, EVIL, EVIL.encode(), trusted=True)
    put(store, "failed", b"failed", status="crash", reason=EVIL, log=f"{EVIL}\nlast line", warnings=(EVIL,))
    put(store, "bare", b"bare", trusted=False)
    put(store, "cheat", b"cheat")
    review.disqualify(store, "cheat", hashlib.sha256(b"cheat").hexdigest(), EVIL)
    put(store, "checked", b"checked")
    record = next(record for record in unit_store.seed_records(store, load_track(TRACK)) if record.name == "checked")
    rerun = review.Rerun(record.seed, "consistent", now(), record.date)
    review.keep(References(load_track(TRACK), store), record, rerun)


def put(store: Store, name: str, source: bytes, status: str = "ok", trusted: bool = True, **more: Any) -> None:
    """Records of an entry on the default track, with the logits of the shipped fine-tuning."""
    about = {EVIL: EVIL} if name == EVIL else {"lr": 0.1}
    space = {EVIL: ["choice", [EVIL]]} if name == EVIL else {"lr": ["log", 1e-5, 1e-1]}
    metadata = {"title": EVIL, "paper": "javascript:window.owned=1", EVIL: EVIL} if name == EVIL else {}
    summary = EVIL if name == EVIL else ""
    notes = (EVIL,) if name == EVIL else ()
    entry = Entry(name, source, defaults=about, search_space=space, metadata=metadata, summary=summary, notes=notes)
    entry_sources.keep(store, entry)
    track = load_track(TRACK)
    for record in unit_store.seed_records(store, track):
        if record.name == "ft":
            bad = status != "ok" and record.seed > 0
            Record(
                key=hashlib.sha256(f"{name} {record.seed}".encode()).hexdigest(),
                entry=entry.id,
                name=name,
                sha256=entry.sha256,
                track=track.name,
                reference_digest=track.reference_digest,
                protocol_digest=track.protocol_digest,
                seed=record.seed,
                status=status if bad else "ok",  # type: ignore[arg-type]
                seconds=record.seconds,
                cpu_seconds=record.cpu_seconds,
                peak_memory=record.peak_memory,
                retrain_seconds=record.retrain_seconds,
                logits=None if bad else record.logits,
                date=record.date,
                trusted=trusted,
                environment={**record.environment, "cpu": EVIL if name == EVIL else "AMD EPYC"},
                parameters=about,
                reason=more.get("reason", "") if bad else "",
                log=more.get("log", "") if bad else EVIL,
                warnings=more.get("warnings", ()) if bad else (),
            ).save(store)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser; where there is none a loud skip, or a failure where BENCH_REQUIRE_BROWSER=1."""
    if (reason := browser.unavailable()) is not None:
        if os.environ.get("BENCH_REQUIRE_BROWSER") == "1":
            pytest.fail(f"BENCH_REQUIRE_BROWSER=1, but: {reason}")
        pytest.skip(f"THE PAGES ARE NOT TESTED IN A BROWSER: {reason}")
    with browser.browser() as running:
        yield running
