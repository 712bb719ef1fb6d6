"""The page of records, from their dataclasses: ``python -m tests.docs.records_page > docs/records.md``."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest

from unlearn_bench.harness.units import records

HEAD = """# Records

The store keeps one JSON document for every unit that has run; [store.md](store.md#what-is-in-it) says where each kind
lies. Beside these keys a document has `format`, a number that grows when older versions would misread it. Readers
ignore keys that they do not know.

`python -m tests.docs.records_page > docs/records.md` writes this page from the dataclasses.
"""
RECORDS = (records.Record, records.ShadowUnitRecord, records.ShadowRecord, records.SwapRecord, records.YardstickRecord)


def page() -> str:
    """Return the page as Markdown: a table of keys for each kind of record."""
    return "\n".join([HEAD, *(section(record) for record in RECORDS)])


def section(record: type) -> str:
    """Return what a record is and its keys, with the types and texts of the source."""
    rows = [f"| `{key}` | {type_of_key} | {text or MEANINGS[key]} |" for key, type_of_key, text in keys(record)]
    head = [f"## {record.__name__}\n", f"{plain(record.__doc__ or '')}\n", "| key | type | meaning |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def keys(record: type) -> Iterator[tuple[str, str, str]]:
    """Yield (key, type, text) of every field of a dataclass, as its source has them."""
    (definition,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in zip_longest(definition.body, definition.body[1:]):
        if isinstance(field, ast.AnnAssign):
            text = ast.literal_eval(below.value) if isinstance(below, ast.Expr) else ""
            yield ast.unparse(field.target), form(field.annotation), plain(text)


def form(annotation: ast.expr) -> str:
    """Return a type as people read it: without the rules that only the schema needs."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        assert isinstance(annotation.slice, ast.Tuple)
        return form(annotation.slice.elts[0])
    if isinstance(annotation, ast.BinOp):
        return f"{form(annotation.left)} or {form(annotation.right)}"
    return f"`{ast.unparse(annotation)}`".replace("`None`", "null")


def plain(text: str) -> str:
    """Return a docstring as one line of Markdown."""
    return re.sub(r":\w+:`([\w.]+)`", r"`\1`", " ".join(text.split())).replace("``", "`")


MEANINGS = {key: text for key, _, text in keys(records.Record)}
"""What a key means in other records, too, where these do not say it again."""


if __name__ == "__main__":
    sys.stdout.write(page())
