"""Files that appear whole, or not at all: a disk that is full leaves what was there."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from scheduler.protocol.errors import InputError
from scheduler.sources.traces.lines import shown


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A path beside `path` to write to, which takes its place at the end; `InputError` if it cannot be written."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise InputError(
            f"{shown(str(path))}: cannot be written: {error.strerror or error}; make room, or name another place"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)
