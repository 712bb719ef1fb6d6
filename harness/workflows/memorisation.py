"""``bench memorisation``: which examples of a track are memorised most."""

from __future__ import annotations

from pathlib import Path

from unlearn_bench.harness.data import splits
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.references import memorisation
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import shadow_originals
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure
from unlearn_bench.harness.workflows.training import train_missing
from unlearn_bench.harness.workflows.untimed import needs_shadows


def write_memorisation(track: str, path: Path, options: RunOptions) -> str:
    """Estimate how much each example is memorised, from shadow models, which are trained where they are missing.

    Args:
        track: a track's name, or the path of a TOML file.
        path: the file to write: float array [n], NaN outside of R and F (.npy).
        options: where to train.

    Returns:
        The SHA-256 of the file, as a track declares it.

    Raises:
        BenchError: the track declares no U-LiRA protocol, or is sealed.
    """
    loaded_track = load_track(track, options.secret)
    needs_shadows(loaded_track)
    disclosure.not_public(loaded_track, "how examples are memorised")
    references = References(loaded_track, Store())
    with connected(options) as executor:
        train_missing(references, shadow_originals(loaded_track), executor, options)
    return splits.write(path, memorisation.values(references))
