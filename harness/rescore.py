"""Every number again from what is stored: logits of seed units, φ of shadow units. Nothing is run."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from harness import board, scores, shadows, swaps, units
from harness.candidates import candidates
from harness.references import SEED_KINDS, Kind, References, Role, swap_roles
from harness.shadows import ShadowRecord
from harness.store import Store
from harness.track import Track
from harness.units import Record
from scoring import panel
from scoring.evidence import SwapEvidence
from scoring.panel import Attack

CHUNK = 5
"""Models per task of a worker."""


@dataclass(frozen=True)
class Reference:
    """A reference model of one seed, as a thing to score."""

    kind: Kind
    seed: int


Scored = Record | Reference | ShadowRecord


def name(thing: Scored) -> str:
    """Of the entry; ``null`` is the zero line of what reads one model, ``retrain`` of what reads shadow models."""
    if isinstance(thing, Reference):
        return {"retrained": shadows.RETRAIN}.get(thing.kind, thing.kind)
    return thing.name


def stored(references: References) -> list[Scored]:
    """What can be scored from stored arrays: units of every entry on the board, reference models, shadow units."""

    def here(sha: str | None) -> bool:
        return sha is not None and references.store.has(sha)

    found: list[Scored] = [
        Reference(kind, seed) for kind in SEED_KINDS for seed in range(references.track.protocol.seeds)
    ]
    for candidate in candidates(references):
        if candidate.kind == "reference":
            continue
        found += [record for record in candidate.records.values() if record.status == "ok" and here(record.logits)]
    found += [shadow for shadow in board.shadow_records(references).values() if here(shadow.values)]
    return found


def rescore(references: References, things: Sequence[Scored], on_done: Callable[[int], None]) -> Iterator[Scored]:
    """Score again and keep the scores; yields what was scored. One process per core."""
    for thing, found in _parallel(references, things, None, on_done):
        if isinstance(thing, ShadowRecord):
            assert isinstance(found, scores.ShadowScores)
            scores.put_shadows(references, thing, found)
        else:
            assert isinstance(found, scores.Scores)
            scores.put(references, thing.key if isinstance(thing, Record) else f"{thing.kind}-{thing.seed}", found)
        yield thing


def attacked(
    references: References, things: Sequence[Scored], attack: Path, on_done: Callable[[int], None]
) -> Iterator[tuple[Scored, dict[str, float]]]:
    """Numbers of a user's own attack; yields each thing that has the evidence it reads, with its numbers."""
    models = panel.read(attack).models
    if models == "swap":
        chosen = [thing for thing in things if _swapped(references, thing) is not None]
    else:
        chosen = [thing for thing in things if isinstance(thing, ShadowRecord) == (models == "shadows")]
    for thing, found in _parallel(references, chosen, attack, on_done):
        assert isinstance(found, dict)
        yield thing, found


def _parallel(
    references: References, things: Sequence[Scored], attack: Path | None, on_done: Callable[[int], None]
) -> Iterator[tuple[Scored, scores.Scores | scores.ShadowScores | dict[str, float]]]:
    workers = min(len(os.sched_getaffinity(0)), -(-len(things) // CHUNK))
    chunks = [list(things[i : i + CHUNK]) for i in range(0, len(things), CHUNK)]
    if not chunks:
        return
    with ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(references.track, references.store.root, attack, os.getpid()),
    ) as pool:
        futures = {pool.submit(_work, chunk): chunk for chunk in chunks}
        done = 0
        try:
            for future in as_completed(futures):
                yield from zip(futures[future], future.result(), strict=True)
                done += len(futures[future])
                on_done(done)
        finally:
            for future in futures:
                future.cancel()


def _swapped(references: References, thing: Scored) -> SwapEvidence | None:
    if isinstance(thing, Record):
        return swaps.evidence(references, thing)
    if isinstance(thing, Reference) and thing.kind != "null" and not references.missing(swap_roles(references.track)):
        return swaps.reference_evidence(references, thing.kind, thing.seed)
    return None


_references: References | None = None
_attack: Attack | None = None


def _start(track: Track, root: Path, attack: Path | None, parent: int) -> None:
    from sandbox.inside.lifeline import end_with

    global _references, _attack
    end_with(parent)
    _references = References(track, Store(root))
    _attack = None if attack is None else panel.read(attack)


def _work(things: Sequence[Scored]) -> list[scores.Scores | scores.ShadowScores | dict[str, float]]:
    assert _references is not None
    return [_score(_references, thing) for thing in things]


def _score(references: References, thing: Scored) -> scores.Scores | scores.ShadowScores | dict[str, float]:
    if _attack is not None and _attack.models == "swap":
        swapped = _swapped(references, thing)
        assert swapped is not None
        return _attack.run(swapped)
    if isinstance(thing, ShadowRecord):
        if _attack is not None:
            return _attack.run(shadows.evidence(references, thing))
        return scores.shadow_score(references, thing)
    if isinstance(thing, Reference):
        logits = references.logits(Role(thing.kind, thing.seed))
    else:
        stored_logits = units.logits(references.store, thing)
        assert stored_logits is not None
        logits = stored_logits
    if _attack is not None:
        return _attack.run(scores.model_evidence(references, thing.seed, logits))
    return scores.score(references, thing.seed, logits)
