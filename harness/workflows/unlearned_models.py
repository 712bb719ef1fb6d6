"""``bench export``: the weights of an entry's unlearned models, as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results.board_entries import find
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure, unlearned_weights


@dataclass(frozen=True)
class ExportedWeights:
    """Files that were written."""

    files: tuple[Path, ...]
    """One per model seed, in their order."""
    without: tuple[int, ...]
    """Model seeds whose weights are not kept."""


def export_weights(entry: str, folder: Path, track: str, secret: Path | None = None) -> ExportedWeights:
    """Write the kept weights of an entry's models into a folder, as ``seed-N.safetensors``.

    They are checkpoints of the track's network, in the precision in which they were kept: `bench score` reads the
    folder.

    Args:
        entry: its name on the board.
        folder: where to; it is made if it is missing.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track, which is refused.

    Raises:
        BenchError: no such entry, a sealed track, a folder that has other files, or no weights.
    """
    references = References(load_track(track, secret), Store())
    disclosure.not_public(references.track, "the weights of unlearned models")
    records = find(references, entry).records
    kept = {s: unlearned_weights.find_kept(references.store, references.track, r.key) for s, r in records.items()}
    if not any(kept.values()):
        what = f"the store has no weights of {entry} on {references.track.name}"
        raise BenchError(what, "your command", "run it with --keep-weights", USAGE)
    targets = {seed: folder / f"seed-{seed}.safetensors" for seed in sorted(kept) if kept[seed] is not None}
    if folder.is_dir() and (others := {path.name for path in folder.iterdir()} - {p.name for p in targets.values()}):
        what = f"{folder} has {min(others)}, which is not one of the weights"
        raise BenchError(what, "your command", "name another folder", USAGE)
    for seed, path in targets.items():
        model = kept[seed]
        assert model is not None
        write_file(path, references.store.get(model.weights))
    return ExportedWeights(tuple(targets.values()), tuple(sorted(seed for seed, each in kept.items() if each is None)))
