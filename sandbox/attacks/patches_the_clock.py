"""Stops every clock of Python and torch, then works beyond the deadline.

expect: timeout
deadline: 3
"""

import time

import torch


def unlearn(model, retain):
    sleep = time.sleep
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        setattr(time, name, lambda: 0.0)
        setattr(time, f"{name}_ns", lambda: 0)
    time.sleep = lambda seconds: None
    torch.cuda.synchronize = lambda *args: None
    sleep(30)
    return model
