"""What a board says of models that start from pretrained weights, as text for every form of it."""

from __future__ import annotations

from unlearn_bench.harness.tracks.specification import Track


def pretraining(track: Track) -> list[str]:
    """Return a line on the pretrained weights of a track, if it has any."""
    if "pretrained" not in track.model:
        return []
    return [f"all models start from {track.model['pretrained']}: what it was pretrained on cannot be unlearned"]
