"""Dataclasses as documents of a store, with a format number.

A document that a newer version has written is read as far as its keys are known here; one without a format number is
older than the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import msgspec

from unlearn_bench.harness.store.store import Store

T = TypeVar("T")
FORMAT = 1
"""Raised when a version before would misread what this one writes, not for a new key."""


def read(store: Store, kind: str, name: str, form: type[T]) -> T | None:
    """Return a document as the dataclass ``form``, or ``None`` where there is none.

    Raises:
        StoreError: it has not the dataclass's form; names the file.
    """
    document = store.read(kind, name)
    return None if document is None else _parse(store, kind, name, document, form)


def read_all(store: Store, kind: str, form: type[T]) -> Iterator[tuple[str, T]]:
    """Yield every document of a kind with its name, sorted by name. Errors as :func:`read`."""
    for name, document in store.all(kind):
        yield name, _parse(store, kind, name, document, form)


def write(store: Store, kind: str, name: str, content: Any) -> None:
    """Write or replace a document: a dataclass."""
    store.write(kind, name, {"format": FORMAT, **asdict(content)})


def _parse(store: Store, kind: str, name: str, document: Mapping[str, Any], form: type[T]) -> T:
    try:
        return msgspec.convert(document, form)
    except msgspec.ValidationError as error:
        written = document.get("format") if isinstance(document, Mapping) else None
        newer = isinstance(written, int) and written > FORMAT
        because = f"; it has format {written}, and this version reads {FORMAT}: update the benchmark" if newer else ""
        raise store.damaged(kind, name, f"{error}{because}") from None
