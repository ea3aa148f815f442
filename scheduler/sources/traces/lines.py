"""Bytes of a file, plain or gzip, to batches of numbered text lines; memory stays flat."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, cast

from msgspec import Struct

from scheduler.protocol.errors import InputError, TraceError
from scheduler.sources.arrivals import BLOCK_ROWS

MAX_LINE_BYTES: Final = 16 * 2**20
CHUNK_BYTES: Final = 256 * 2**10
"""Bytes read at once: large enough that per-chunk costs vanish, small against `MAX_LINE_BYTES`."""

GZIP_MAGIC: Final = b"\x1f\x8b"
LFS_MAGIC: Final = b"version https://git-lfs.github.com/spec/"


class LineBatch(Struct, frozen=True):
    """Lines that are not blank, without their ends, with their numbers in the file (from 1).

    `suspect`: some line is not clean text (not UTF-8, with NUL, or too long), so that `check_line` must see each.
    """

    numbers: Sequence[int]
    lines: list[str]
    suspect: bool


def read_batches(path: str) -> Iterator[LineBatch]:
    """All lines of a file that are not blank, at most `BLOCK_ROWS` a batch. InputError if it cannot be read."""
    number = 1
    for chunk in _line_chunks(path):
        suspect = b"\0" in chunk or len(chunk) > MAX_LINE_BYTES
        try:
            text = chunk.decode()
        except UnicodeDecodeError:
            text = chunk.decode(errors="surrogateescape")
            suspect = True
        if number == 1:
            text = text.removeprefix("\ufeff")
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        lines = text.split("\n")
        if not lines[-1]:
            del lines[-1]
        for start in range(0, len(lines), BLOCK_ROWS):
            yield _without_blanks(lines[start : start + BLOCK_ROWS], number + start, suspect)
        number += len(lines)


def check_line(path: str, number: int, line: str) -> None:
    """TraceError if the line is not clean text."""
    if line.isascii() and "\0" not in line and len(line) <= MAX_LINE_BYTES:
        return
    if len(line.encode(errors="surrogateescape")) > MAX_LINE_BYTES:
        problem = f"the line is longer than {MAX_LINE_BYTES >> 20} MiB"
        raise TraceError(path, number, "", problem, "put one request on each line")
    try:
        line.encode()
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) & 0xFF
        problem = f"byte 0x{byte:02x} at character {error.start + 1} is not UTF-8"
        raise TraceError(path, number, "", problem, "save the trace as UTF-8 text") from None
    if "\0" in line:
        raise TraceError(path, number, "", "the line holds NUL bytes", "give a text file, not a binary one")


def byte_chunks(path: str) -> Iterator[bytes]:
    """The file piece by piece, unzipped if it is zipped. InputError if it cannot be read."""
    try:
        with open(path, "rb") as raw:
            refuse_device(raw, path)
            zipped = path.endswith(".gz") or raw.peek(2)[:2] == GZIP_MAGIC
            # typeshed gives GzipFile no common base with the plain file; both have `read`.
            file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if zipped else raw
            chunk = file.read(CHUNK_BYTES)
            refuse_pointer(path, chunk)
            while chunk:
                yield chunk
                chunk = file.read(CHUNK_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{shown(path)}: broken gzip data ({error}); fetch or compress the file again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def refuse_pointer(path: str, data: bytes) -> None:
    """InputError if this beginning of a file is what a clone without Git LFS leaves in a large file's place."""
    if data.startswith(LFS_MAGIC):
        raise InputError(
            f"{shown(path)}: is a Git LFS pointer, not the file itself; run 'git lfs pull' where it was cloned, "
            "or fetch the file anew"
        )


def _without_blanks(lines: list[str], first_number: int, suspect: bool) -> LineBatch:
    numbers: Sequence[int] = range(first_number, first_number + len(lines))
    if not all(map(str.strip, lines)):
        numbers = [number for number, line in zip(numbers, lines, strict=True) if line.strip()]
        lines = [line for line in lines if line.strip()]
    return LineBatch(numbers, lines, suspect)


def _line_chunks(path: str) -> Iterator[bytes]:
    """The file in pieces of whole lines. A line that is too long is cut just above the limit, where it shows."""
    carry = b""
    skipping = False
    for chunk in byte_chunks(path):
        if skipping:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk = chunk[end:]
            skipping = False
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield carry + chunk[:cut]
            carry = chunk[cut:]
        else:
            carry += chunk
            if len(carry) > MAX_LINE_BYTES:
                carry = carry[: MAX_LINE_BYTES + 1]
                skipping = True
    if carry:
        yield carry


def refuse_device(file: BinaryIO, path: str, what: str = "a trace") -> None:
    """InputError if an open file is a device that never ends, such as /dev/zero; a terminal does."""
    if stat.S_ISCHR(os.fstat(file.fileno()).st_mode) and not file.isatty() and path != os.devnull:
        raise InputError(f"{shown(path)}: is a device; give the path of {what}")


def unreadable(path: str, error: OSError, what: str = "a trace") -> InputError:
    """One line on a path that the system does not let us read, and that should be that of `what`."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{shown(path)}: no such file; give the path of {what}")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{shown(path)}: is a directory; give the path of {what} file")
    if isinstance(error, PermissionError):
        return InputError(f"{shown(path)}: permission denied; make the file readable")
    return InputError(f"{shown(path)}: {error.strerror or error}; give the path of {what} that can be read")


def shown(path: str) -> str:
    """A path as one line of text."""
    return path if path and path.isprintable() else repr(path)


def base_name(path: str) -> str:
    """The last part of a path, as a trace is called."""
    return shown(Path(path).name or path)
