"""Keeps accepted requests in a file, each before its client is answered, so that a killed process loses none.

What was written is with the kernel: it outlives the process, but not a power cut. The file holds what is open and what
is kept, and some of what no longer matters; that goes when the file is written anew, at its opening and whenever it has
grown beyond a bound.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from deploy.http.accepted.reading import HEAD, Known, read_accepted, write_private
from deploy.http.accepted.records import Accepted, Ended, Forgotten, Record, body_of
from scheduler.protocol.errors import ClusterError
from scheduler.runtime.frames import framed

MAX_FILE_BYTES: Final = 16 * 2**20
"""Beyond this, or twice what it held when it was written last, it is written anew: 60,000 requests of some prompts."""


class AcceptedFile:
    """`accept`, `end` and `forget` add a record each, with one write; `known` is what it held when it was opened.

    `cut_at`: where a record that was cut short began, if the file ended with one; it is gone now.
    """

    def __init__(self, path: str | Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        """`JournalError` if the file is damaged, `OSError` if it cannot be read or written."""
        self._path = Path(path)
        self._least_bytes = self._most_bytes = max_bytes
        contents = read_accepted(path, may_be_cut=True) if self._path.exists() else None
        self.known: Final[dict[str, Known]] = {} if contents is None else contents.known
        self.cut_at: Final = None if contents is None else contents.cut_at
        # What of the file still matters, as it stands there, by request.
        self._frames: dict[str, bytes] = {one: _frames_of(known) for one, known in self.known.items()}
        self._descriptor = -1
        self._num_bytes = 0
        self._write_anew()

    def close(self) -> None:
        """Nothing is added any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def accept(self, accepted: Accepted) -> None:
        """Before anything is answered. `ClusterError` if it cannot be written, as on a disk that is full."""
        frame = _frame(accepted)
        self._append(frame)
        self._frames[accepted.request_id] = frame

    def end(self, accepted: Accepted, ended: Ended) -> None:
        """It has ended; its outcome is kept if there is a key by which it can be asked for."""
        self._append(_frame(ended))
        if accepted.key:
            self._frames[accepted.request_id] = _frames_of(Known(accepted, ended))
        else:
            self._frames.pop(accepted.request_id, None)

    def forget(self, accepted: Accepted) -> None:
        """Its outcome is kept no longer."""
        self._append(_frame(Forgotten(accepted.request_id)))
        self._frames.pop(accepted.request_id, None)

    def _append(self, frame: bytes) -> None:
        try:
            if self._num_bytes > self._most_bytes:
                self._write_anew()
            num_written = os.write(self._descriptor, frame)
        except OSError as error:
            raise ClusterError(f"{self._path}: {error.strerror}") from error
        if num_written < len(frame):
            os.ftruncate(self._descriptor, self._num_bytes)
            raise ClusterError(f"{self._path}: the disk is full")
        self._num_bytes += num_written

    def _write_anew(self) -> None:
        beside = self._path.with_name(f"{self._path.name}.new")
        data = b"".join([HEAD, *self._frames.values()])
        write_private(beside, data)
        beside.replace(self._path)
        self.close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._num_bytes = len(data)
        self._most_bytes = max(self._least_bytes, 2 * len(data))


def _frame(record: Record) -> bytes:
    return framed(body_of(record))


def _frames_of(known: Known) -> bytes:
    """One that has ended is not submitted again: its blocks need not be kept."""
    if known.ended is None:
        return _frame(known.accepted)
    return _frame(replace(known.accepted, request=replace(known.accepted.request, prefix=[]))) + _frame(known.ended)
