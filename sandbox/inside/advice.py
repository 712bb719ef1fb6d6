"""What a sandbox lacks, in a sentence, where an entry's failure has such a cause; and the line where it failed."""

from __future__ import annotations

import errno
import functools
import re
import traceback
from typing import Any

import torch

from .adapter import ContractError

SHOWN = 200
"""Characters of a message beside the line."""
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_COMPILER = "torch.compile does not work in the sandbox, which holds no compiler; leave it out"


def words(error: BaseException) -> str:
    """Return what an exception says, also one whose words raise another."""
    try:
        return str(error)
    except Exception:
        return "<unprintable>"


def message(error: BaseException) -> str:
    """Return what an exception says, or what the sandbox lacks, and the last line of the entry that led to it."""
    text = words(error)
    text = _lacking(error, text) or text
    place = _place(error)
    return f"{text if len(text) <= SHOWN else f'{text[: SHOWN - 1]}…'} ({place})" if place else text


def _place(error: BaseException) -> str:
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        top, _, rest = str(frame.f_globals.get("__name__")).partition(".")
        if top == "entry":
            place = f"line {line} of {f'{rest}.py' if rest else 'the entry'}"
    return place


def _lacking(error: BaseException, text: str) -> str:
    kind = type(error).__name__
    if kind == "BdbQuit" or isinstance(error, EOFError):
        return "there is no terminal in the sandbox; remove `breakpoint`, `pdb` and `input`"
    if isinstance(error, SystemExit) and _passed(error, "argparse"):
        return "there are no arguments in the sandbox; give `unlearn` keyword parameters in the place of argparse"
    if re.search(r"\bCUDA\b|NVIDIA", text) and not torch.cuda.is_available():
        return "this unit has no GPU; use the model's device, next(model.parameters()).device"
    if kind in ("URLError", "gaierror"):
        return f"there is no network in the sandbox: {text}"
    no_folder = text.startswith("Parent directory") and text.endswith("does not exist.")  # torch.save
    if no_folder or (isinstance(error, OSError) and error.errno in NOT_WRITABLE):
        return f"{text.rstrip('.')}; only /tmp can be written"
    return ""


def _passed(error: BaseException, module: str) -> bool:
    return any(frame.f_globals.get("__name__") == module for frame, _ in traceback.walk_tb(error.__traceback__))


def refuse_compilers() -> None:
    """Let ``torch.compile`` with its default back end, which needs a compiler, fail at once; other back ends work."""
    compile_ = torch.compile

    @functools.wraps(compile_)
    def refusing(*arguments: Any, backend: Any = "inductor", **options: Any) -> Any:
        if backend == "inductor":
            raise ContractError(NO_COMPILER)
        return compile_(*arguments, backend=backend, **options)

    torch.compile = refusing
