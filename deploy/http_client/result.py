"""What came of a replay over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from deploy.run.replay import write_figures
from scheduler.metrics.outcome.client_summary import ClientSummary
from scheduler.metrics.records import Records


class ClientResult(Struct, frozen=True):
    """As `ReplayResult`, in the eyes of a client. `warnings` are lines for a person."""

    title: str
    summary: ClientSummary
    records: Records
    warnings: list[str]
    is_partial: bool
    class_names: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.summary.to_json(), "partial": self.is_partial, "via": "http"}

    def page(self) -> str:
        """For people, ending in a newline."""
        return self.summary.page(self.title)

    def write(self, directory: str, document: dict[str, Any], command: Sequence[str]) -> None:
        """`summary.json` and `requests.csv`; what a run folder has besides only the system knows."""
        write_figures(Path(directory), document, self.records, ([], []), self.class_names)
