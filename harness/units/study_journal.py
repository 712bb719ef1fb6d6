"""The journal of a search for parameters, as a document of the store."""

from __future__ import annotations

import json
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from unlearn_bench.harness.store.store import Store


class StudyJournal(BaseJournalBackend):
    """What happened in an Optuna study, kept under a kind and a name of the store; see Optuna's base class."""

    def __init__(self, store: Store, kind: str, name: str) -> None:
        self._store, self._kind, self._name = store, kind, name

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the logs from this number on.

        Raises:
            StoreError: the document is damaged.
        """
        document = self._store.read(self._kind, self._name)
        logs: list[dict[str, Any]] = self._of_older_version() if document is None else document["logs"]
        return logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append logs, all or none.

        Raises:
            Unwritable: the store cannot be written.
        """
        with self._store.lock(f"journal-{self._name}"):
            self._store.write(self._kind, self._name, {"logs": [*self.read_logs(0), *logs]})

    def _of_older_version(self) -> list[dict[str, Any]]:
        """Return the logs of a search that a version began whose journals were files of one line per log."""
        path = self._store.root / self._kind / f"{self._name}.journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
