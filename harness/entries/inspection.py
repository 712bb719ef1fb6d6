"""Read an entry without importing it: ``python -I -S inspection.py < files.json`` prints what it declares as JSON.

The input is an object of source texts by path, the one with ``unlearn`` first.

It runs as a child process with limits, because parsing hostile source can exhaust memory or the stack, and imports
nothing but the standard library.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import resource
import sys
import tomllib
from collections.abc import Mapping
from typing import Any

MEMORY = 1 << 30
CPU_SECONDS = 5
LONG_LITERAL = 4096
TITLE = 80
DATA = ("model", "retain", "forget", "val")
KINDS = {"rate": 2, "log": 2, "1-log": 2, "uniform": 2, "int": 2, "choice": 1}
METADATA = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")  # PEP 723


def inspect(files: Mapping[str, str]) -> str:
    """Return as JSON what the source declares, and ``problems``: (what, remedy) pairs that make it invalid.

    ``files``: the source texts by path; the first one has ``unlearn`` and the declarations.
    """
    main, *others = files
    report = _inspect(files[main])
    for path in others:
        _add(report, path, files[path])
    report["package_missing"] = [name for name in report.pop("imports", []) if name not in sys.stdlib_module_names]
    return json.dumps(report, default=repr)


def _inspect(text: str) -> dict[str, Any]:
    problems: list[tuple[str, str]] = []
    report: dict[str, Any] = {"problems": problems, "notes": []}
    tree = _parse(text, problems)
    if tree is None:
        return report
    report["summary"] = ((ast.get_docstring(tree) or "").strip().splitlines() or [""])[0][:200]
    report["metadata"], report["requirements"] = _metadata(text, problems)
    report["parameters"] = _signature(tree, problems)
    report["search_space"] = _search_space(tree, report["parameters"], problems)
    report["imports"] = _imports(tree)
    report["syntax"] = _syntax(tree)
    report["notes"] += _notes(tree)
    return report


def _parse(text: str, problems: list[tuple[str, str]]) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        problems.append((f"line {error.lineno}: syntax error: {error.msg}", "correct the line"))
    except (ValueError, RecursionError, MemoryError) as error:
        problems.append((f"the source cannot be parsed: {error or type(error).__name__}", "simplify the file"))
    return None


def _notes(tree: ast.Module) -> list[str]:
    """Return what a reviewer should look at."""
    return [
        f"line {node.lineno}: a literal of {len(node.value)} characters"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and len(node.value) > LONG_LITERAL
    ]


def _add(report: dict[str, Any], path: str, text: str) -> None:
    """Add to a package's report what another of its files imports and what is wrong with it."""
    problems: list[tuple[str, str]] = []
    tree = _parse(text, problems)
    report["problems"] += [(f"{path}: {what}", remedy) for what, remedy in problems]
    if tree is None or "syntax" not in report:
        return
    report["imports"] = sorted({*report["imports"], *_imports(tree)})
    report["notes"] += [f"{path}: {note}" for note in _notes(tree)]
    both = f"{report['syntax']} {path} {_syntax(tree)}"
    report["syntax"] = hashlib.sha256(both.encode()).hexdigest() if report["syntax"] else ""


def _signature(tree: ast.Module, problems: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the hyper-parameters with their defaults (``None`` for a default that is not a literal)."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "unlearn"]
    if not functions:
        problems.append(
            ("the file defines no function `unlearn`", "define unlearn(model, retain, forget, val) at the top level")
        )
        return {}
    arguments = functions[-1].args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    if not 2 <= len(required) <= len(DATA):
        problems.append(
            (
                f"unlearn requires {len(required)} positional parameters",
                f"let it take two to four: {', '.join(DATA)}; give hyper-parameters a default",
            )
        )
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            problems.append((f"parameter {argument.arg} of unlearn has no default", f"write {argument.arg}=…"))
    with_default = [
        *zip(positional[len(required) :], arguments.defaults, strict=True),
        *((a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None),
    ]
    return {argument.arg: _literal(default) for argument, default in with_default if argument.arg not in DATA}


def _search_space(tree: ast.Module, parameters: dict[str, Any], problems: list[tuple[str, str]]) -> dict[str, Any]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == "SEARCH_SPACE" for t in targets) and getattr(node, "value", None):
            break
    else:
        return {}
    remedy = 'write {"lr": ("log", 1e-5, 1e-1), "epochs": ("int", 1, 10), "batch": ("choice", (64, 128))}'
    try:
        space = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        space = None
    if not isinstance(space, dict):
        problems.append(("SEARCH_SPACE is not a literal dictionary", remedy))
        return {}
    for name, rule in space.items():
        if name not in parameters:
            problems.append((f"SEARCH_SPACE names {name!r}, which unlearn does not take", "remove it or add it"))
        if not (isinstance(rule, tuple | list) and rule and rule[0] in KINDS and len(rule) == KINDS[rule[0]] + 1):
            problems.append((f"SEARCH_SPACE[{name!r}] is {rule!r}, not one of {', '.join(KINDS)}", remedy))
    return {str(name): rule for name, rule in space.items()}


def _metadata(text: str, problems: list[tuple[str, str]]) -> tuple[dict[str, Any], list[str]]:
    """Return the table ``tool.bench`` and the ``dependencies`` of the metadata block."""
    blocks = [match for match in METADATA.finditer(text) if match["type"] == "script"]
    if not blocks:
        return {}, []
    lines = [line[2:] if line.startswith("# ") else line[1:] for line in blocks[0]["content"].splitlines()]
    try:
        block = tomllib.loads("\n".join(lines))
        table = block.get("tool", {}).get("bench", {})
    except tomllib.TOMLDecodeError as error:
        problems.append((f"the metadata block is not TOML: {error}", "correct the comment block (PEP 723)"))
        return {}, []
    if not isinstance(table, dict):
        problems.append(("[tool.bench] in the metadata block is not a table", "correct the comment block (PEP 723)"))
        return {}, []
    dependencies = block.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        problems.append(("dependencies in the metadata block is not a list of strings", 'write ["torch", "einops"]'))
        dependencies = []
    if len(str(table.get("title", ""))) > TITLE:
        problems.append((f"the title has more than {TITLE} characters", "shorten it"))
    declared = {key: value for key, value in table.items() if isinstance(value, str | list | int | float | bool)}
    return declared, dependencies


def _imports(tree: ast.Module) -> list[str]:
    """Return the top-level packages that are imported unconditionally, outside of ``try`` and ``if``."""
    packages: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            packages.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            packages.add((node.module or "").split(".")[0])
        elif not isinstance(node, ast.Try | ast.If):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(tree)
    return sorted(packages)


def _syntax(tree: ast.Module) -> str:
    """Return the SHA-256 of the syntax tree without docstrings, comments and layout; empty if too deep."""
    documented = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    bodies = []
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            bodies.append((node, node.body))
            node.body = node.body[1:]
    try:
        return hashlib.sha256(ast.dump(tree).encode("utf-8", "backslashreplace")).hexdigest()
    except (RecursionError, MemoryError):
        return ""
    finally:
        for node, body in bodies:
            node.body = body


def _literal(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return value


def main() -> None:
    """Print what the entry on standard input declares, within limits."""
    if sys.platform == "linux":  # macOS does not limit address spaces
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(inspect(json.loads(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
