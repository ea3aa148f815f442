"""Files of records that are added one by one: each has its length and a checksum, so that damage is found and named.

file  = magic, frame...
frame = length (u32), CRC32 of the body (u32), body
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from scheduler.protocol.errors import JournalError

MAX_FRAME_BYTES: Final = 1 << 28
"""A longer frame is damage: the largest message, 100,000 arrivals at one instant, is a tenth of it."""

_FRAME: Final = struct.Struct("<II")
_BUFFER_BYTES: Final = 1 << 20


def framed(body: bytes) -> bytes:
    """A body as it stands in the file."""
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


class CutShortError(JournalError):
    """The file ends within a record."""


class Frames:
    """Reads frames and knows where each began; a context manager. `maker` is what writes such files.

    All damage is a `JournalError` that names file, byte and fix.
    """

    def __init__(self, path: str | Path, magic: bytes, maker: str) -> None:
        self.offset = 0
        self._path = path
        self._magic = magic
        self._maker = maker
        self._following = 0
        self._file: BinaryIO = open(path, "rb", buffering=_BUFFER_BYTES)  # noqa: SIM115 - closed by `__exit__`

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def damage(self, what: str, kind: type[JournalError] = JournalError) -> JournalError:
        """The error for the frame that was read last."""
        return kind(f"{self._path}: byte {self.offset}: {what}; 'supernode journal repair' keeps what is before")

    def begin(self) -> None:
        """Read the magic, once and before all frames."""
        if self._file.read(len(self._magic)) != self._magic:
            problem = f"not a journal: it does not begin with {self._magic!r}"
            raise JournalError(f"{self._path}: byte 0: {problem}; give one that {self._maker} wrote")
        self._following = len(self._magic)

    def next(self) -> bytes:
        """The next body; empty at the very end of the file."""
        self.offset = self._following
        head = self._file.read(_FRAME.size)
        if not head:
            return b""
        if len(head) < _FRAME.size:
            raise self.damage("cut short within a record", CutShortError)
        length, checksum = _FRAME.unpack(head)
        if not 0 < length <= MAX_FRAME_BYTES:
            raise self.damage(f"a record of {length} bytes")
        body = self._file.read(length)
        if len(body) < length:
            raise self.damage("cut short within a record", CutShortError)
        if zlib.crc32(body) != checksum:
            raise self.damage("a record does not match its checksum")
        self._following += _FRAME.size + length
        return body

    def has_more(self, first_bytes: bytes) -> bool:
        """Whether a whole frame stands behind the beginning of the one that was read last, its body with one of these
        bytes first: then a length is damaged, and the file was not cut short."""
        self._file.seek(self.offset + 1)
        rest = self._file.read()
        last = len(rest) - _FRAME.size
        for at in range(last):
            length, checksum = _FRAME.unpack_from(rest, at)
            body = at + _FRAME.size
            is_likely = 0 < length <= last - at and rest[body] in first_bytes
            if is_likely and zlib.crc32(memoryview(rest)[body : body + length]) == checksum:
                return True
        return False
