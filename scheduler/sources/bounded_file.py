"""One way to read a file that is held in memory whole: not longer than it should be, and not without end."""

from __future__ import annotations

from typing import Final

from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.lines import refuse_device, refuse_pointer, shown, unreadable

MAX_FILE_BYTES: Final = 2**20


def read_bounded(path: str, what: str) -> bytes:
    """The bytes of a file that should be `what`, such as "a workload".

    Raises `InputError` for a path that cannot be read, a device, a Git LFS pointer and anything longer than
    `MAX_FILE_BYTES`.
    """
    try:
        with open(path, "rb") as file:
            refuse_device(file, path, what)
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error, what) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{shown(path)}: longer than {MAX_FILE_BYTES >> 20} MiB; give {what} file")
    refuse_pointer(path, data)
    return data
