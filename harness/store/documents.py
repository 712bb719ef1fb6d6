"""Dataclasses as documents of a store, with a format number.

Of a document that a newer version has written, the keys that this version knows are read; a document without a format
number is older than the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import msgspec

from unlearn_bench.harness.store.store import Store

T = TypeVar("T")
FORMAT = 1
"""Increased when older versions would misread what this one writes; a new key is no reason."""


def read(store: Store, kind: str, name: str, form: type[T]) -> T | None:
    """Return a document as the dataclass ``form``, or ``None`` if it does not exist.

    Raises:
        StoreError: it does not have the dataclass's form; the message names the file.
    """
    document = store.read(kind, name)
    if document is None:
        return None
    return store.once((kind, name, form), lambda: _parse(store, kind, name, document, form))


def read_all(store: Store, kind: str, form: type[T]) -> Iterator[tuple[str, T]]:
    """Yield every document of a kind with its name, sorted by name. Errors as :func:`read`."""
    for name, document in store.all(kind):
        yield name, _parse(store, kind, name, document, form)


def write(store: Store, kind: str, name: str, content: Any) -> None:
    """Write or replace a document: a dataclass."""
    store.write(kind, name, _document(content))


def keep(store: Store, kind: str, name: str, content: Any) -> None:
    """Write a dataclass that can be computed again, where the store can be written; see :meth:`Store.keep`."""
    store.keep(kind, name, _document(content))


def _document(content: Any) -> dict[str, Any]:
    return {"format": FORMAT, **asdict(content)}


def _parse(store: Store, kind: str, name: str, document: Mapping[str, Any], form: type[T]) -> T:
    try:
        return msgspec.convert(document, form)
    except msgspec.ValidationError as error:
        document_format = document.get("format") if isinstance(document, Mapping) else None
        newer = isinstance(document_format, int) and document_format > FORMAT
        hint = (
            f"; it has format {document_format}, and this version reads {FORMAT}: update the benchmark" if newer else ""
        )
        raise store.damaged(kind, name, f"{error}{hint}") from None
