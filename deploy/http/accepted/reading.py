"""Reads a file of accepted requests: which are open, whose outcomes are kept, and where it is damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from deploy.http.accepted.records import (
    FORMAT_VERSION,
    KINDS,
    MAGIC,
    MAKER,
    Accepted,
    Ended,
    Forgotten,
    Outcome,
    Record,
    record_of,
)
from scheduler.protocol.codec import pack, unpack
from scheduler.protocol.errors import CodecError, JournalError
from scheduler.runtime.frames import CutShortError, Frames, framed

FILE_MODE: Final = 0o600

HEAD: Final = MAGIC + framed(pack((FORMAT_VERSION,)))
"""How a file begins."""


class Known(NamedTuple):
    """A request of the file, and what came of it if it has ended."""

    accepted: Accepted
    ended: Ended | None = None

    @property
    def outcome(self) -> Outcome | None:
        """None while it is open."""
        return None if self.ended is None else self.ended.outcome


class Contents(NamedTuple):
    """What a file holds, in the order of acceptance. `cut_at` is the byte where it was cut short, if it was."""

    known: dict[str, Known]
    num_records: int
    cut_at: int | None


def is_accepted_file(path: str | Path) -> bool:
    """Whether it begins as one."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_accepted(path: str | Path, *, may_be_cut: bool = False) -> Contents:
    """All of a file; one that `may_be_cut` short ends with its last whole record.

    `JournalError` for other damage, and for a file that is cut short where it may not be.
    """
    known: dict[str, Known] = {}
    num_records, cut_at = 0, None
    with Frames(path, MAGIC, MAKER) as frames:
        try:
            for record in _records(frames):
                _take(known, record)
                num_records += 1
        except CutShortError:
            if not may_be_cut:
                raise
            cut_at = frames.offset
            if frames.has_more(KINDS):
                raise frames.damage("a record is longer than the file, and others follow it") from None
    return Contents(known, num_records, cut_at)


def repair_accepted(path: str | Path, out: str | Path) -> int:
    """Copy all that is whole before the first damage; returns the number of records kept."""
    if Path(out).exists() and Path(out).samefile(path):
        raise JournalError(f"{out}: would overwrite the file to repair; name another file")
    kept = bytearray(HEAD)
    num_records = 0
    with Frames(path, MAGIC, MAKER) as frames:
        _begin(frames)
        with suppress(JournalError):  # the damage, which repair cuts off
            while body := frames.next():
                _record(frames, body)
                kept += framed(body)
                num_records += 1
    write_private(Path(out), bytes(kept))
    return num_records


def write_private(path: Path, data: bytes) -> None:
    """A file that only its owner can read, whatever was there before."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with open(descriptor, "wb") as file:
        file.write(data)


def _begin(frames: Frames) -> None:
    frames.begin()
    version = unpack(frames.next() or pack(None))
    if version != [FORMAT_VERSION]:
        raise frames.damage(f"the head is that of another version (this program reads {FORMAT_VERSION})")


def _records(frames: Frames) -> Iterator[Record]:
    _begin(frames)
    while body := frames.next():
        yield _record(frames, body)


def _record(frames: Frames, body: bytes) -> Record:
    try:
        return record_of(body)
    except CodecError as error:
        raise frames.damage(str(error)) from error


def _take(known: dict[str, Known], record: Record) -> None:
    if isinstance(record, Accepted):
        known.pop(record.request_id, None)  # one that failed and was asked for again comes last
        known[record.request_id] = Known(record)
    elif isinstance(record, Forgotten) or record.request_id not in known:
        known.pop(record.request_id, None)
    elif not known[record.request_id].accepted.key:  # nobody can ask for its outcome
        del known[record.request_id]
    else:
        known[record.request_id] = Known(known[record.request_id].accepted, record)
