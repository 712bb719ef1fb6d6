"""What shells offer when somebody types a track, a method or an entry; docs/install.md says how to switch it on."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.tracks import DEFAULT_TRACK


def tracks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the shipped tracks, or else files."""
    from unlearn_bench.harness.tracks.loading import track_names

    return _offered(track_names(), incomplete)


def methods(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the shipped methods, or else files, for commands that take a method or a submission."""
    from unlearn_bench.harness.entries.entry import baseline_names

    return _offered(baseline_names(), incomplete)


def entries(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the entries that have run on the track of the command line."""
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import unit_store

    given = ctx.params.get("track") or ctx.params.get("tracks") or DEFAULT_TRACK
    try:
        track = load_track(given if isinstance(given, str) else given[-1])
        return _offered({record.name for record in unit_store.seed_records(Store(), track)}, incomplete)
    except BenchError:  # the command itself will say what is wrong
        return []


def _offered(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    offered = [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
    return offered or [CompletionItem(incomplete, type="file")]
