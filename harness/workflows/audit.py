"""``bench audit``: run an entry again on fresh splits and models."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlearn_bench.harness.entries.entry import find_entry, require_allowed
from unlearn_bench.harness.entries.parameter_types import require_types
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import audit as results
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.progress import span
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure, timed_units
from unlearn_bench.harness.units.tuning import tuned
from unlearn_bench.harness.workflows import versions
from unlearn_bench.harness.workflows.timed import failure, open_context, run_units
from unlearn_bench.harness.workflows.training import open_references
from unlearn_bench.scoring.unpaired import UnpairedDifference

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Audited:
    """An entry's numbers on the public seeds against those on fresh ones."""

    name: str
    changes: list[UnpairedDifference]
    """One per metric."""
    zero: Mapping[str, tuple[float, float]]
    """The same numbers between retrained models, see :func:`harness.results.audit.nulls`."""

    @property
    def fitted(self) -> list[str]:
        """Ranked metrics that are significantly better on the public seeds, to which the entry is then fitted."""
        return results.fitted(self.changes)


def audit(
    name: str,
    track: str,
    options: RunOptions,
    *,
    seeds: int = 5,
    parameters: Mapping[str, Any] | None = None,
    redraw: bool = False,
) -> Audited:
    """Run an entry on fresh splits and models, after a message on the cost, and compare with the public ones.

    Args:
        name: of a shipped method, or the path of a submission.
        track: a track's name, or the path of a TOML file.
        options: how to run it.
        seeds: how many fresh splits and models, at least 2.
        parameters: hyper-parameters, on top of those that ``bench tune`` chose.
        redraw: draw other fresh seeds than those of earlier audits.

    Raises:
        BenchError: the entry is invalid, or a unit or the machine failed.
    """
    public, store = load_track(track, options.secret), Store()
    if References(public, store).imported:
        what = f"the reference models of {public.name} were imported, and none like them can be trained here"
        raise BenchError(what, "your command", "audit the entry on a track whose models it trains", USAGE)
    source = find_entry(name)
    require_types(source, parameters or {})
    require_allowed(source, public)
    disclosure.within_quota(store, source, public)
    entry = tuned(source, public, store).with_parameters(parameters or {})
    fresh = results.fresh_track(store, public, seeds, redraw)
    public_and_fresh = References(public, store), References(fresh, store)
    pending = [timed_units.pending(store, entry, each, range(each.protocol.seeds)) for each in (public, fresh)]
    versions.pin(public_and_fresh[0], entry)
    cost = results.estimate(store, entry, public, sum(map(len, pending)), seeds)
    logger.info(
        f"audit of {entry.name}: {len(pending[0])} runs on the public seeds, {len(pending[1])} on fresh ones"
        + (f" and Retrain's time there: about {span(cost)}" if cost is not None and pending[1] else "")
    )
    with connected(options) as executor:
        for audited_track, units in zip((public, fresh), pending, strict=True):
            if units:
                run_units(open_context(audited_track, executor, options), units, executor, options)
            else:
                open_references(audited_track, executor, options)
    for references in public_and_fresh:
        for record in results.records(references, entry):
            if record.status != "ok":
                raise failure(store, references.track, record)
    return Audited(entry.name, results.changes(*public_and_fresh, entry), results.nulls(*public_and_fresh))
