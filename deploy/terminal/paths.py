"""Places that a run will write to, tried before it begins: a long run must not lose its result for want of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.lines import shown


def check_folder(flag: str, folder: str, names: Iterable[str]) -> None:
    """Make the folder if need be, and see that files of these names can be written into it."""
    try:
        _refuse_empty(flag, folder)
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for name in names:
            if Path(folder, name).exists():
                _try_to_write(Path(folder, name))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{flag} {shown(folder)}: {_reason(error)}; give a folder that can be written") from None


def check_file(flag: str, path: str, inputs: Iterable[str]) -> None:
    """See that the file can be written and is none of those that are read."""
    try:
        _refuse_empty(flag, path)
        for other in inputs:
            if Path(path).exists() and Path(other).exists() and Path(path).samefile(other):
                raise ConfigError(f"{flag} {shown(path)}: would overwrite what is read; name another file")
        _try_to_write(Path(path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{flag} {shown(path)}: {_reason(error)}; give a file that can be written") from None


def _refuse_empty(flag: str, path: str) -> None:
    if not path:
        raise ConfigError(f"{flag} is empty; give a path or leave it out")


def _try_to_write(path: Path) -> None:
    """Open it as a writer would, changing nothing; a file that was not there is gone again."""
    is_new = not path.exists()
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666))
    if is_new:
        path.unlink(missing_ok=True)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileExistsError):
        return "is no folder"
    return (isinstance(error, OSError) and error.strerror) or str(error)
