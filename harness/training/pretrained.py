"""Pretrained weights that all reference models of a track start from, as ``[model] pretrained`` says.

They are a file beside the track, or one that torchvision or timm has fetched when the user asked it to. Nothing here
reaches for a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from unlearn_bench.harness.references import state_dicts
from unlearn_bench.harness.support.digests import file_digest
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.specification import Track

SIDE_HEADS = ("aux", "AuxLogits.")
"""Beginnings of the names of heads that only a training of GoogLeNet and Inception has."""


def initialise(model: nn.Module, track: Track) -> None:
    """Load the track's pretrained weights into a freshly built model, if the track names any.

    A head for another number of classes stays as it was built.

    Raises:
        DataError: the file is missing, damaged, or has another digest than the track says.
        TrackError: the weights are those of another network.
    """
    if "pretrained" not in track.model:
        return
    path = _place(track)
    weights = _read(path, str(track.model["pretrained_sha256"]))
    own = model.state_dict()
    weights = state_dicts.without_prefixes(weights, own)
    weights = {name: t for name, t in weights.items() if name in own or not name.startswith(SIDE_HEADS)}
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    if wrong := sorted(own.keys() - counters - weights.keys()) or sorted(weights.keys() - own.keys()):
        which = "lack" if wrong[0] in own else "have"
        raise _another(track, path, f"they {which} {wrong[0]}" + (f" and {len(wrong) - 1} more" if wrong[1:] else ""))
    for name in (name for name in own if name in weights):
        shape = weights[name].shape
        if shape != own[name].shape and not _is_head(own[name], weights[name], track.data.classes):
            shapes = f"{list(shape)}, the track's network {list(own[name].shape)}"
            raise _another(track, path, f"{name} has shape {shapes}")
    fitting = {name: tensor for name, tensor in weights.items() if tensor.shape == own[name].shape}
    model.load_state_dict({**own, **fitting})


def _is_head(own: Tensor, pretrained: Tensor, classes: int) -> bool:
    return len(own) == classes and own.dim() == pretrained.dim() and own.shape[1:] == pretrained.shape[1:]


def _another(track: Track, path: Path, what: str) -> TrackError:
    return TrackError(
        f"track {track.name}: {path} has the weights of another network: {what}",
        "correct [model] in the track's file, or take weights of its network",
    )


def _place(track: Track) -> Path:
    """Return where the pretrained weights of a track are."""
    name = str(track.model["pretrained"])
    library, colon, tag = name.partition(":")
    if not colon:
        return Path(track.folder) / name
    network = str(track.model.get("name", "")).partition(":")[2] or str(track.model.get("name", ""))
    return _torchvision(network, tag) if library == "torchvision" else _timm(network, tag)


def _torchvision(network: str, tag: str) -> Path:
    """Return where torchvision keeps the weights of a tag, such as ``IMAGENET1K_V2``."""
    from torchvision import models

    try:
        weights = models.get_model_weights(network)[tag]
    except (ValueError, KeyError):
        what = f"torchvision has no weights {tag!r} for {network!r}"
        raise TrackError(what, "correct model.pretrained") from None
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    return _fetched(path, f"from torchvision.models import get_model; get_model('{network}', weights='{tag}')")


def _timm(network: str, tag: str) -> Path:
    """Return where timm keeps the weights of a tag, such as ``a1_in1k``."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    name = f"{network.partition('.')[0]}.{tag}"
    configuration = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if configuration is None or not configuration.hf_hub_id:
        raise TrackError(f"timm has no weights {tag!r} for {network!r}", "correct model.pretrained")
    for file in ("model.safetensors", "pytorch_model.bin"):
        if isinstance(path := try_to_load_from_cache(configuration.hf_hub_id, file), str):
            return Path(path)
    program = f"import timm; timm.create_model('{name}', pretrained=True)"
    raise DataError(
        f"the weights {tag} of {network} are not in the cache of timm", f'fetch them: python -c "{program}"'
    )


def _fetched(path: Path, program: str) -> Path:
    if not path.is_file():
        raise DataError(f"there are no pretrained weights at {path}", f'fetch them: python -c "{program}"')
    return path


@lru_cache(maxsize=1)
def _read(path: Path, sha256: str) -> Mapping[str, Tensor]:
    """Return the tensors of a file by their names, without running anything of it."""
    try:
        digest = file_digest(path)
    except OSError as error:
        what = f"there are no pretrained weights at {path}: {error.strerror}"
        raise DataError(what, "put the file there; model.pretrained names it relative to the track's file") from None
    if digest != sha256:
        what = f"{path} has SHA-256 {digest}, the track declares {sha256}"
        raise DataError(what, "get the original file again, or declare the new digest, which makes it another track")
    try:
        weights = state_dicts.read(path)
    except state_dicts.UnreadableWeights as error:
        raise DataError(error.what, error.remedy) from None
    if odd := [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]:
        raise DataError(f"{path}: {odd[0]} is not finite", "get the original file again")
    return weights
