"""Read an entry without importing it: ``python -I -S inspection.py < files.json`` prints what it declares as JSON.

The input is an object of source texts by path, the one with ``unlearn`` first. ``declarations.py`` judges what is
printed.

It runs as a child process with limits, because parsing hostile source can exhaust memory or the stack, and imports
nothing but the standard library.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import resource
import sys
import tokenize
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

MEMORY = 1 << 30
CPU_SECONDS = 5
LONG_LITERAL = 4096
"""Characters of the literals of one statement beyond which they are noted."""
LONG_LINE = 300
GAP = re.compile(r"\S[ \t]{80,}\S")
"""Blanks that push the rest of a line out of sight."""
UNSEEN = re.compile("[\u034f\u115f\u1160\u200c\u200d\u2800\u3164\ufe00-\ufe0f\uffa0]")
"""Characters without a shape of their own, which some scripts and signs need."""
FORMATTED = re.compile("[rR]?[fF]")
"""Of a string that holds expressions."""
LETTERS = re.compile("[A-Za-z0-9_]+")
DYNAMIC = frozenset({"exec", "eval", "compile", "__import__", "__builtins__"})
LOADERS = frozenset({"builtins", "ctypes", "importlib", "marshal", "pickle"})
"""Modules that turn data into code."""
NOTES = 40
"""The most notes on an entry."""
DATA = ("model", "retain", "forget", "val")
METADATA_SIZE = 16 * 1024
"""The most characters of a metadata block."""
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
    if (more := len(report["notes"]) - NOTES) > 0:
        report["notes"] = [*report["notes"][: NOTES - 1], f"and {more + 1} more"]
    return json.dumps(report)


def _inspect(text: str) -> dict[str, Any]:
    problems: list[tuple[str, str]] = []
    report: dict[str, Any] = {"problems": problems, "notes": []}
    tree = _parse(text, problems)
    if tree is None:
        return report
    report["summary"] = ((ast.get_docstring(tree) or "").strip().splitlines() or [""])[0][:200]
    report["metadata"], report["requirements"] = _metadata(text, problems)
    report["parameters"] = _signature(tree, problems)
    report["search_space"] = _search_space(tree, problems)
    report["imports"] = _imports(tree)
    report["syntax"] = _syntax(tree)
    report["notes"] += _notes(tree, text)
    return report


def _parse(text: str, problems: list[tuple[str, str]]) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        problems.append((f"line {error.lineno}: syntax error: {error.msg}", "correct the line"))
    except (ValueError, RecursionError, MemoryError) as error:
        problems.append((f"the source cannot be parsed: {error or type(error).__name__}", "simplify the file"))
    return None


def _notes(tree: ast.Module, text: str) -> list[str]:
    """Return what a reviewer should look at, in printable ASCII, in the order of the lines."""
    noted = sorted({*_noted_lines(text), *_noted_names(tree), *_noted_literals(tree)})
    return [f"line {line}: {what}" for line, what in noted]


def _noted_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines that do not fit on a screen, and characters that are not what they look like."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LONG_LINE:
            yield number, f"has {len(line):,} characters"
        if GAP.search(line):
            yield number, "goes on behind a wide gap"
        if match := UNSEEN.search(line):
            yield number, f"has {_named(match[0])}, which has no shape of its own"
    for token in [] if text.isascii() else tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME or (token.type == tokenize.STRING and FORMATTED.match(token.string)):
            for character in filter(lambda character: not character.isascii(), token.string):
                if LETTERS.fullmatch(letters := unicodedata.normalize("NFKC", character)):
                    yield token.start[0], f"a name has {_named(character)}, which Python reads as {letters}"


def _noted_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield names beyond ASCII, which can look like others, and names and modules that turn data into code."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        if isinstance(node, ast.Name) and node.id in DYNAMIC:
            yield line, f"uses {node.id}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((line, f"imports {name}") for name in {name.split(".")[0] for name in names} & LOADERS)
        if isinstance(node, ast.Constant):
            continue
        for _, value in ast.iter_fields(node):
            for name in value if isinstance(value, list) else [value]:
                if isinstance(name, str) and not name.isascii():
                    yield line, f"a name has {_named(next(c for c in name if not c.isascii()))}"


def _noted_literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the statements whose literals, without those of the statements inside, are long."""
    sizes: dict[tuple[int, int], int] = {}
    nodes: list[tuple[ast.AST, tuple[int, int]]] = [(tree, (1, 0))]
    while nodes:
        node, place = nodes.pop()
        place = (node.lineno, node.col_offset) if isinstance(node, ast.stmt) else place
        if isinstance(node, ast.Constant):
            sizes[place] = sizes.get(place, 0) + (len(node.value) if isinstance(node.value, str | bytes) else 1)
        nodes += [(child, place) for child in ast.iter_child_nodes(node)]
    yield from ((line, f"literals of {size:,} characters") for (line, _), size in sizes.items() if size > LONG_LITERAL)


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _add(report: dict[str, Any], path: str, text: str) -> None:
    """Add to a package's report what another of its files imports and what is wrong with it."""
    problems: list[tuple[str, str]] = []
    tree = _parse(text, problems)
    report["problems"] += [(f"{path}: {what}", remedy) for what, remedy in problems]
    if tree is None or "syntax" not in report:
        return
    report["imports"] = sorted({*report["imports"], *_imports(tree)})
    report["notes"] += [f"{path}: {note}" for note in _notes(tree, text)]
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


def _search_space(tree: ast.Module, problems: list[tuple[str, str]]) -> Any:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == "SEARCH_SPACE" for t in targets) and getattr(node, "value", None):
            space = _literal(node.value)  # type: ignore[attr-defined]
            if not isinstance(space, dict):
                problems.append(("SEARCH_SPACE is not a literal dictionary of rules", "see submissions/README.md"))
            return space
    return {}


def _metadata(text: str, problems: list[tuple[str, str]]) -> tuple[Any, Any]:
    """Return the table ``tool.bench`` and the ``dependencies`` of the metadata block."""
    blocks = [match for match in METADATA.finditer(text) if match["type"] == "script"]
    if not blocks:
        return {}, []
    if len(blocks) > 1:
        problems.append(("there are several metadata blocks", "leave one of them (PEP 723)"))
        return {}, []
    if len(blocks[0]["content"]) > METADATA_SIZE:
        problems.append((f"the metadata block has more than {METADATA_SIZE:,} characters", "shorten it"))
        return {}, []
    lines = [line[2:] if line.startswith("# ") else line[1:] for line in blocks[0]["content"].split("\n")]
    try:
        block = json.loads(json.dumps(tomllib.loads("\n".join(lines)), default=str))
    except (ValueError, RecursionError) as error:
        what = f"the metadata block is not TOML: {error}"
        if not isinstance(error, tomllib.TOMLDecodeError):
            what = "the metadata block has a value that is too large or nests too deeply"
        problems.append((what, "correct the comment block (PEP 723)"))
        return {}, []
    tool = block.get("tool", {})
    return tool.get("bench", {}) if isinstance(tool, dict) else tool, block.get("dependencies", [])


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
    """Return the value of a literal that JSON can hold, or ``None``."""
    try:
        value = ast.literal_eval(node)
        json.dumps(value)
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
