"""Whose fault it is when a unit does not end ok, and what to do."""

from __future__ import annotations

from unlearn_bench.harness.support.errors import Owner

BLAME: dict[str, tuple[Owner, str]] = {
    "invalid": ("your method", "return a model of the same architecture with finite weights; see submissions/RULES.md"),
    "crash": ("your method", "fix the error above; `bench check` and the log help"),
    "oom": ("your method", "use less memory: smaller batches, torch.no_grad() where no gradient is needed"),
    "timeout": ("your method", "do less: the deadline is twice Retrain's time, or a minute if that is longer"),
    "not-applicable": ("your method", "run it on a track whose network it works on; here it has no place, and no F"),
    "infra": ("this machine", "run `bench doctor`, then the same command again: it resumes where it stopped"),
}
