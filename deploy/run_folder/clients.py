"""`clients.npz`: what clients that wait had waited for before each of their requests."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct

from deploy.terminal.whole_file import replacing
from scheduler.metrics.columns import Ints, Rows
from scheduler.metrics.records import Records
from scheduler.sources.clients.log import ClientsLog

ASKED_ROW: Final = np.dtype([("row", "<i4"), ("ready_ns", "<i8"), ("free_ns", "<i8"), ("freed_by", "<i4")])
"""A request, in the order of ids: its row in the trace, when it was ready since those that it followed had ended (-1 if
it followed none), and since when its client was free, from the answer to which request (-1 for its first)."""

FOLLOWED_ROW: Final = np.dtype([("request_id", "<i4"), ("before", "<i4")])
"""A request and one whose end it waited for."""

NOTHING: Final = -1


class ClientsRows(Struct, frozen=True):
    """What is in the file. `planned_turns` are of each session, shape (num_sessions,), none where there are none."""

    asked: Rows
    followed: Rows
    planned_turns: Ints

    def followed_by(self, request_id: int) -> list[int]:
        """The requests whose ends one waited for."""
        own = self.followed[self.followed["request_id"] == request_id]
        return own["before"].tolist()


def clients_rows(log: ClientsLog, records: Records) -> ClientsRows | None:
    """Of a run that has ended; None if nothing was kept."""
    if log.asked is None:
        return None
    num = records.num_requests
    asked = np.full(num, NOTHING, ASKED_ROW)
    rows = np.array(log.asked.rows, np.int64)[:num]
    # What was sent and has not arrived when a run was stopped has no id.
    asked["row"], asked["free_ns"] = rows, np.array(log.asked.free_ns)[:num]
    ids = np.full(1 + max((int(rows.max(initial=-1)), *log.followers), default=-1), NOTHING)
    ids[rows] = np.arange(num)
    freed_by = np.array(log.asked.freed_by)[:num]
    asked["freed_by"] = np.where(freed_by == NOTHING, NOTHING, ids[freed_by])
    pairs = [(int(ids[row]), int(ids[before])) for before, after in log.followers.items() for row in _sent(after, ids)]
    followed = np.array(sorted(pairs), FOLLOWED_ROW) if pairs else np.zeros(0, FOLLOWED_ROW)
    _note_ready(asked, followed, records.ended_ns, log.delays_ns)
    return ClientsRows(asked, followed, np.array(log.planned_turns or [], np.int64))


def _sent(rows: list[int], ids: Ints) -> list[int]:
    return [row for row in rows if row < len(ids) and ids[row] != NOTHING]


def _note_ready(asked: Rows, followed: Rows, ended_ns: Ints, delays_ns: list[int]) -> None:
    """Since the last end of those that a request follows, and its delay."""
    last_ns = np.full(len(asked), NOTHING, np.int64)
    np.maximum.at(last_ns, followed["request_id"], ended_ns[followed["before"]])
    follows = np.flatnonzero(last_ns != NOTHING)
    delays = np.array([delays_ns[row] for row in asked["row"][follows].tolist()], np.int64)
    asked["ready_ns"][follows] = last_ns[follows] + delays


def write_clients(path: Path, rows: ClientsRows | None) -> None:
    """The file appears whole or not at all; one of a run before is gone where there is nothing to tell."""
    if rows is None:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, asked=rows.asked, followed=rows.followed, planned_turns=rows.planned_turns)


def read_clients(path: Path) -> ClientsRows:
    """ValueError if the rows are of another kind."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        found = ClientsRows(stored["asked"], stored["followed"], stored["planned_turns"])
    if found.asked.dtype != ASKED_ROW or found.followed.dtype != FOLLOWED_ROW:
        raise ValueError("the rows of clients are of another kind")
    return found
