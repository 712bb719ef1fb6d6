"""Weights are data: the safetensors that a sandbox sent, checked against the layout of the known architecture.

Nothing is unpickled and no library parses the untrusted header: the format is eight bytes of header length, a
JSON object ``{name: {dtype, shape, data_offsets}}`` and the arrays
(https://huggingface.co/docs/safetensors/index#format), and only the one expected layout is accepted.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unlearn_bench.sandbox.text import one_line

if TYPE_CHECKING:
    from unlearn_bench.sandbox.inside.models import SafetensorsLayout

DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8"), "BOOL": np.dtype("u1")}
_PREFIX = 8


class InvalidWeights(ValueError):
    """The bytes are not the architecture's weights; the message is one line for people."""


def _bytes(word: str, shape: tuple[int, ...]) -> int:
    return DTYPES[word].itemsize * math.prod(shape)


def header_bound(layout: SafetensorsLayout) -> int:
    """Return the longest header that a file may need: per tensor a name, a shape, two offsets and the punctuation."""
    return 1024 + sum(128 + 6 * len(name) + 24 * len(shape) for name, (_, shape) in layout.items())


def bound(layout: SafetensorsLayout) -> int:
    """Return the size of the longest safetensors file that ``check`` can accept, in bytes."""
    return _PREFIX + header_bound(layout) + sum(_bytes(word, shape) for word, shape in layout.values())


def check(data: bytes | bytearray, layout: SafetensorsLayout) -> dict[str, np.ndarray[Any, Any]]:
    """Return name → array (in memory of its own) from safetensors of exactly this layout.

    Checked are names, dtypes, shapes, offsets without gap or overlap, total size, finite values, ``running_var`` ≥ 0.

    Raises:
        InvalidWeights: a check fails.
    """
    entries, start = _header(data, layout)
    _same_names(entries, layout)
    arrays, spans = {}, []
    for name, (word, shape) in layout.items():
        begin, end = _span(name, entries[name], word, shape)
        spans.append((begin, end))
        # the slice is in bounds only if the spans below tile the data, so nothing is read before that is known
    _tiled(spans, len(data) - start)
    for (name, (word, shape)), (begin, _) in zip(layout.items(), spans, strict=True):
        array = np.frombuffer(data, DTYPES[word], math.prod(shape), start + begin).reshape(shape).copy()
        arrays[name] = _values(name, word, array)
    return arrays


def _header(data: bytes | bytearray, layout: SafetensorsLayout) -> tuple[Mapping[str, Any], int]:
    length = int.from_bytes(data[:_PREFIX], "little")
    if len(data) < _PREFIX or length > min(header_bound(layout), len(data) - _PREFIX):
        raise InvalidWeights("the weights are not a safetensors file of this architecture: bad header length")
    try:
        entries = json.loads(data[_PREFIX : _PREFIX + length].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InvalidWeights("the weights are not a safetensors file: unreadable header") from error
    if not isinstance(entries, dict):
        raise InvalidWeights("the weights are not a safetensors file: the header is not an object")
    return entries, _PREFIX + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _same_names(entries: Mapping[str, Any], layout: SafetensorsLayout) -> None:
    missing, extra = layout.keys() - entries.keys(), entries.keys() - layout.keys()
    if missing or extra:
        differences = [f"{len(names)} {what} (such as {one_line(min(names), 80)!r})"
                       for names, what in ((missing, "missing"), (extra, "unexpected")) if names]  # fmt: skip
        raise InvalidWeights(f"not the architecture's weights: {' and '.join(differences)} of {len(layout)} tensors")


def _span(name: str, entry: Any, word: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InvalidWeights(f"the header's entry of {name!r} is malformed")
    if entry["dtype"] != word:
        raise InvalidWeights(f"{name!r} has dtype {_shown(entry['dtype'])}, expected {word}")
    if not _integers(entry["shape"]) or tuple(entry["shape"]) != shape:
        raise InvalidWeights(f"{name!r} has shape {_shown(entry['shape'])}, expected {list(shape)}")
    offsets = entry["data_offsets"]
    if not _integers(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != _bytes(word, shape):
        raise InvalidWeights(f"the data offsets of {name!r} do not fit its shape")
    return offsets[0], offsets[1]


def _shown(value: Any) -> str:
    """Return any JSON value in a few characters; ``str`` would recurse as deep as it is nested."""
    return one_line(value if isinstance(value, str) else reprlib.repr(value), 80)


def _integers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int for number in value)


def _tiled(spans: list[tuple[int, int]], size: int) -> None:
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise InvalidWeights("the data offsets overlap or leave a gap")
        position = end
    if position != size:
        raise InvalidWeights(f"{size} bytes of tensors, expected {position}")


def _values(name: str, word: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if word == "BOOL":
        if array.max(initial=0) > 1:
            raise InvalidWeights(f"{name!r} has values that are neither true nor false")
        return array.astype(np.bool_)
    if word == "F32":
        if not np.isfinite(array).all():
            raise InvalidWeights(f"{name!r} has values that are not finite")
        if name.rpartition(".")[2] == "running_var" and array.min(initial=0) < 0:
            raise InvalidWeights(f"{name!r} has negative variances")
    return array
