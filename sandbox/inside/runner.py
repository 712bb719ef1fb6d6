"""The process inside a sandbox: ``python -P -m sandbox.inside.runner FOLDER`` with the stage's ``lib`` on the path.

It prepares everything, says that it is ready, waits for the go signal, imports the entry, calls it and sends back the
weights or the error. The host trusts nothing that it sends: the entry runs in the same process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import frames


class Channel:
    """The frame stream, moved away from file descriptors 0 and 1 so that ``print`` cannot corrupt it."""

    def __init__(self) -> None:
        self._input, self._output = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.close(null)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that a crash or a kill loses no line

    def send(self, kind: bytes, payload: bytes) -> None:
        """Write one frame."""
        self._write(frames.header(kind, len(payload)))
        self._write(payload)

    def _write(self, data: bytes) -> None:
        unwritten = memoryview(data)
        while unwritten:
            unwritten = unwritten[os.write(self._output, unwritten) :]

    def await_go(self) -> None:
        """Block until the host's go signal; without a host there is nothing left to do."""
        if os.read(self._input, frames.HEADER.size) != frames.encode(frames.GO):
            sys.exit("the host closed the channel")


class LoadedJob:
    """The deletion request of the job in ``folder``, loaded before the entry's time begins."""

    def __init__(self, folder: Path) -> None:
        import torch
        from safetensors.torch import load_file

        from . import advice
        from .request import DeletionRequest

        advice.refuse_compilers()
        self.folder = folder
        self.job: dict[str, Any] = json.loads((folder / "job.json").read_text())
        torch.set_num_threads(self.job["threads"])
        torch.set_num_interop_threads(1)
        self.device: str = self.job["device"]
        if self.device != "cpu" and not torch.cuda.is_available():
            raise RuntimeError("a GPU was asked for and torch sees none in the sandbox")
        # the first optimiser of a process makes torch import a thousand more modules: not in the entry's time
        torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)
        if self.device != "cpu":
            wake(self.device)
        self.request = DeletionRequest(
            self.job["model"],
            load_file(folder / "weights.safetensors"),
            load_file(folder / "data.safetensors"),
            mean=self.job["mean"],
            std=self.job["std"],
            batch_size=self.job["batch_size"],
            seed=self.job["seed"],
            device=self.device,
        )

    def unlearn(self) -> bytes:
        """Import and call the entry; return the result as safetensors."""
        from safetensors.torch import save

        return save(self.request.unlearn(self._entry, self.job["parameters"]))

    def _entry(self) -> ModuleType:
        package = self.folder / "entry"
        path, places = (
            (package / "__init__.py", [str(package)]) if package.is_dir() else (package.with_suffix(".py"), None)
        )
        spec = importlib.util.spec_from_file_location("entry", path, submodule_search_locations=places)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["entry"] = module  # dataclasses and pickling in workers look it up
        sys.path.append(str(self.folder))  # where workers that are spawned find it
        spec.loader.exec_module(module)
        return module


def wake(device: str) -> None:
    """Make a GPU load its libraries of convolutions and matrix products, 0.4 s of a process's first step."""
    import torch

    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2)).to(device)
    network(torch.zeros(4, 3, 3, 3, device=device)).sum().backward()
    torch.zeros(1, device=device).item()  # waits for all of it


def main(folder: Path) -> None:
    """Run the job staged in ``folder``, and end the process."""
    channel = Channel()
    # torch is imported only now, since nothing may be printed to the channel
    from . import report

    try:
        job = LoadedJob(folder)
        channel.send(frames.READY, report.environment(job.device))
        channel.await_go()
        weights = job.unlearn()
    except BaseException as error:  # also sys.exit() and KeyboardInterrupt of an entry: all of it goes to the host
        channel.send(frames.ERROR, report.failure(error))
    else:
        channel.send(frames.WEIGHTS, weights)
    os._exit(0)  # threads that an entry left behind must not keep the process alive


if __name__ == "__main__":
    main(Path(sys.argv[1]))
