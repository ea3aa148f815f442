"""Is the program on a cluster's nodes ours? If it is not there, a copy to send."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from workers.ray_shell.identity import PACKAGES, Identity, Program

COMPILED: Final = "*__mypyc.*"
"""The library of the compiled wheel, beside the packages."""

SHIP_HINT: Final = "install the same wheel on all nodes, or send this one with --ship"


def why_other_program(programs: Mapping[str, Program], expected: Program, *, ships: bool) -> str:
    """One line that names the first node with another program than the expected one; empty if there is none."""
    for node, found in programs.items():
        if _digests(found.identity) != _digests(expected.identity) or (found.version != expected.version and not ships):
            there, here = _text(found), _text(expected)
            return f"node {node} has supernode {there}, and this is {here}; {SHIP_HINT}"
    return ""


def _digests(identity: Identity) -> dict[str, str]:
    return {package: digest for package, (_, digest) in identity.items()}


def _text(program: Program) -> str:
    digests = "-".join(digest[:4] or "none" for digest in _digests(program.identity).values())
    return f"{program.version or 'of no version'} (digest {digests})"


@contextmanager
def shipped(*, ships: bool) -> Generator[dict[str, Any] | None]:
    """The runtime environment of our processes, which has our program in it; None for what the nodes have.

    Needed while a driver joins, as Ray takes a copy then.
    """
    if not ships:
        yield None
        return
    with staged() as folder:
        yield {"working_dir": str(folder)}


@contextmanager
def staged() -> Generator[Path]:
    """A folder with our packages and nothing else, to be the working directory of a runtime environment."""
    folder = Path(tempfile.mkdtemp(prefix="shipped-supernode-"))
    try:
        for package in PACKAGES:
            origin = _folder_of(package)
            shutil.copytree(origin, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
            for library in origin.parent.glob(COMPILED):
                shutil.copy2(library, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None, f"{package} is imported, and so found"
    assert spec.submodule_search_locations, f"{package} is a package"
    return Path(next(iter(spec.submodule_search_locations)))
