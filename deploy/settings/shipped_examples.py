"""The example traces that come with the program: a checkout's own, or those in the installed package."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from deploy.terminal.output import tell
from scheduler.protocol.errors import InputError
from scheduler.sources.traces.lines import shown

FOLDER_NAME: Final = "examples"

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def examples_folder(package: Path = _PACKAGE) -> Path | None:
    """Where they are; None in an installation without them."""
    installed = package / FOLDER_NAME
    if installed.is_dir():
        return installed
    # A folder `examples` beside an installed package is somebody else's; a checkout is told by its pyproject.toml.
    checkout = package.parent
    folder = checkout / FOLDER_NAME
    return folder if (checkout / "pyproject.toml").is_file() and folder.is_dir() else None


def find_input(path: str, folder: Path | None = None) -> str:
    """The path of a trace or workload as given, or that of a shipped example if there is nothing at `path`.

    `NAME` and `examples/NAME` lead to the shipped example of that name, and a line on stderr says so. `InputError` if
    there is nothing, but a shipped example has nearly the name. All else is left to who opens the path.
    """
    folder = examples_folder() if folder is None else folder
    if not path or os.path.lexists(path) or folder is None:
        return path
    given = Path(path)
    found = folder / given.name
    if str(given.parent) in (".", FOLDER_NAME) and found.is_file():
        tell(f"{shown(path)}: no such file here; taking the example that came with supernode, {found}")
        return str(found)
    if near := _near(given.name, folder):
        raise InputError(f"{shown(path)}: no such file; did you mean {FOLDER_NAME}/{near}, which came with supernode?")
    return path


def _near(name: str, folder: Path) -> str:
    """The shipped example with the nearest name; the part before the first dot decides, as endings are all alike."""
    names = [file.name for file in sorted(folder.iterdir())]
    stems = get_close_matches(_stem(name), {_stem(other) for other in names}, n=1)
    near = [other for other in names if _stem(other) in stems]
    return next(iter(get_close_matches(name, near, n=1, cutoff=0)), "")


def _stem(name: str) -> str:
    return name.partition(".")[0]
