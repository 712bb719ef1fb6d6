"""Tracks: data set × architecture × splits × recipe × protocol, declared in TOML, identified by three digests."""

from __future__ import annotations

import ast
import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.tracks import sealed
from unlearn_bench.harness.tracks.parsing import build
from unlearn_bench.harness.tracks.sealed import Secret

FOLDER = Path(__file__).parent / "catalogue"


@dataclass(frozen=True)
class Data:
    """The data set and how its images are presented (evaluation page, section 1)."""

    name: Literal["digits", "mnist", "fashionmnist", "cifar10", "cifar100", "utkface", "npz"]
    classes: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rotation_seed: int | None = None
    """Rotate every image once, by an angle in ±180° drawn from this seed (digits only)."""
    path: str | None = None
    """File of a user's own data set, relative to the data folder (npz only)."""
    sha256: str | None = None
    """Of images and labels as used; checked whenever the data is loaded."""
    superclasses: tuple[int, ...] = ()
    """The class of the track that each of the data set's own classes is part of; default: they are the same."""

    @property
    def own_classes(self) -> int:
        """Classes of the data set, of which ``superclasses`` make fewer."""
        return len(self.superclasses) or self.classes


@dataclass(frozen=True)
class Splits:
    """Which examples are retained, forgotten, validated and tested on."""

    rule: Literal["paper", "per-seed", "fixed"]
    """``paper``: the data set's own test part. ``per-seed``: all drawn anew for every seed. ``fixed``: drawn once."""
    seed: int
    retain: int
    forget: int
    val: int
    test: int
    forget_rule: Literal["random", "class", "highest"] = "random"
    """Which of R ∪ F are F. ``class``: all of ``forget_classes``. ``highest``: those with the highest ``values``."""
    forget_classes: tuple[int, ...] = ()
    """Of the data set's own ones: with ``data.superclasses`` a part of a class is forgotten."""
    values: str | None = None
    """File with a number per example of the data set (.npy), shipped beside the tracks or in the data folder."""
    values_sha256: str | None = None
    groups: str | None = None
    """File with an integer per example of the data set (.npy), where ``values`` may lie, too: examples with the same
    number, such as near-duplicates, lie in one of R, F, V and T."""
    groups_sha256: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How originals and retrained models are trained."""

    epochs: int
    batch_size: int
    lr: float
    schedule: Literal["one-cycle", "cosine"]
    seed: int
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop: int = 0
    """Padding in pixels of the random crop; 0 means none."""
    flip: bool = False
    weights: Literal["float32", "float16"] = "float32"
    """Precision the originals are rounded to before any use."""
    shadow_epochs: int | None = None
    """Epochs of the shadow models, where they are not ``epochs``."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of forward and backward pass. ``bfloat16`` allows mixed precision by autocast (weights and optimizer in float32)
    where the device computes in it, float32 elsewhere; every model's entry in the manifest says which it was."""


@dataclass(frozen=True)
class Protocol:
    """How a unit is run: roles, loaders and limits."""

    seeds: int
    seed: int
    """From which the seeds of the units are derived."""
    batch_size: int = 64
    deadline_floor: float = 60.0
    """Seconds; the deadline is the larger of this and ``deadline_factor`` × Retrain's time."""
    deadline_factor: float = 2.0
    memory_mib: int = 4096
    processes: int = 256
    lira_splits: int = 0
    """Half-splits of U-LiRA's shadow models, in complementary pairs."""
    lira_forget_sets: int = 0
    """Forget sets that partition the half of each shadow split."""
    requests: int = 1
    """F is deleted in this many requests of one size, one after the other (sequential deletion)."""
    contract: int = 1
    """Version of the submission contract."""


@dataclass(frozen=True)
class Analysis:
    """What is computed from stored logits, and the tuning budget; changing it orphans no unit."""

    umia_seed: int = 0
    max_epochs: int = 10
    """Upper end of the search for a method's epochs."""
    trials: int = 100
    tuning_seeds: int = 3
    title: str = ""


@dataclass(frozen=True)
class Sealed:
    """In the place of the seeds of a track whose secret is kept elsewhere (``harness.tracks.sealed``)."""

    commitment: str
    """What the secret must hash to, as 64 hexadecimal digits."""
    quota: int = 0
    """How many different sources of one entry are scored; 0: any number."""


@dataclass(frozen=True)
class Track:
    """One track. ``model`` is the architecture's specification, see ``sandbox.inside.models``."""

    name: str
    data: Data
    splits: Splits
    model: Mapping[str, Any]
    recipe: Recipe
    protocol: Protocol
    analysis: Analysis = field(default_factory=Analysis)
    sealed: Sealed | None = None
    salt: str = field(default="", repr=False, metadata={"secret": True})
    """Of a sealed track; without it, seeds could be guessed from the digests."""

    @cached_property
    def reference_digest(self) -> str:
        """Identifies the reference models: data, splits, architecture, recipe."""
        return self._digest(
            {
                "data": _declared(self.data),
                "splits": _declared(self.splits),
                "model": dict(self.model),
                "recipe": _declared(self.recipe),
            }
        )

    @cached_property
    def protocol_digest(self) -> str:
        """Identifies how units are run: roles, loaders, limits, contract."""
        return self._digest(_declared(self.protocol))

    @cached_property
    def analysis_digest(self) -> str:
        """Identifies what is computed from the logits."""
        return self._digest(_declared(self.analysis))

    def _digest(self, content: dict[str, Any]) -> str:
        return digest({**content, "salt": self.salt} if self.sealed else content)

    @property
    def model_spec(self) -> dict[str, Any]:
        """The full specification for ``sandbox.inside.models.build``."""
        return {"classes": self.data.classes, "image_size": self.data.image_size, **self.model}


def _declared(table: Any) -> dict[str, Any]:
    """What differs from the defaults: a later version may add a key without changing the digests of old tracks."""
    return {f.name: getattr(table, f.name) for f in dataclasses.fields(table) if getattr(table, f.name) != f.default}


def names() -> list[str]:
    """Names of the tracks that ship with the benchmark."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str, secret: Path | None = None) -> Track:
    """Load a shipped track by name, or any track by the path of its TOML file.

    Args:
        name: of a shipped track, or the path of a TOML file.
        secret: of a sealed track, a file or a folder with NAME.toml; default: ``BENCH_SECRETS``.

    Raises:
        TrackError: unknown name, or a file that is not a valid track; names the file, the key and what is allowed.
            A sealed track without its secret.
    """
    table, path = read(name)
    commitment = commitment_of(table, path)
    return parse(table, path, None if commitment is None else sealed.find(path.stem, commitment, secret))


def read(name: str) -> tuple[dict[str, Any], Path]:
    """What a track's file says, on top of what it ``extends``, and which file that is.

    Errors as :func:`load`, but for the content.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    table = _read(path, name)
    seen = [path.resolve()]
    while "extends" in table:
        base = table.pop("extends")
        if not isinstance(base, str):
            raise TrackError(f"{path}: extends is {base!r}; allowed: a track's name, or a .toml file", "mend the file")
        below = seen[-1].parent / base if base.endswith(".toml") else FOLDER / f"{base}.toml"
        if below.resolve() in seen:
            raise TrackError(f"{path} extends itself", "mend the file")
        seen.append(below.resolve())
        table = _over(_read(below, base), table)
    return table, path


def _read(path: Path, name: str) -> dict[str, Any]:
    if not path.is_file():
        raise TrackError(f"there is no track {name!r}", f"use one of {', '.join(names())}, or the path of a .toml file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrackError(f"{path}: not TOML: {error}", "mend the file") from None


def _over(base: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """``table`` on top of ``base``, key by key; another model replaces the base's as a whole."""
    merged = {**base, **table}
    for key, below in base.items():
        above = table.get(key)
        if isinstance(below, Mapping) and isinstance(above, Mapping) and not (key == "model" and "name" in above):
            merged[key] = {**below, **above}
    return merged


def parse(table: Mapping[str, Any], path: Path, secret: Secret | None = None) -> Track:
    """Build a track from the content of a TOML file, naming file, key and allowed values in every complaint.

    ``secret``: of a sealed track; looked for where none is given.
    """
    if (commitment := commitment_of(table, path)) is not None:
        secret = secret or sealed.find(path.stem, commitment)
        table = sealed.filled(table, secret, path)
    track = build(Track, {"name": path.stem, **table}, path, "")
    if track.sealed and secret:
        track = dataclasses.replace(track, salt=secret.salt)
    for problem in _contradictions(track):
        raise TrackError(f"{path}: {problem}", "mend the file")
    return track


def commitment_of(table: Mapping[str, Any], path: Path) -> str | None:
    """What a sealed track commits to; ``None`` of any other."""
    return build(Sealed, table["sealed"], path, "sealed").commitment if "sealed" in table else None


def _contradictions(track: Track) -> Iterator[str]:
    name, arguments = track.model.get("name"), architectures()
    if name not in arguments:
        yield f"model.name is {name!r}; allowed: {', '.join(arguments)}"
    else:
        allowed = [a for a in arguments[name] if a not in ("classes", "image_size")]
        for key in sorted(set(track.model) - {"name", *allowed}):
            yield f"model.{key} is not a key; allowed with {name!r}: {', '.join(allowed)}"
    if len(track.data.mean) != len(track.data.std):
        yield "data.mean and data.std have different lengths"
    if track.data.classes < 2:
        yield f"data.classes is {track.data.classes}; allowed: 2 or more"
    for key in ("retain", "forget", "val", "test"):
        if getattr(track.splits, key) < 1:
            yield f"splits.{key} is {getattr(track.splits, key)}; allowed: 1 or more"
    if track.data.superclasses and set(track.data.superclasses) != set(range(track.data.classes)):
        yield f"data.superclasses must have every class of 0 … {track.data.classes - 1}, and no other"
    yield from _forgetting(track.splits, track.data.own_classes)
    splits, sets = track.protocol.lira_splits, track.protocol.lira_forget_sets
    if splits % 2 or splits == 2 or splits < 0 or (splits and sets < 2):
        yield f"protocol.lira_splits is {splits}, lira_forget_sets {sets}; allowed: 0, or even from 4 on with 2 or more"
    if track.sealed and track.sealed.quota < 0:
        yield f"sealed.quota is {track.sealed.quota}; allowed: 0 (no limit) or more"
    if not 1 <= track.protocol.requests <= track.splits.forget:
        yield f"protocol.requests is {track.protocol.requests}; allowed: 1 … {track.splits.forget}, splits.forget"
    if track.protocol.seeds < 1:
        yield f"protocol.seeds is {track.protocol.seeds}; allowed: 1 or more"
    if track.data.name == "npz" and (track.data.path is None or track.data.sha256 is None):
        yield "data.path and data.sha256 are needed with data.name = 'npz'"


def _forgetting(splits: Splits, classes: int) -> Iterator[str]:
    if (splits.forget_rule == "class") != bool(splits.forget_classes):
        yield "splits.forget_classes goes with forget_rule = 'class', and it with them"
    for one in splits.forget_classes:
        if not 0 <= one < classes:
            yield f"splits.forget_classes has {one}; allowed: 0 … {classes - 1}"
    if any((splits.forget_rule == "highest") != (key is not None) for key in (splits.values, splits.values_sha256)):
        yield "splits.values and splits.values_sha256 go with forget_rule = 'highest', and it with them"
    if (splits.groups is None) != (splits.groups_sha256 is None):
        yield "splits.groups and splits.groups_sha256 go together"
    if splits.groups is not None and (splits.rule == "paper" or splits.forget_rule != "random"):
        yield "splits.groups goes with rule = 'per-seed' or 'fixed', and with forget_rule = 'random'"


@cache
def architectures() -> dict[str, tuple[str, ...]]:
    """Names and arguments of the architectures, read from their source so that torch need not be imported."""
    source = Path(__file__).parents[2] / "sandbox" / "inside" / "models.py"
    functions = [
        node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    return {f.name: tuple(a.arg for a in f.args.kwonlyargs) for f in functions if f.args.kwonlyargs}
