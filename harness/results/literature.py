"""The literature's numbers of every entry, of Original, Retrain and the null, each computed once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.board_entries import REFERENCES, board_entries, reference_rows
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.parallel import side_by_side
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import track_folder
from unlearn_bench.scoring.intervals import mean_interval
from unlearn_bench.scoring.literature import LiteratureEvidence
from unlearn_bench.scoring.literature_columns import COLUMNS, computable, measured

KIND = "literature"
VERSION = 1
"""Raised whenever the same logits would give other numbers."""
CHUNK = 5
"""Models that are measured in one go, between two looks at the progress."""
NULL = "null model"
"""Name of the row of a second retrained model; pandas would read the word alone as a missing value."""
ABOUT = ("entry", "kind", "state", "badge", "seeds_ok", "seeds_total")
"""What a row says of its entry before the numbers."""
Numbers = Mapping[str, float | None]


@dataclass(frozen=True)
class Kept:
    """The numbers of one model, as a document."""

    numbers: dict[str, float | None]
    """By column; ``null`` where a number is not defined, and no key where it has not been computed."""


@dataclass(frozen=True)
class KeptLogits:
    """Where the outputs of an untrained network are, as a document."""

    logits: str
    """SHA-256 of the logits [|F|, classes] on the forget set of the seed."""


@dataclass(frozen=True)
class Model:
    """A model whose logits are stored."""

    row: str
    seed: int
    logits: str
    """Their SHA-256."""
    document: str
    """Name of the document that keeps its numbers: a digest of the arrays that they come from."""


def untrained(references: References, seed: int) -> NDArray[np.float32] | None:
    """Return the kept outputs of an untrained network on the forget set of a seed, or ``None``."""
    kept = documents.read(references.store, _untrained_kind(references), str(seed), KeptLogits)
    if kept is None or not references.store.has(kept.logits):
        return None
    return unit_store.unpack(references.store.get(kept.logits))


def keep_untrained(references: References, seed: int, logits: NDArray[np.float32]) -> None:
    """Keep the outputs [|F|, classes] of an untrained network on the forget set of a seed."""
    sha = references.store.put(unit_store.pack(logits))
    documents.write(references.store, _untrained_kind(references), str(seed), KeptLogits(sha))


def stored_models(references: References) -> list[Model]:
    """Return the models of all rows whose logits or numbers are stored, reference models first.

    Raises:
        StoreError: a reference model is missing.
    """
    roles, seeds = references.manifest.roles, range(references.track.protocol.seeds)
    kinds: dict[str, RoleKind] = {**reference_rows(references.track), **({NULL: "null"} if references.has_null else {})}
    for role in (Role(kind, seed) for kind in kinds.values() for seed in seeds):
        if role.name not in roles:
            references.logits(role)  # raises the error that says what to do

    def model(row: str, seed: int, logits: str) -> Model:
        others = [roles[Role(kind, seed).name].logits for kind in reference_rows(references.track).values()]
        return Model(row, seed, logits, digest([logits, *others, seed]))

    models = [model(row, seed, roles[Role(kind, seed).name].logits) for row, kind in kinds.items() for seed in seeds]
    for entry in board_entries(references):
        if entry.kind == "reference":
            continue
        for seed, record in sorted(entry.records.items()):
            if record.status == "ok" and record.logits is not None:
                models.append(model(entry.name, seed, record.logits))
    return [each for each in models if references.store.has(each.logits) or _known(references, each)]


def clear(references: References, target: Store) -> None:
    """Remove a track's numbers from a store, those of older versions as well."""
    target.clear(f"{KIND}/{track_folder(references.track)}")


def kept_documents(references: References) -> dict[str, Kept]:
    """Return the numbers that are stored of all models, by the names of their documents."""
    known = {model.document: _known(references, model) for model in stored_models(references)}
    return {name: Kept(numbers) for name, numbers in known.items() if numbers}


def numbers(
    references: References, models: Sequence[Model], on_done: Callable[[int], None]
) -> Iterator[tuple[Model, Numbers]]:
    """Yield the numbers of every model, from the store or computed and kept; one process per core.

    ``on_done`` is called with the number of models that are done.
    """
    networks = {model.seed: untrained(references, model.seed) for model in models}
    known = {model: _known(references, model) for model in models}
    stored = [model for model in models if references.store.has(model.logits)]
    todo = [model for model in stored if computable(known[model], networks[model.seed] is not None)]
    done = len(models) - len(todo)
    on_done(done)
    missing = set(todo)
    yield from ((model, known[model]) for model in models if model not in missing)
    if not todo:
        return
    _ = references.reference_phi, references.examples.lacks  # read once, for all processes

    def measure(chunk: Sequence[Model]) -> list[dict[str, float | None]]:
        return [_measure(references, model, networks[model.seed], known[model]) for model in chunk]

    chunks = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]
    for chunk, results in zip(chunks, side_by_side(measure, chunks), strict=True):
        for model, found in zip(chunk, results, strict=True):
            documents.keep(references.store, document_kind(references), model.document, Kept(found))
            yield model, found
        done += len(chunk)
        on_done(done)


def table(references: References, board: pd.DataFrame, found: Sequence[tuple[Model, Numbers]]) -> pd.DataFrame:
    """Return one row per entry in the order of their names, then Original, Retrain and the null.

    Columns: those of :data:`ABOUT`, and each of ``scoring.literature_columns`` with the ends of its 95 % interval: mean
    over the ok seeds, NaN where the number is unknown for one of them. ``board``: see ``harness.results.board.board``.
    """
    by_row: dict[str, dict[int, Numbers]] = {}
    for model, values in found:
        by_row.setdefault(model.row, {})[model.seed] = values
    listed = board[~board["entry"].isin(REFERENCES)].sort_values("entry")
    about = [{name: row[name] for name in ABOUT} for _, row in listed.iterrows()]
    seeds = references.track.protocol.seeds
    for name in (*reference_rows(references.track), *([NULL] if references.has_null else [])):
        reference = {"entry": name, "kind": "reference", "state": "reference", "badge": "reference"}
        about.append({**reference, "seeds_ok": seeds, "seeds_total": seeds})
    rows = [{**each, **_means(by_row.get(str(each["entry"]), {}), int(each["seeds_ok"]))} for each in about]
    names = [f"{column.name}{end}" for column in COLUMNS for end in ("", "_low", "_high")]
    types = {name: "Int64" if name.startswith("seeds_") else "string" for name in ABOUT}
    return pd.DataFrame(rows, columns=[*ABOUT, *names]).astype({**types, **dict.fromkeys(names, float)})


def _means(by_seed: Mapping[int, Numbers], seeds_ok: int) -> dict[str, float]:
    means: dict[str, float] = {}
    for column in COLUMNS:
        values = [each.get(column.name) for each in by_seed.values()]
        whole = [value for value in values if value is not None]
        if not whole or len(whole) < seeds_ok:
            continue
        interval = mean_interval(whole)
        means |= {column.name: interval.mean, f"{column.name}_low": interval.low, f"{column.name}_high": interval.high}
    return means


def _known(references: References, model: Model) -> dict[str, float | None]:
    kept = documents.read(references.store, document_kind(references), model.document, Kept)
    return {} if kept is None else kept.numbers


def _measure(
    references: References, model: Model, network: NDArray[np.float32] | None, known: Numbers
) -> dict[str, float | None]:
    logits = unit_store.unpack(references.store.get(model.logits))
    evidence = LiteratureEvidence(scores.model_evidence(references, model.seed, logits), network)
    return {**known, **measured(evidence, computable(known, network is not None))}


def document_kind(references: References) -> str:
    """Return the kind under which the store has the numbers of a track."""
    content = {"version": VERSION, "umia_seed": references.track.analysis.umia_seed}
    return f"{KIND}/{track_folder(references.track)}/{digest(content)[:16]}"


def _untrained_kind(references: References) -> str:
    return f"untrained/{references.track.reference_digest[:16]}"
