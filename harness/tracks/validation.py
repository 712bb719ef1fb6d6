"""Checks of keys that are each valid and contradict one another."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from unlearn_bench import plugins
from unlearn_bench.harness.tracks.specification import (
    PRETRAINED,
    Corruption,
    Data,
    ProbeSettings,
    Recipe,
    Splits,
    Track,
)

LIBRARIES = ("torchvision", "timm")
"""Libraries whose image classifiers a track can name."""
DATA_LIBRARIES = ("torchvision", "hf")
"""Libraries whose data sets a track can name; ``hf`` is Hugging Face's ``datasets``."""


def contradictions(track: Track) -> Iterator[str]:
    """Yield every contradiction in a track, as a clause that names the key and what is allowed."""
    yield from _data(track.data)
    yield from _model(track.model)
    yield from _recipe(track.recipe)
    if track.recipe.randaugment and (len(track.data.mean) not in (1, 3) or track.data.image_size < 3):
        yield "recipe.randaugment needs grey images or such of three channels, of 3 pixels or more"
    for key in ("retain", "forget", "val", "test"):
        if getattr(track.splits, key) < 1:
            yield f"splits.{key} is {getattr(track.splits, key)}; allowed: 1 or more"
    yield from _forgetting(track.splits, track.data.own_classes)
    if track.data.corruption is not None:
        yield from _corruption(track.data.corruption, track.data)
        yield from _corrupted_track(track, track.data.corruption)
    if track.sealed and track.splits.rule == "file":
        yield "splits.rule is 'file'; a sealed track draws its splits from its secret: 'paper', 'per-seed', 'fixed'"
    splits, forget_sets = track.protocol.lira_splits, track.protocol.lira_forget_sets
    if splits % 2 or splits == 2 or splits < 0 or (splits and forget_sets < 2):
        yield (
            f"protocol.lira_splits is {splits}, lira_forget_sets {forget_sets}; "
            "allowed: 0, or even from 4 on with 2 or more"
        )
    if splits:
        yield from _shadow_size(track)
    if track.sealed and track.sealed.quota < 0:
        yield f"sealed.quota is {track.sealed.quota}; allowed: 0 (no limit) or more"
    if not 1 <= track.protocol.requests <= track.splits.forget:
        yield f"protocol.requests is {track.protocol.requests}; allowed: 1 … {track.splits.forget}, splits.forget"
    yield from _access(track)
    if track.protocol.seeds < 1:
        yield f"protocol.seeds is {track.protocol.seeds}; allowed: 1 or more"
    yield from _probes(track.analysis.probes)
    if track.competition is not None:
        yield from track.competition.contradictions()


def _shadow_size(track: Track) -> Iterator[str]:
    splits, forget_sets = track.splits, track.protocol.lira_forget_sets
    if splits.shadow_size == "half":
        return
    if forget_sets * splits.forget != splits.retain + splits.forget:
        yield (
            f"protocol.lira_forget_sets is {forget_sets}; with splits.shadow_size = 'original' F fits into R ∪ F "
            f"so many times, a whole number: here {(splits.retain + splits.forget) / splits.forget:g} times"
        )
    if splits.groups is not None:
        yield "splits.shadow_size is 'original'; with splits.groups only 'half' is allowed"


def _access(track: Track) -> Iterator[str]:
    protocol, splits = track.protocol, track.splits
    n, most = protocol.retain_per_class, min(splits.retain, splits.val)
    if protocol.access != "few-shot-retain" and n:
        yield f"protocol.retain_per_class is {n}; it goes with access = 'few-shot-retain', not {protocol.access!r}"
    if protocol.access == "few-shot-retain" and not 1 <= n <= most:
        yield (
            f"protocol.retain_per_class is {n}; allowed with access = 'few-shot-retain': 1 … {most}, the smaller of "
            "splits.retain and splits.val"
        )
    if protocol.access == "no-forget-images" and protocol.requests > 1:
        yield (
            f"protocol.requests is {protocol.requests}; allowed with access = 'no-forget-images': 1, since R holds the "
            "images of later requests"
        )


def _model(model: Mapping[str, Any]) -> Iterator[str]:
    """Check what can be checked without torch; ``sandbox.inside.networks`` checks the rest when it builds one."""
    name, arguments = model.get("name"), architectures()
    yield from _pretrained(model)
    if "file" in model:
        if name is not None:
            yield "model.name and model.file exclude each other"
        if not isinstance(model["file"], str) or not isinstance(model.get("sha256"), str):
            yield "model.file is the name of a Python file, and model.sha256 goes with it (see sha256sum)"
        if not set(model.get("needs", ())) <= {"torchvision", "timm"}:
            yield f"model.needs is {model['needs']!r}; allowed: a list of 'torchvision' and 'timm'"
    elif isinstance(name, str) and name.partition(":")[0] in LIBRARIES and name.partition(":")[2]:
        return
    elif name in plugins.names("architectures"):
        if not isinstance(model.get("sha256"), str):
            yield f"model.sha256 goes with {name!r} of an installed package: the SHA-256 of its file"
    elif name not in arguments:
        yield (
            f"model.name is {name!r}; allowed: {', '.join(map(repr, arguments))}, 'torchvision:NAME', 'timm:NAME', "
            "or model.file, a Python file of your own with build(classes, channels, image_size)"
        )
    else:
        allowed = [a for a in arguments[name] if a not in ("classes", "image_size")]
        for key in sorted(set(model) - {"name", *PRETRAINED, *allowed}):
            yield f"model.{key} is not a key; allowed with {name!r}: {', '.join(allowed)}"


def _pretrained(model: Mapping[str, Any]) -> Iterator[str]:
    source, digest = (model.get(key) for key in PRETRAINED)
    if source is None and digest is None:
        return
    if not isinstance(source, str) or not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        yield "model.pretrained names a file of weights, and model.pretrained_sha256 its digest (see sha256sum)"
    elif ":" in source:
        library = str(model.get("name", "")).partition(":")[0]
        if source.partition(":")[0] not in LIBRARIES or library not in (source.partition(":")[0], "resnet18"):
            yield (
                f"model.pretrained is {source!r}; allowed: a file, or 'torchvision:TAG' or 'timm:TAG' for a network of "
                "the same library"
            )


def _recipe(recipe: Recipe) -> Iterator[str]:
    if recipe.warmup < 0 or (recipe.warmup and recipe.schedule != "cosine"):
        yield f"recipe.warmup is {recipe.warmup}; allowed: 0 or more epochs, with schedule = 'cosine'"
    if recipe.nesterov and (recipe.optimizer != "sgd" or not recipe.momentum):
        yield "recipe.nesterov goes with optimizer = 'sgd' and a momentum"
    if not 0 <= recipe.label_smoothing < 1:
        yield f"recipe.label_smoothing is {recipe.label_smoothing}; allowed: 0 up to less than 1"
    if recipe.clip is not None and recipe.clip <= 0:
        yield f"recipe.clip is {recipe.clip}; allowed: more than 0"
    if not 0 <= recipe.random_resized_crop <= 1:
        yield f"recipe.random_resized_crop is {recipe.random_resized_crop}; allowed: a share of the area, up to 1"
    if recipe.random_resized_crop and recipe.crop:
        yield "recipe.crop and recipe.random_resized_crop exclude each other"
    if not 0 <= recipe.randaugment <= 30:
        yield f"recipe.randaugment is {recipe.randaugment}; allowed: a magnitude of 1 … 30, or 0"
    if recipe.mixup < 0:
        yield f"recipe.mixup is {recipe.mixup}; allowed: 0 or more"


def _data(data: Data) -> Iterator[str]:
    if data.is_file and (Path(data.name).is_absolute() or ".." in Path(data.name).parts):
        yield f"data.name is {data.name!r}; allowed: a file in the data folder (BENCH_DATA), named relative to it"
    from_library = data.library in DATA_LIBRARIES and data.name != f"{data.library}:"
    if data.name in plugins.names("datasets"):
        if data.sha256 is None:
            yield f"data.sha256 is needed with data.name = {data.name!r}, a data set of an installed package"
    elif not data.is_file and not from_library and data.name not in datasets():
        yield (
            f"data.name is {data.name!r}; allowed: {', '.join(map(repr, datasets()))}, 'torchvision:NAME', 'hf:NAME', "
            "or a file of your own, NAME.py in the data folder (BENCH_DATA) with data.code_sha256; to add one to the "
            "benchmark, put NAME.py into harness/data/datasets"
        )
    if data.is_file != (data.code_sha256 is not None):
        yield "data.code_sha256 goes with a file of your own as data.name (see sha256sum), and it with that"
    if data.name in ("npz", "imagefolder") and (data.path is None or data.sha256 is None):
        yield f"data.path and data.sha256 are needed with data.name = {data.name!r}"
    if from_library and data.sha256 is None:
        yield f"data.sha256 is needed with data.name = {data.name!r}; `bench tracks new` computes it"
    if not from_library and (data.parts or data.arguments is not None):
        yield "data.parts and data.arguments go with data.name = 'torchvision:NAME' or 'hf:NAME'"
    if (from_library or data.name == "imagefolder") and len(data.mean) not in (1, 3):
        yield f"data.mean has {len(data.mean)} values; allowed: 1 for grey pictures, 3 for colour"
    if len(data.mean) != len(data.std):
        yield "data.mean and data.std have different lengths"
    if data.classes < 2:
        yield f"data.classes is {data.classes}; allowed: 2 or more"
    if data.superclasses and set(data.superclasses) != set(range(data.classes)):
        yield f"data.superclasses must have every class of 0 … {data.classes - 1}, and no other"


def _forgetting(splits: Splits, classes: int) -> Iterator[str]:
    if (splits.forget_rule == "class") != bool(splits.forget_classes):
        yield "splits.forget_classes goes with forget_rule = 'class', and it with them"
    for label in splits.forget_classes:
        if not 0 <= label < classes:
            yield f"splits.forget_classes has {label}; allowed: 0 … {classes - 1}"
    if any((splits.forget_rule == "highest") != (key is not None) for key in (splits.values, splits.values_sha256)):
        yield "splits.values and splits.values_sha256 go with forget_rule = 'highest', and it with them"
    if (splits.groups is None) != (splits.groups_sha256 is None):
        yield "splits.groups and splits.groups_sha256 go together"
    if any((splits.rule == "file") != (key is not None) for key in (splits.indices, splits.indices_sha256)):
        yield "splits.indices and splits.indices_sha256 go with rule = 'file', and it with them"
    if splits.rule == "file" and splits.forget_rule != "random":
        yield f"splits.forget_rule is {splits.forget_rule!r}; with rule = 'file' F is what the file says: leave it out"
    if splits.groups is not None and (splits.rule in ("paper", "file") or splits.forget_rule != "random"):
        yield "splits.groups goes with rule = 'per-seed' or 'fixed', and with forget_rule = 'random'"


def _probes(settings: ProbeSettings) -> Iterator[str]:
    least = {"relearning_steps": 1, "few_shot_examples": 1, "few_shot_draws": 1, "few_shot_steps": 1, "examples": 2}
    for key, allowed in {**least, "neighbours": 1, "points": 3}.items():
        if getattr(settings, key) < allowed:
            yield f"analysis.probes.{key} is {getattr(settings, key)}; allowed: {allowed} or more"
    for key in ("rate", "penalty"):
        if not 0 < getattr(settings, key) < math.inf:
            yield f"analysis.probes.{key} is {getattr(settings, key)}; allowed: more than 0"
    if not all(0 < size < math.inf for size in settings.noise):
        yield f"analysis.probes.noise is {list(settings.noise)}; allowed: standard deviations above 0"
    if not 1 <= settings.noise_draws <= 255:
        yield f"analysis.probes.noise_draws is {settings.noise_draws}; allowed: 1 … 255"
    if not all(2 <= bits <= 16 for bits in settings.bits):
        yield f"analysis.probes.bits is {list(settings.bits)}; allowed: 2 … 16"


def _corruption(corruption: Corruption, data: Data) -> Iterator[str]:
    """Check the table ``[data.corruption]`` by itself."""
    for key in ("rate", "identified"):
        if not 0 < getattr(corruption, key) <= 1:
            yield f"data.corruption.{key} is {getattr(corruption, key)}; allowed: more than 0, up to 1"
    if corruption.seed < 0:
        yield f"data.corruption.seed is {corruption.seed}; allowed: 0 or more"
    every_class = f"0 … {data.classes - 1}"
    confused = corruption.kind == "confusion"
    if confused and (len(corruption.classes) != 2 or len(set(corruption.classes)) != 2):
        yield f"data.corruption.classes is {list(corruption.classes)}; allowed: two different classes of {every_class}"
    if corruption.classes and not confused:
        yield f"data.corruption.classes goes with kind = 'confusion', not with {corruption.kind!r}"
    for label in corruption.classes:
        if not 0 <= label < data.classes:
            yield f"data.corruption.classes has {label}; allowed: {every_class}"
    if corruption.kind == "backdoor":
        yield from _trigger(corruption, data)
    else:
        for key in ("trigger", "size", "strength", "target"):
            if getattr(corruption, key) is not None:
                yield f"data.corruption.{key} goes with kind = 'backdoor', not with {corruption.kind!r}"


def _trigger(corruption: Corruption, data: Data) -> Iterator[str]:
    if corruption.target is None or not 0 <= corruption.target < data.classes:
        yield f"data.corruption.target is {corruption.target}; allowed with a backdoor: 0 … {data.classes - 1}"
    if corruption.trigger is None:
        yield "data.corruption.trigger is missing; allowed with a backdoor: 'patch', 'blend'"
    for key, trigger in (("size", "patch"), ("strength", "blend")):
        if (getattr(corruption, key) is not None) != (corruption.trigger == trigger):
            yield f"data.corruption.{key} goes with trigger = {trigger!r}, and it with that"
    if corruption.size is not None and not 1 <= corruption.size < data.image_size:
        yield (
            f"data.corruption.size is {corruption.size}; allowed: 1 … {data.image_size - 1} pixels, so that something "
            "of the image is left"
        )
    if corruption.strength is not None and not 0 < corruption.strength < 1:
        yield f"data.corruption.strength is {corruption.strength}; allowed: between 0 and 1"


def _corrupted_track(track: Track, corruption: Corruption) -> Iterator[str]:
    """Check what goes with corrupted data: F is its identified part, and nothing else decides what F is."""
    splits = track.splits
    population = splits.retain + splits.forget
    identified = corruption.identified_count(population)
    if identified < 1:
        yield (
            f"data.corruption identifies none of the {corruption.count(population)} corrupted examples, and F is what "
            "it identifies: raise rate or identified"
        )
    elif splits.forget != identified:
        yield (
            f"splits.forget is {splits.forget}; with data.corruption F is its identified part: of {population} "
            f"examples forget = {identified}, retain = {population - identified}"
        )
    if splits.forget_rule != "random":
        yield f"splits.forget_rule is {splits.forget_rule!r}; with data.corruption F is its identified part: leave out"
    if splits.rule == "file":
        yield "splits.rule is 'file'; with data.corruption F is its identified part: 'paper', 'per-seed', 'fixed'"
    if splits.groups is not None:
        yield "splits.groups and data.corruption exclude each other: of a group only some examples are corrupted"
    if track.data.superclasses:
        yield "data.superclasses and data.corruption exclude each other"
    if track.sealed:
        yield "a sealed track cannot have data.corruption, whose seed everybody sees"
    if track.protocol.lira_splits:
        yield (
            f"protocol.lira_splits is {track.protocol.lira_splits}; with data.corruption it must be 0: the forget sets "
            "of shadow models are drawn at random, F is not"
        )


@cache
def datasets() -> tuple[str, ...]:
    """Return the names of the data sets that the benchmark knows, which are files, without importing one."""
    folder = Path(__file__).parents[1] / "data" / "datasets"
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")))


@cache
def architectures() -> dict[str, tuple[str, ...]]:
    """Return names and arguments of the architectures, read from their source so that torch need not be imported."""
    source = Path(__file__).parents[2] / "sandbox" / "inside" / "models.py"
    functions = [
        node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    registered = [f for f in functions if any(_calls(d, "architecture") for d in f.decorator_list)]
    return {f.name: tuple(a.arg for a in f.args.kwonlyargs) for f in registered}


def _calls(decorator: ast.expr, name: str) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == name
