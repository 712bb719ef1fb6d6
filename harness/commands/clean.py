"""``bench clean``: show what takes disk space, and free it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import json_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.doctor.disk import Heap

KINDS = ("inputs", "partial", "checkpoints", "held-weights", "damaged", "logs", "orphans", "image", "unreferenced")


@verb(
    "maintain",
    "Show what takes disk space, and free it",
    epilog="Examples: bench clean; bench clean --inputs --logs --orphans; bench clean --all --dry-run",
)
@click.option("--inputs", is_flag=True, help="Data of units in the store; it is written again when needed.")
@click.option("--partial", is_flag=True, help="Downloads that were not finished.")
@click.option("--checkpoints", is_flag=True, help="What interrupted trainings would resume from.")
@click.option("--held-weights", is_flag=True, help="Weights of unlearned models that wait for their probes.")
@click.option("--damaged", is_flag=True, help="Damaged files that bench doctor --store set aside.")
@click.option("--logs", is_flag=True, help="Logs of failed units and of errors.")
@click.option("--orphans", is_flag=True, help="Containers, processes and folders that killed runs left behind.")
@click.option("--image", is_flag=True, help="The benchmark's container images; `bench image` makes them again.")
@click.option("--unreferenced", is_flag=True, help="Arrays in the store that no document refers to.")
@click.option("--all", "everything", is_flag=True, help="All of that, and all results: references, records, scores.")
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(everything: bool, dry_run: bool, yes: bool, as_json: bool, **chosen: bool) -> None:
    """Show what takes disk space, in the store and around it, and free what the options name.

    It asks before it deletes. Finished units, their records and references are only deleted with --all, after a second
    question. Data sets are never deleted.
    """
    from unlearn_bench.harness.doctor import disk
    from unlearn_bench.harness.store.store import Store

    store = Store()
    heaps = list(disk.heaps(store))
    wanted = {f"--{kind}" for kind in KINDS if everything or chosen[kind.replace("-", "_")]} | (
        {"--all"} if everything else set()
    )
    selected = [heap for heap in heaps if heap.option in wanted and heap.count]
    freed = bool(selected) and not dry_run and (yes or _agreed(selected, str(store.root)))
    if freed:
        for heap in selected:
            heap.free()
    if as_json:
        kinds = [
            {
                "kind": heap.kind,
                "bytes": heap.size,
                "count": heap.count,
                "option": heap.option,
                "freed": freed and heap in selected,
            }
            for heap in heaps
        ]
        click.echo(json.dumps({"store": str(store.root), "kinds": kinds}, indent=1))
        return
    click.echo(f"store {store.where}")
    for heap in heaps:
        mark = "" if heap not in selected else "freed" if freed else "to free"
        click.echo(f"{heap.kind:<14} {_size(heap.size):>9} {heap.count:>6}  {heap.option:<15} {mark:<8}{heap.about}")
    if not wanted:
        click.echo("free with the option beside it; --all also frees references, records and scores")
    elif not selected:
        click.echo("nothing to free")


def _agreed(selected: list[Heap], place: str) -> bool:
    total = sum(heap.size for heap in selected)
    names = ", ".join(heap.kind for heap in selected)
    if not click.confirm(f"free {_size(total)}: {names}?", err=True):
        return False
    results = [heap.kind for heap in selected if heap.option == "--all"]
    return not results or click.confirm(
        f"this deletes results that took computing: {', '.join(results)} in {place}. Sure?", err=True
    )


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
