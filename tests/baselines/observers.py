"""What one run of an entry does besides returning a model: its output, files, sockets, processes, devices, memory."""

from __future__ import annotations

import gc
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from unlearn_bench.sandbox.inside import adapter
from unlearn_bench.sandbox.inside.loaders import ResidentLoader

SETS = ("retain", "forget", "val")

# Where the interpreter, its packages and the kernel's own tables lie: torch imports parts of itself on first use and
# asks for the number of cores. Reading there tells an entry nothing about the benchmark.
PACKAGES = Path(torch.__file__).parents[1]
SYSTEM = tuple(f"{folder}/" for folder in (sys.prefix, sys.base_prefix, PACKAGES, "/usr/lib", "/proc", "/sys"))
PROCESS = {"subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn"}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
UNIX_SOCKET = 1
"""Address family by which worker processes of a loader hand over tensors; not a network."""


@dataclass(frozen=True)
class Observed:
    """The facts of one run; the tests judge them."""

    error: Exception | None
    misfit: str
    """What the runner would find wrong with the names or shapes of the result."""
    state: dict[str, Tensor]
    """What the runner would take from the result; empty after an error or a misfit."""
    read: set[str]
    """Sets of which anything was asked."""
    changed: set[str]
    """Sets whose images or labels are not what they were."""
    output: str
    files: list[str]
    scratch: list[str]
    """What it wrote to the folder for temporary files."""
    network: list[str]
    processes: list[str]
    device_faults: list[str]
    peak: int
    """Bytes of the tensors that the run made and that were alive at once, at most."""
    copies: int
    """The same for tensors shaped like a weight."""


class Spy:
    """A loader that notes whether anything was asked of it, and refuses to answer where it is closed."""

    def __init__(self, loader: Any, closed: bool) -> None:
        self._loader, self._closed, self.touched = loader, closed, False

    def _open(self) -> Any:
        self.touched = True
        if self._closed:
            raise PermissionError("a set that the docstring does not declare was read")
        return self._loader

    def __iter__(self) -> Iterator[Any]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._open(), name)


class Audit:
    """Python's audit events, sorted into files, network and processes."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.network: list[str] = []
        self.processes: list[str] = []

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._note_open(*arguments)
        elif event in CHANGES or event.startswith(("shutil.", "tempfile.", "sqlite3.connect")):
            self.files.append(f"{event} {arguments[0]}")
        elif event == "socket.__new__":
            if arguments[1] != UNIX_SOCKET:
                self.network.append(f"{event} of family {arguments[1]}")
        elif event.startswith("socket.get") or event in {"socket.connect", "socket.bind", "socket.sendto"}:
            if not isinstance(arguments[-1], (str, bytes)) or event.startswith("socket.get"):
                self.network.append(f"{event} {arguments[-1]}")
        elif event in PROCESS:
            self.processes.append(f"{event} {arguments[0] if arguments else ''}")

    def _note_open(self, path: Any, mode: str | None, flags: int) -> None:
        if isinstance(path, int):  # a descriptor that some earlier event opened
            return
        name = path.decode() if isinstance(path, bytes) else str(path)
        writes = bool(flags & 3) or bool(set(mode or "") & set("wax+"))  # 3: O_WRONLY | O_RDWR
        if writes or not name.startswith(SYSTEM):
            self.files.append(f"{'writes' if writes else 'reads'} {name}")


_listeners: list[Audit] = []
_installed: list[bool] = []


def _tell(event: str, arguments: tuple[Any, ...]) -> None:
    for audit in _listeners:
        audit.note(event, arguments)


@contextmanager
def audited() -> Iterator[Audit]:
    """Listen to audit events. The hook stays for the life of the process, as hooks cannot be removed, but idle."""
    if not _installed:
        sys.addaudithook(_tell)
        _installed.append(True)
    audit, bytecode = Audit(), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # a late import would write its cache
    _listeners.append(audit)
    try:
        yield audit
    finally:
        _listeners.remove(audit)
        sys.dont_write_bytecode = bytecode


@contextmanager
def empty_folders() -> Iterator[tuple[Path, Path]]:
    """An empty current directory, and another for temporary files.

    What lies in them afterwards was written in C++ if no audit event tells of it, as by torch.save.
    """
    with ExitStack() as stack:
        work, scratch = (stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(work)
        patch.setenv("TMPDIR", scratch)
        patch.setattr(tempfile, "tempdir", scratch)
        yield Path(work), Path(scratch)


def contents(folder: Path) -> list[str]:
    return [f"leaves {path}" for path in folder.rglob("*")]


class Memory(TorchDispatchMode):
    """Bytes of the storages that operators returned and that are still alive.

    ``peak`` is their most, ``copies`` the most of those alone that are shaped like a weight, or like all weights in one
    vector: gradients, momentum, copies of the model, without activations, beside which a few copies would not show.
    Sees what autograd keeps for the backward pass. Does not see an operator's scratch space, nor what existed before:
    the tensors of ``model`` and those in ``known``.
    """

    def __init__(self, model: nn.Module, known: list[Tensor]) -> None:
        super().__init__()
        weights = list(model.parameters())
        self._shapes = {w.shape for w in weights} | {torch.Size([sum(w.numel() for w in weights)])}
        self._now = {"peak": 0, "copies": 0}
        self.most = dict(self._now)
        self._alive: dict[int, tuple[Any, int, list[str]]] = {}
        for tensor in [*model.state_dict().values(), *known]:
            self._add(tensor, counts=False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            self._add(tensor)
        return result

    def _add(self, tensor: Tensor, counts: bool = True) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)  # the same object for as long as any tensor has this storage
        if key not in self._alive:
            size = storage.nbytes() if counts else 0
            self._alive[key] = weakref.ref(storage, lambda _: self._free(key)), size, ["peak"]
            self._hold("peak", size)
        _, size, kinds = self._alive[key]
        if tensor.shape in self._shapes and "copies" not in kinds:  # deepcopy gives a storage its shape afterwards
            kinds.append("copies")
            self._hold("copies", size)

    def _hold(self, kind: str, size: int) -> None:
        self._now[kind] += size
        self.most[kind] = max(self.most[kind], self._now[kind])

    def _free(self, key: int) -> None:
        _, size, kinds = self._alive.pop(key)
        for kind in kinds:
            self._now[kind] -= size


@cache
def settle() -> None:
    """Spare later collections, which are frequent, what lives as long as the process: modules and their contents."""
    gc.collect()
    gc.freeze()


@contextmanager
def measured(model: nn.Module, known: list[Tensor]) -> Iterator[Memory]:
    """Memory without the collector, whose moments depend on what ran before: cycles count as held."""
    settle()
    gc.collect()
    gc.disable()
    try:
        with Memory(model, known) as memory:
            yield memory
    finally:
        gc.enable()


FACTORIES = {
    torch.as_tensor,
    torch.empty,
    torch.eye,
    torch.from_numpy,
    torch.full,
    torch.ones,
    torch.tensor,
    torch.zeros,
}
FACTORIES |= {torch.arange, torch.linspace, torch.normal, torch.rand, torch.randint, torch.randn, torch.randperm}
MOVES = {torch.Tensor.cpu, torch.Tensor.cuda, torch.Tensor.numpy}
LIKE_ANOTHER = {torch.Tensor.to, torch.Tensor.type_as}
ACROSS = {torch.Tensor.__getitem__, torch.Tensor.__setitem__, torch.Tensor.copy_, *LIKE_ANOTHER}
ACROSS_BELOW = {torch.ops.aten.index, torch.ops.aten.index_put_, torch.ops.aten._index_put_impl_, torch.ops.aten.copy_}
"""What torch itself lets tensors of two devices meet in."""
MIXED = "takes a tensor that was made without a device"


class Devices(TorchFunctionMode):
    """Finds, on the CPU, what would fail or wait on an accelerator.

    Tensors say that they lie on ``cpu:0``, which torch takes for the CPU and yet is not equal to ``cpu``. So a device
    that was taken from the model or from the data can be told from one that was written down. A tensor made without
    a device is marked, and so is what is computed from marked ones alone; meeting unmarked ones is a fault unless it is
    a scalar or an index.
    """

    HERE = torch.device("cpu", 0)

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func == torch.Tensor.device.__get__:
            return torch.device("cpu") if is_marked(args[0]) else self.HERE
        caller = sys._getframe(1)
        own = not caller.f_code.co_filename.startswith(SYSTEM)  # not torch on its own account
        tensors = tensors_in(args, kwargs)
        marked = [tensor for tensor in tensors if is_marked(tensor)]
        device = self._named(func, args, kwargs) if own or func is torch.Tensor.to else None
        if func in MOVES or (device is not None and device != self.HERE):
            self.faults.append(f"names a device itself: {place(func, caller)}")
        elif func not in ACROSS and mixed(tensors):
            self.faults.append(f"{MIXED}: {place(func, caller)}")
        result = func(*args, **kwargs)
        if device is not None or (func in LIKE_ANOTHER and len(marked) < len(tensors)):
            mark(result, False)
        elif (func in FACTORIES and own) if not tensors else len(marked) == len(tensors):
            mark(result, True)
        return result

    @staticmethod
    def _named(func: Any, args: Any, kwargs: Any) -> torch.device | None:
        places = args[1:] if func is torch.Tensor.to else ()
        device = next((a for a in places if isinstance(a, (str, torch.device))), kwargs.get("device"))
        return None if device is None else torch.device(device)


class MarksBelow(TorchDispatchMode):
    """The marks of :class:`Devices` where vmap and grad have unwrapped what Python sees."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__()
        self._faults = faults

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = tensors_in(args, kwargs)
        if any(map(is_marked, tensors)):
            if func.overloadpacket not in ACROSS_BELOW and mixed(tensors):
                self._faults.append(f"{MIXED}: {func.overloadpacket}")
            elif all(map(is_marked, tensors)):
                return mark(func(*args, **(kwargs or {})), True)
        return func(*args, **(kwargs or {}))


def place(func: Any, caller: FrameType) -> str:
    return f"{func.__name__}, {Path(caller.f_code.co_filename).name}:{caller.f_lineno}"


def tensors_in(*values: Any) -> list[Tensor]:
    """The tensors in what an operator takes or returns; much faster than torch's own walk, at every operator."""
    tensors: list[Tensor] = []
    groups: list[Iterable[Any]] = [values]
    for group in groups:
        for value in group:
            if isinstance(value, Tensor):
                tensors.append(value)
            elif isinstance(value, (tuple, list)):
                groups.append(value)
            elif isinstance(value, dict):
                groups.append(value.values())
    return tensors


def is_marked(tensor: Tensor) -> bool:
    return getattr(tensor, "elsewhere", False)


def mixed(tensors: list[Tensor]) -> bool:
    return {is_marked(tensor) for tensor in tensors if tensor.ndim} == {True, False}


def mark(result: Any, elsewhere: bool) -> Any:
    for tensor in tensors_in(result):
        tensor.elsewhere = elsewhere  # type: ignore[attr-defined]
    return result


def observe(
    unlearn: Callable[[nn.Module, tuple[Any, Any, Any]], nn.Module],
    model: nn.Module,
    loaders: tuple[ResidentLoader, ResidentLoader, ResidentLoader],
    declared: set[str],
    capfd: pytest.CaptureFixture[str],
) -> Observed:
    """Run ``unlearn(model, loaders)`` on the CPU under every observer; sets that are not ``declared`` are closed."""
    layout = adapter.layout(model)
    before = [(loader.dataset.images.clone(), loader.dataset.labels.clone()) for loader in loaders]  # type: ignore[attr-defined]
    spies = {name: Spy(loader, name not in declared) for name, loader in zip(SETS, loaders, strict=True)}
    data = [t for loader in loaders for t in (loader.dataset.images, loader.dataset.labels)]  # type: ignore[attr-defined]
    capfd.readouterr()
    error, misfit = None, ""
    state: dict[str, Tensor] = {}
    with empty_folders() as (work, scratch):
        devices = Devices()
        with audited() as audit, measured(model, data) as memory, MarksBelow(devices.faults), devices:
            try:
                result = unlearn(model, (spies["retain"], spies["forget"], spies["val"]))
            except Exception as raised:
                error = raised
        files = audit.files + contents(work) + contents(scratch)
    if error is None:
        try:
            state = adapter.state(result, layout)
        except adapter.ContractError as raised:
            misfit = str(raised)
    captured = capfd.readouterr()
    after = [(loader.dataset.images, loader.dataset.labels) for loader in loaders]  # type: ignore[attr-defined]
    same = [all(map(torch.equal, old, new)) for old, new in zip(before, after, strict=True)]
    return Observed(
        error=error,
        misfit=misfit,
        state=state,
        read={name for name, spy in spies.items() if spy.touched},
        changed={name for name, equal in zip(SETS, same, strict=True) if not equal},
        output=captured.out + captured.err,
        files=[text for text in files if str(scratch) not in text],
        scratch=[text for text in files if str(scratch) in text],
        network=audit.network,
        processes=audit.processes,
        device_faults=list(dict.fromkeys(devices.faults)),
        peak=memory.most["peak"],
        copies=memory.most["copies"],
    )
