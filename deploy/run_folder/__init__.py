"""The folder that `replay --out` writes and `report` and `explain` read; docs/run-folder.md says what is in it.

Reading order: `log` (what a run leaves for it), `write`, `clients` (a file of its own), `read`.
"""

from typing import Final

FORMAT: Final = 3
"""Of `RUN_NAME`; a program reads the format that it writes, and no other."""

RUN_NAME: Final = "run.json"
TIMELINE_NAME: Final = "timeline.csv"
DECISIONS_NAME: Final = "decisions.npz"
CLIENTS_NAME: Final = "clients.npz"

LOG_NAMES: Final = (RUN_NAME, TIMELINE_NAME, DECISIONS_NAME, CLIENTS_NAME)
"""What is written beside the summary and the records, the last in runs of clients that wait."""
