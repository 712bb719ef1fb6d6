"""Entries: a Python file with ``unlearn``, or a package of several, read as data and never imported by the host."""

from __future__ import annotations

import hashlib
import json
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from unlearn_bench import plugins
from unlearn_bench.harness.entries import declarations, inspection, package, source_text, values
from unlearn_bench.harness.entries.faults import Fault
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.names import did_you_mean
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.sandbox.text import one_line

BASELINES = Path(__file__).parents[2] / "baselines"
SIZE = 64 * 1024
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

EntryKind = Literal["baseline", "variant", "reference", "entry"]
ORACLE_FREE = ".oracle-free"
"""Ending of the name of a variant: a shipped method whose hyper-parameters no retrained model has seen."""


class InvalidEntry(BenchError):
    """An entry that breaks the contract; nothing of it was run."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(one_line(what, 400), "your method", one_line(remedy), EXIT_CODES["invalid"])


@dataclass(frozen=True)
class Entry:
    """A method as it is run: source and the parameters that differ from its defaults."""

    name: str
    source: bytes = field(repr=False)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    search_space: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    notes: tuple[str, ...] = ()
    """What a reviewer should look at, in printable ASCII."""
    requirements: tuple[str, ...] = ()
    """Packages from an index that it needs beyond those of the image, as its metadata block names them."""
    syntax: str = ""
    """SHA-256 of the syntax tree without docstrings; empty if the tree is too deep to hash."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the source."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def is_package(self) -> bool:
        """Whether it has several files."""
        return package.is_bundle(self.source)

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """The files of a package by path, ``__init__.py`` first; of a single file, that under this name."""
        return package.files_of(self.source)

    @property
    def id(self) -> str:
        """Digest of source and parameters."""
        return digest({"source": self.sha256, "parameters": dict(self.overrides)})

    @property
    def title(self) -> str:
        """Title from the metadata, else the name."""
        return str(self.metadata.get("title") or self.name)

    @property
    def kind(self) -> EntryKind:
        """Kind of entry; a shipped file is recognised by its content, not by its name."""
        if self.sha256 not in shipped_digests():
            return "entry"
        if self.metadata.get("kind") == "reference":
            return "reference"
        return "variant" if self.name.endswith(ORACLE_FREE) else "baseline"

    def with_parameters(self, overrides: Mapping[str, Any]) -> Entry:
        """Return the same source with other hyper-parameters.

        Raises:
            InvalidEntry: ``unlearn`` does not take one of them, or a value is none that can be kept.
        """
        for name, value in overrides.items():
            if name not in self.defaults:
                raise InvalidEntry(
                    f"{self.name}: unlearn takes no parameter {name!r}",
                    f"{did_you_mean(name, self.defaults)}it takes {', '.join(self.defaults) or 'no hyper-parameters'}",
                )
            if why := values.fault(value):
                raise InvalidEntry(f"{self.name}: the value of {name} {why}", values.REMEDY)
        nondefault = {k: v for k, v in {**self.overrides, **overrides}.items() if self.defaults.get(k) != v}
        return replace(self, overrides=nondefault)


def read(path: Path, trusted: bool = False) -> Entry:
    """Read and check an entry: a regular file of at most 64 KiB of UTF-8 that parses and defines ``unlearn``.

    A folder of at most 256 KiB with ``__init__.py``, or its bundle, is a package. ``trusted``: parse it in this
    process, without limits.

    Raises:
        InvalidEntry: the file breaks the contract; the message gives the first violation and its remedy.
        BenchError: there is no such file (exit code 2).
    """
    if not path.is_symlink() and not path.exists():
        similar = did_you_mean(path.name, [each.name for each in path.parent.glob("*.py")])
        raise BenchError(f"there is no file {path}", "your command", f"{similar}`bench init {path}` makes one", 2)
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InvalidEntry(f"{path} is not a regular file", "send in one Python file or a folder of them, no link")
    name = path.absolute().name if stat.S_ISDIR(mode) else path.stem
    if not NAME.fullmatch(name):
        raise InvalidEntry(f"{name!r} cannot be an entry's name", "use letters, digits, _, - and ., 64 at most")
    if stat.S_ISDIR(mode):
        try:
            return from_source(name, package.read_folder(path), trusted)
        except Fault as error:
            raise InvalidEntry(f"{path}: {error.what}", error.remedy) from None
    with path.open("rb") as file:
        source = file.read(package.SIZE + 1)
    if (size := path.lstat().st_size) > (limit := largest(source)):
        raise InvalidEntry(
            f"{path} has {size:,} bytes, more than {limit:,}", "shorten the file; weights cannot be sent"
        )
    return from_source(name, source, trusted)


def from_source(name: str, source: bytes, trusted: bool = False) -> Entry:
    """Check an entry like :func:`read`, from a source that is already in memory."""
    limit = largest(source)
    if len(source) > limit:
        raise InvalidEntry(f"{name} has more than {limit:,} bytes", "shorten it; weights cannot be sent")
    try:
        texts = {path: _text(path, content) for path, content in package.files_of(source).items()}
        report = inspection.inspect(texts) if trusted else _inspect_in_child(name, texts)
        declared = declarations.parse(report)
    except Fault as error:
        raise InvalidEntry(f"{name}: {error.what}", error.remedy) from None
    return Entry(
        name=name,
        source=source,
        defaults=declared.defaults,
        search_space=declared.search_space,
        metadata=declared.metadata,
        summary=declared.summary,
        notes=declared.notes,
        requirements=declared.requirements,
        syntax=declared.syntax,
    )


def _text(path: str, content: bytes) -> str:
    try:
        return source_text.read(content)
    except Fault as error:
        raise Fault(error.what if path == package.MAIN else f"{path}: {error.what}", error.remedy) from None


def largest(source: bytes) -> int:
    """Return the most bytes that an entry may have: a package more than a single file."""
    return package.SIZE if package.is_bundle(source) else SIZE


def require_allowed(entry: Entry, track: Track) -> None:
    """Refuse a package where a track takes single files.

    Raises:
        InvalidEntry: the entry is a package, and the track does not allow that.
    """
    if entry.is_package and not track.protocol.packages:
        raise InvalidEntry(
            f"{entry.name} is a package, and {track.name} takes single files",
            "put it into one file; an organiser allows packages with `packages = true` in the track's [protocol]",
        )


def _inspect_in_child(name: str, texts: Mapping[str, str]) -> bytes:
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("inspection.py"))]
    try:
        child = subprocess.run(command, input=json.dumps(texts).encode(), capture_output=True, timeout=30)
    except subprocess.TimeoutExpired:
        raise InvalidEntry(f"{name} takes too long to parse", "simplify the file") from None
    if child.returncode != 0:
        raise InvalidEntry(f"{name} cannot be parsed within the limits", "simplify the file: it nests too deeply")
    return child.stdout


@cache
def baseline(name: str) -> Entry:
    """Return a shipped method or reference row by its file's name.

    Raises:
        BenchError: there is no such file in ``baselines/``.
    """
    path = BASELINES / f"{name}.py"
    if name not in baseline_names():
        names = baseline_names()
        remedy = f"{did_you_mean(name, names)}use {', '.join(names)}"
        raise BenchError(f"there is no baseline {name!r}", "your command", remedy, 2)
    return read(path, trusted=True)


def find_entry(name: str) -> Entry:
    """Return the submission at a path, or the shipped or installed method of that name.

    Raises:
        BenchError: the submission is invalid, or there is no such method.
    """
    return baseline(name) if name in baseline_names() else submission(Path(name))


def submission(path: Path) -> Entry:
    """Return the submission at a path, or the method of that name that an installed package adds. Errors as `read`."""
    name = str(path)
    if path.suffix == ".py" or path.exists() or name not in plugins.names("methods"):
        if name in baseline_names() and not path.exists():
            remedy = f"`bench baselines {name}` runs it; a submission is a file, such as {name}_mine.py"
            raise BenchError(f"{name} is a shipped method", "your command", remedy, 2)
        if not path.suffix and not path.exists():
            names = [*baseline_names(), *plugins.names("methods")]
            what = f"there is no file {path} and no method of that name"
            remedy = f"name a file, {name}.py (`bench init {name}.py` makes one), or use {', '.join(names)}"
            similar = did_you_mean(name, [*names, *map(str, path.parent.glob("*.py"))])
            raise BenchError(what, "your command", similar + remedy, 2)
        return read(path)
    return replace(read(plugins.source_file("methods", name)), name=name)


@cache
def baseline_names() -> tuple[str, ...]:
    """Return the names of shipped methods and reference rows, found by folder."""
    return tuple(sorted(path.stem for path in BASELINES.glob("*.py") if path.stem != "__init__"))


def has_shipped_name(name: str) -> bool:
    """Return whether a name is that of a shipped method or of its variant, whatever its case."""
    return name.casefold().removesuffix(ORACLE_FREE) in {shipped.casefold() for shipped in baseline_names()}


@cache
def shipped_digests() -> frozenset[str]:
    """Return the SHA-256 of every shipped method."""
    return frozenset(hashlib.sha256((BASELINES / f"{n}.py").read_bytes()).hexdigest() for n in baseline_names())


def retrain(track: Track) -> Entry:
    """Return the Retrain reference row with the track's recipe, with which every run time is compared."""
    recipe = track.recipe
    return baseline("retrain").with_parameters(
        {
            "epochs": recipe.epochs,
            "lr": recipe.lr,
            "batch_size": recipe.batch_size,
            "momentum": recipe.momentum,
            "weight_decay": recipe.weight_decay,
            "schedule": recipe.schedule,
            "crop": recipe.crop,
            "flip": recipe.flip,
            "optimizer": recipe.optimizer,
            "nesterov": recipe.nesterov,
            "warmup": recipe.warmup,
            "label_smoothing": recipe.label_smoothing,
            "clip": recipe.clip,
            "random_resized_crop": recipe.random_resized_crop,
            "randaugment": recipe.randaugment,
            "mixup": recipe.mixup,
        }
    )
