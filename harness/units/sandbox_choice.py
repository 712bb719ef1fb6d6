"""Which sandbox runs the units of a track on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError
from unlearn_bench.harness.support.names import did_you_mean
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.sandbox import backends
from unlearn_bench.sandbox.types import Sandbox


def choose_sandbox(track: Track, sandbox: str, gpu: int | None) -> tuple[Sandbox, str]:
    """Return the back end of this name on this machine, and one line that names it.

    Raises:
        BenchError: it cannot be used.
    """
    try:
        backend, line = backends.choose(sandbox, track.model_spec, device_name(gpu))
    except backends.SandboxUnavailable as error:
        if similar := did_you_mean(sandbox.partition(":")[0], ["auto", *backends.names()]):
            raise BenchError(error.what, "your command", similar + error.remedy, USAGE) from None
        raise BenchError(error.what, "this machine", error.remedy, EXIT_CODES["infra"]) from None
    if track.sealed and sandbox == "auto" and not backend.trusted:
        what = f"track {track.name} is sealed, and no trusted sandbox is usable here to keep its secret from an entry"
        remedy = "run `bench doctor`; name another back end with --sandbox only for your own code"
        raise BenchError(what, "this machine", remedy, EXIT_CODES["infra"])
    backend.reap()
    return backend, line


def device_name(gpu: int | None) -> str:
    """Return torch's name of the GPU of this index, or of the CPU."""
    return "cpu" if gpu is None else f"cuda:{gpu}"


def devices(gpus: Sequence[int]) -> list[str]:
    """Return torch's names of these GPUs.

    Raises:
        BenchError: one of them is absent; it is never replaced by the CPU.
    """
    if gpus:
        import torch

        for gpu in gpus:
            if gpu >= torch.cuda.device_count():
                what = f"torch sees no CUDA device {gpu} on this machine"
                raise BenchError(what, "this machine", f"run `bench doctor --gpu {gpu}`", EXIT_CODES["infra"])
    return [device_name(gpu) for gpu in dict.fromkeys(gpus)]
