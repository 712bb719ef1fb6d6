"""Checkpoints that other programs wrote: which file is which model, and whether it is one of the track's network.

They are checked like the weights that come from a sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_bench.harness.references import state_dicts
from unlearn_bench.harness.support.errors import USAGE, BenchError, TrackError
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.sandbox.text import one_line
from unlearn_bench.sandbox.weights import InvalidWeights, check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from unlearn_bench.sandbox.inside.models import SafetensorsLayout

PYTORCH = (".pt", ".pth", ".ckpt", ".bin", ".tar")
ENDINGS = (".safetensors", *PYTORCH)
"""Endings of the files that are taken for checkpoints."""
SEED = re.compile(r"seed[-_ ]?(\d+)", re.IGNORECASE)


def by_seed(folder: Path, seeds: int, *, all_seeds: bool = True) -> dict[int, Path]:
    """Return the checkpoints of a folder by model seed: the number after ``seed``, or the last one, in a file's name.

    Raises:
        BenchError: there is no such folder, a name has no number or that of no seed, two files have the same one, or
            the file of a seed is missing and ``all_seeds`` are needed.
    """
    files: dict[int, Path] = {}
    for path in _checkpoints(folder):
        numbers = SEED.findall(path.stem) or re.findall(r"\d+", path.stem)
        seed = int(numbers[-1]) if numbers else 0 if seeds == 1 else -1
        if not 0 <= seed < seeds:
            raise _wrong(f"{path} names no model seed", f"name files by their seed, 0 to {seeds - 1}, such as 0.pt")
        if seed in files:
            raise _wrong(f"{files[seed]} and {path} are both of seed {seed}", "keep one file of each seed there")
        files[seed] = path
    absent = [seed for seed in range(seeds) if seed not in files]
    if absent and all_seeds:
        raise _wrong(f"{folder} has no checkpoint of seed {absent[0]}", f"the track has seeds 0 to {seeds - 1}")
    return dict(sorted(files.items()))


def by_shadow_split(folder: Path, splits: int, forget_sets: int) -> dict[tuple[int, int | None], Path]:
    """Return the checkpoints of a folder by shadow split and forget set; ``None`` stands for the split's original.

    The name of an original ends with the number of the split, that of a retrained model with split and forget set:
    ``3.pt``, ``3-0.pt``.

    Raises:
        BenchError: there is no such folder, a name does not end so, two files have the same one, or one is missing.
    """
    files: dict[tuple[int, int | None], Path] = {}
    expected = [(split, number) for split in range(splits) for number in (None, *range(forget_sets))]
    for path in _checkpoints(folder):
        numbers = re.search(r"(\d+)(?:[-_](\d+))?$", path.stem)
        name = numbers and (int(numbers[1]), None if numbers[2] is None else int(numbers[2]))
        if name not in expected:
            remedy = f"end names with the split, 0 to {splits - 1}, or split and forget set, such as 3.pt and 3-0.pt"
            raise _wrong(f"{path} names no shadow model", remedy)
        if name in files:
            raise _wrong(f"{files[name]} and {path} are the same shadow model", "keep one of them there")
        files[name] = path
    if absent := [name for name in expected if name not in files]:
        split, number = absent[0]
        which = f"the original of split {split}" if number is None else f"split {split} without forget set {number}"
        raise _wrong(f"{folder} has {len(files)} of {len(expected)} shadow models; missing: {which}", "add it")
    return files


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise _wrong(f"there is no folder {folder}", "name the folder of the checkpoints")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file())
    if not paths:
        raise _wrong(f"{folder} has no checkpoints", f"their names end with {', '.join(ENDINGS)}")
    return paths


def network_layout(track: Track) -> SafetensorsLayout:
    """Return names, types and shapes of the tensors of the track's network.

    Raises:
        TrackError: the network cannot be built.
    """
    from unlearn_bench.sandbox.inside import models

    try:
        return models.layout(track.model_spec)
    except models.NetworkError as error:
        raise TrackError(f"track {track.name}: {error}", "correct [model] in the track's file") from None


def read(path: Path, layout: SafetensorsLayout) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a checkpoint by the names of the track's network, floating-point ones as float32.

    Raises:
        BenchError: the file cannot be read without running code, belongs to another network, or has values that are
            not finite.
    """
    from safetensors.torch import save

    try:
        state = _renamed(path, state_dicts.read(path), layout)
    except state_dicts.UnreadableWeights as error:
        raise _wrong(error.what, error.remedy) from None
    try:
        return check(save({name: _cast(tensor, layout[name][0]) for name, tensor in state.items()}), layout)
    except InvalidWeights as error:
        raise _wrong(f"{path}: {error}", "leave out models that diverged, or correct [model] in the track") from None


def _renamed(path: Path, state: Mapping[str, Tensor], layout: SafetensorsLayout) -> dict[str, Tensor]:
    """Return tensors under the network's own names, with the counters that old batch norms do not have."""
    import torch

    renamed = state_dicts.without_prefixes(state, layout)
    for name in layout.keys() - renamed.keys():
        if name.endswith(".num_batches_tracked"):
            renamed[name] = torch.zeros((), dtype=torch.int64)
    _check_names(path, renamed, layout)
    return renamed


def _check_names(path: Path, state: Mapping[str, Tensor], layout: SafetensorsLayout) -> None:
    remedy = "import checkpoints of the network that the track declares, or correct [model] in the track"
    differences = []
    if missing := [name for name in layout if name not in state]:
        differences.append(f"has no {missing[0]}{_more(missing)}")
    if unexpected := [name for name in state if name not in layout]:
        differences.append(f"has {one_line(unexpected[0], 80)}{_more(unexpected)}, which the network does not")
    if differences:
        raise _wrong(f"{path} is of another network: it {' and '.join(differences)}", remedy)
    shapes = [name for name, (_, shape) in layout.items() if tuple(state[name].shape) != shape]
    if shapes:
        name = shapes[0]
        what = f"{name} has shape {list(state[name].shape)}, the track's network {list(layout[name][1])}"
        raise _wrong(f"{path} is of another network: {what}{_more(shapes)}", remedy)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _cast(tensor: Tensor, word: str) -> Tensor:
    import torch

    dtypes = {"F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool}
    return tensor.detach().to(dtypes[word]).contiguous()


def _wrong(what: str, remedy: str) -> BenchError:
    return BenchError(what, "your command", remedy, USAGE)
