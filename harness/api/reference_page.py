"""The reference page of the library, from docstrings: ``python -m unlearn_bench.harness.api.reference_page``."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

from unlearn_bench.harness import api

HEAD = """# The library

`import unlearn_bench as ub` has the functions on this page. The import takes no torch; each function imports what it
needs when it is called. The package is typed. Two notebooks show it at work:
[My method in ten lines](notebooks/my_method.ipynb) and
[Attack the checkpoints I have](notebooks/attack_checkpoints.ipynb). Plots need matplotlib:
`pip install 'unlearn-bench[plot]'`.

`python -m unlearn_bench.harness.api.reference_page > docs/reference.md` writes this page from the docstrings.
"""
SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Yields):$")
ITEM = re.compile(r"^    (\*{0,2}\w+): (.*)$")
ROLE = re.compile(r":(?:func|class|mod|attr):`~?([^`]*)`")


def page() -> str:
    """Return the reference page as Markdown."""
    parts = [HEAD]
    for name in api.__all__:
        member = getattr(api, name)
        if isinstance(member, ModuleType):
            parts.append(f"## `ub.{name}`\n\n{_text(member)}\n")
            parts += [_entry(f"ub.{name}.{each}", getattr(member, each), "###") for each in member.__all__]
        else:
            parts.append(_entry(f"ub.{name}", member, "##"))
    return "\n".join(parts)


def _entry(name: str, member: Any, level: str) -> str:
    if isinstance(member, type):
        fields = f"\n\n{_fields(member)}" if dataclasses.is_dataclass(member) else ""
        return f"{level} `{name}`\n\n{_text(member)}{fields}\n"
    return f"{level} `{name}`\n\n```python\n{_signature(name, member)}\n```\n\n{_text(member)}\n"


def _signature(name: str, function: Callable[..., Any]) -> str:
    """Return a signature with the annotations as they stand in the source."""
    signature = inspect.signature(function)
    parameters, starred = [], False
    for parameter in signature.parameters.values():
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parameters.append("*")
        starred = starred or star == "*" or parameter.kind is parameter.KEYWORD_ONLY
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parameters.append(f"{star}{parameter.name}: {parameter.annotation}{default}")
    line = f"{name}({', '.join(parameters)}) -> {signature.return_annotation}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {each}," for each in parameters), f") -> {signature.return_annotation}"])


def _fields(member: type) -> str:
    """Return the fields of a dataclass as a list, with the texts below them in its source."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(member))).body
    assert isinstance(definition, ast.ClassDef)
    body: list[ast.stmt] = definition.body
    lines = []
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            meaning = " ".join(str(ast.literal_eval(below.value)).split()).replace("``", "`")
            lines.append(f"* `{ast.unparse(field)}`: {meaning}")
    return "\n".join(lines)


def _text(member: Any) -> str:
    """Return a docstring as Markdown: sections in bold, arguments as a list."""
    return "\n".join(_lines(inspect.getdoc(member) or "")).strip()


def _lines(docstring: str) -> Iterator[str]:
    section = ""
    for line in ROLE.sub(lambda match: f"``{match[1]}``", docstring).replace("``", "`").splitlines():
        if SECTION.match(line):
            section = line
            yield from (f"**{line.removesuffix(':')}**", "")
        elif section and (item := ITEM.match(line)):
            yield f"* `{item[1]}`: {item[2]}"
        else:
            yield line.removeprefix("    ") if section in ("Returns:", "Yields:") else line.removeprefix("      ")


if __name__ == "__main__":
    sys.stdout.write(page())
