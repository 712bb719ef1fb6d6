"""What the server of ``forked`` imports once for all of its processes; it starts no thread and computes nothing."""

import timm.models  # noqa: F401
import torch

from unlearn_bench.harness.training import task  # noqa: F401
from unlearn_bench.harness.units import worker_runner  # noqa: F401
from unlearn_bench.sandbox.inside import adapter, loaders, models, report, runner  # noqa: F401

torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)  # makes torch import another thousand modules
