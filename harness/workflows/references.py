"""``bench references``: reference models that were trained elsewhere are imported, and those of a track written out."""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.references import model_files, plausibility
from unlearn_bench.harness.references.manifest import StoredModel, TrainingFacts
from unlearn_bench.harness.references.plausibility import ImportedModel
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import SEED_KINDS, Role, shadow_roles
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import file_digest
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure, shadow_units, unit_store
from unlearn_bench.harness.workflows.untimed import needs_shadows
from unlearn_bench.scoring.accuracy import accuracies


@dataclass(frozen=True)
class Folders:
    """Folders of checkpoints, where they are given."""

    originals: Path | None = None
    retrained: Path | None = None
    null: Path | None = None
    """A second retrained model of every seed, from other initial weights."""
    shadows: Path | None = None


@dataclass(frozen=True)
class Imported:
    """What an import has entered into the store."""

    references: References
    models: Sequence[ImportedModel]


def import_references(
    track: str,
    folders: Folders,
    observer: Observer,
    *,
    trained_by: str | None = None,
    secret: Path | None = None,
    gpu: int | None = None,
) -> Imported:
    """Import reference models that were trained elsewhere: all that are named, or none.

    Each file is read without running anything, its network is compared with the track's, and its logits on every
    example are computed here.

    Args:
        track: a track's name, or the path of a TOML file; its recipe says how the models were trained.
        folders: where the checkpoints are.
        observer: receives the progress.
        trained_by: who trained the models; kept and shown.
        secret: of a sealed track.
        gpu: index of a CUDA device to compute on.

    Raises:
        BenchError: a file is missing, or is not a checkpoint of the track's network; a model answers no better than
            chance; the track has other reference models.
    """
    references = References(load_track(track, secret), Store())
    if references.track.corruption:
        what = f"{track} has corrupted training data, and its models of clean data cannot be imported"
        raise BenchError(what, "your command", f"train all of its models here: bench prepare {track}", USAGE)
    files = _files(references, folders)
    digests = {role: file_digest(path) for role, path in files.items()}
    _refuse_copies(files, digests)
    _refuse_mixture(references, digests)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    models, stored = [], {}
    with observer.progress(f"importing {references.track.name}", len(files), "models") as progress:
        for role, path in files.items():
            facts = TrainingFacts(date=today, file=path.name, file_sha256=digests[role], trained_by=trained_by)
            stored[role], model = _import(references, role, path, facts, "cpu" if gpu is None else f"cuda:{gpu}")
            models.append(model)
            progress.step()
    for role, stored_model in stored.items():
        references.keep(role, stored_model)
    scores.clear(references)
    references.store.clear(shadow_units.document_kind(references))
    return Imported(References(references.track, references.store), models)


def _files(references: References, folders: Folders) -> dict[Role, Path]:
    """Return the file of every model to import."""
    track = references.track
    files: dict[Role, Path] = {}
    if folders == Folders():
        raise BenchError("no folder is given", "your command", "name --originals and --retrained", USAGE)
    for kind, folder in zip(SEED_KINDS, (folders.originals, folders.retrained, folders.null), strict=True):
        if folder is not None:
            files |= {Role(kind, s): path for s, path in model_files.by_seed(folder, track.protocol.seeds).items()}
        elif kind != "null" and (missing := references.missing([Role(kind, 0)])):
            option = "--originals" if kind == "original" else "--retrained"
            what = f"{track.name} has no {missing[0].name}, with which everything is compared"
            raise BenchError(what, "your command", f"name the folder of these models, too: {option}", USAGE)
    if folders.shadows is not None:
        needs_shadows(track)
        protocol = track.protocol
        named = model_files.by_shadow_split(folders.shadows, protocol.lira_splits, protocol.lira_forget_sets)
        for (split, forget_set), path in named.items():
            files[Role("shadow" if forget_set is None else "shadow-retrained", split, forget_set)] = path
    return files


def _refuse_copies(files: Mapping[Role, Path], digests: Mapping[Role, str]) -> None:
    first: dict[str, Role] = {}
    for role, digest in digests.items():
        if (other := first.setdefault(digest, role)) != role:
            what = f"{files[other]} and {files[role]} are the same file, as {other.name} and {role.name}"
            raise BenchError(what, "your command", "name the right file of each", USAGE)


def _refuse_mixture(references: References, digests: Mapping[Role, str]) -> None:
    """Refuse to put imported models beside trained ones, or in the place of models that scores rest on."""
    track, present = references.track, references.manifest.roles
    groups = [{role.name for role in references.seed_roles()}, {role.name for role in shadow_roles(track)}]
    for names in groups:
        if not names & {role.name for role in digests}:
            continue
        if trained := sorted(name for name in names if name in present and present[name].file is None):
            raise BenchError(
                f"{track.name} has {len(trained)} reference models that the benchmark trained, such as {trained[0]}",
                "your command",
                f"import into a track of your own, with another recipe.seed: bench tracks {track.name} > mine.toml",
                USAGE,
            )
    changed = [r.name for r, sha in digests.items() if r.name in present and present[r.name].file_sha256 != sha]
    if changed and unit_store.seed_records(references.store, track):
        what = f"entries have run on {changed[0]} of {track.name} as it is"
        raise BenchError(what, "your command", "import other models into a track with another recipe.seed", USAGE)


def _import(
    references: References, role: Role, path: Path, facts: TrainingFacts, device: str
) -> tuple[StoredModel, ImportedModel]:
    from safetensors.numpy import save

    from unlearn_bench.harness.training.inference import logits_of

    track, examples = references.track, references.examples
    weights: Mapping[str, NDArray[Any]] = model_files.read(path, model_files.network_layout(track))
    if track.recipe.weights == "float16":
        weights = {n: array.astype(np.float16) if array.dtype == np.float32 else array for n, array in weights.items()}
    logits = logits_of(track, weights, examples.dataset.images, device)
    if not np.isfinite(logits).all():
        remedy = "leave out models that diverged, and compare [data] mean and std with your own"
        raise BenchError(f"{path}: the model's outputs are not finite", "your command", remedy, USAGE)
    shadow = role.kind.startswith("shadow")
    parts = examples.shadow_parts(role.seed, role.forget_set or 0) if shadow else examples.parts(role.seed)
    measured = accuracies(logits, examples.labels, parts)
    if plausibility.near_chance(measured, track.data.classes):
        what = f"{path}: as {role.name} it classifies {measured.retain:.1%} of R correctly, which is near chance"
        remedy = "compare the order of classes, [data] mean, std and image_size, and the splits with your own"
        raise BenchError(what, "your command", remedy, USAGE)
    content = None if role.kind == "shadow-retrained" else save(dict(weights))
    model = ImportedModel(role.name, path.name, measured, plausibility.doubt(role, measured, len(parts["forget"])))
    return references.put(content, logits, facts), model


def export_references(track: str, folder: Path, observer: Observer, *, secret: Path | None = None) -> Sequence[Path]:
    """Write a track's originals as checkpoints, and which examples are R, F, V and T, for work elsewhere.

    ``original/SEED.safetensors`` and, where their weights are kept, ``retrained/SEED.safetensors``;
    ``splits.npz`` as ``splits.rule = "file"`` reads it; ``images.npz`` with ``images`` (uint8 [n, c, h, w]) and
    ``labels`` as the track uses them; with U-LiRA also ``shadows.npz``, the training set of each shadow model by its
    name.

    Raises:
        BenchError: a sealed track, a model that is not stored, missing data.
    """
    references = References(load_track(track, secret), Store())
    disclosure.not_public(references.track, "its splits and models")
    seeds = range(references.track.protocol.seeds)
    if missing := references.missing([Role("original", seed) for seed in seeds]):
        remedy = f"run `bench prepare {track}`, or import it"
        raise BenchError(f"{missing[0].name} of {track} is not stored", "your command", remedy, USAGE)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    roles = [Role(kind, seed) for kind in SEED_KINDS[:2] for seed in seeds]
    kept = [role for role in roles if references.has_weights(role)]
    with observer.progress(f"writing {references.track.name}", len(kept), "models") as progress:
        for role in kept:
            path = folder / role.kind / f"{role.seed}.safetensors"
            write_file(path, references.weights(role))
            written.append(path)
            progress.step()
    return [*written, *_export_arrays(references, folder)]


def _export_arrays(references: References, folder: Path) -> list[Path]:
    examples, track = references.examples, references.track
    by_seed = [examples.parts(seed) for seed in range(track.protocol.seeds)]
    arrays = {
        "splits": {part: np.stack([parts[part] for parts in by_seed]) for part in by_seed[0]},
        "images": {"images": examples.dataset.images, "labels": examples.labels},
    }
    if track.protocol.lira_splits:
        arrays["shadows"] = {role.name: examples.training_set(role) for role in shadow_roles(track)}
    for name, content in arrays.items():
        archive = io.BytesIO()
        np.savez(archive, **content)  # type: ignore[arg-type]
        write_file(folder / f"{name}.npz", archive.getvalue())
    return [folder / f"{name}.npz" for name in arrays]


def stored_models(track: str, secret: Path | None = None) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """Return the reference models of a track that are stored, by role, with what is known of their training."""
    references = References(load_track(track, secret), Store())
    return [
        (name, {key: value for key, value in asdict(model.facts).items() if value is not None})
        for name, model in sorted(references.manifest.roles.items())
    ]
