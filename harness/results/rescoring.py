"""Every number recomputed from what is stored: logits of seed units, φ of shadow units. Nothing is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind, swap_roles
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.board_entries import board_entries, shadow_records
from unlearn_bench.harness.support.parallel import side_by_side
from unlearn_bench.harness.units import result_names, shadow_units, swap_units, unit_store
from unlearn_bench.harness.units.records import Record, ShadowRecord
from unlearn_bench.scoring import panel
from unlearn_bench.scoring.evidence import SwapEvidence
from unlearn_bench.scoring.panel import Attack

CHUNK = 5
"""Models that are scored in one go, between two looks at the progress."""


@dataclass(frozen=True)
class Reference:
    """A reference model of one seed, as a thing to score."""

    kind: RoleKind
    seed: int


Scored = Record | Reference | ShadowRecord
Outcome = scores.Scores | scores.ShadowScores | dict[str, float]


def name(thing: Scored) -> str:
    """Return the entry's name; ``null`` and ``retrain`` are the nulls of what reads one model, and shadow models."""
    if isinstance(thing, Reference):
        return {"retrained": shadow_units.RETRAIN}.get(thing.kind, thing.kind)
    return thing.name


def stored(references: References) -> list[Scored]:
    """Return what stored arrays give scores of: units of the board's entries, reference models, shadow units."""

    def present(sha: str | None) -> bool:
        return sha is not None and references.store.has(sha)

    things: list[Scored] = [
        Reference(kind, seed) for kind in references.kinds for seed in range(references.track.protocol.seeds)
    ]
    for board_entry in board_entries(references):
        if board_entry.kind == "reference":
            continue
        things += [
            record for record in board_entry.records.values() if record.status == "ok" and present(record.logits)
        ]
    things += [shadow for shadow in shadow_records(references).values() if present(shadow.values)]
    return things


def rescore(references: References, things: Sequence[Scored], on_done: Callable[[int], None]) -> Iterator[Scored]:
    """Score again and keep the scores; yields what was scored. One process per core."""
    for thing, thing_scores in _side_by_side(references, things, None, on_done):
        if isinstance(thing, ShadowRecord):
            assert isinstance(thing_scores, scores.ShadowScores)
            scores.put_shadows(references, thing, thing_scores)
        else:
            assert isinstance(thing_scores, scores.Scores)
            scores.put(references, _name(references, thing), thing_scores)
        yield thing


def _name(references: References, thing: Record | Reference) -> str:
    if isinstance(thing, Record):
        return result_names.of_unit(references, thing)
    return result_names.of_reference(references, thing.kind, thing.seed)


def attacked(
    references: References, things: Sequence[Scored], attack: str, on_done: Callable[[int], None]
) -> Iterator[tuple[Scored, dict[str, float]]]:
    """Run an attack by its name, or a user's own file; yields each thing that has the evidence it reads."""
    user_attack = panel.named(attack)
    if user_attack.models == "swap":
        chosen = [thing for thing in things if _swapped(references, thing) is not None]
    else:
        chosen = [thing for thing in things if isinstance(thing, ShadowRecord) == (user_attack.models == "shadows")]
    for thing, numbers in _side_by_side(references, chosen, user_attack, on_done):
        assert isinstance(numbers, dict)
        yield thing, numbers


def _side_by_side(
    references: References, things: Sequence[Scored], attack: Attack | None, on_done: Callable[[int], None]
) -> Iterator[tuple[Scored, Outcome]]:
    if not things:
        return
    _ = references.reference_phi, references.examples.lacks  # read once, for all processes
    chunks = [things[i : i + CHUNK] for i in range(0, len(things), CHUNK)]
    done = 0
    for chunk, chunk_scores in zip(
        chunks, side_by_side(lambda chunk: [_score(references, thing, attack) for thing in chunk], chunks), strict=True
    ):
        yield from zip(chunk, chunk_scores, strict=True)
        done += len(chunk)
        on_done(done)


def _swapped(references: References, thing: Scored) -> SwapEvidence | None:
    if isinstance(thing, Record):
        return swap_units.evidence(references, thing)
    swappable = isinstance(thing, Reference) and thing.kind in ("original", "retrained")
    if isinstance(thing, Reference) and swappable and not references.missing(swap_roles(references.track)):
        return swap_units.reference_evidence(references, thing.kind, thing.seed)
    return None


def _score(references: References, thing: Scored, attack: Attack | None) -> Outcome:
    if attack is not None and attack.models == "swap":
        swapped = _swapped(references, thing)
        assert swapped is not None
        return attack.run(swapped)
    if isinstance(thing, ShadowRecord):
        if attack is not None:
            return attack.run(shadow_units.evidence(references, thing))
        return scores.shadow_score(references, thing)
    if isinstance(thing, Reference):
        logits = references.logits(Role(thing.kind, thing.seed))
    else:
        stored_logits = unit_store.logits(references.store, thing)
        assert stored_logits is not None
        logits = stored_logits
    if attack is not None:
        return attack.run(scores.model_evidence(references, thing.seed, logits))
    return scores.score(references, thing.seed, logits)
