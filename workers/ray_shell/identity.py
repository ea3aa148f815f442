"""Is another process running the same program? A folder `workers` in a user's directory must not pass for ours."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import Struct

PACKAGES: Final = ("scheduler", "workers", "sim_hw", "deploy")
"""Our top-level packages: names common enough to meet their doubles."""

Identity = dict[str, tuple[str, str]]
"""Package -> (its folder, digest of its Python files), as a process found them when it started."""


class Program(Struct, frozen=True):
    """Our program as a process has it: the version of its distribution, empty if it is none that was installed."""

    version: str
    identity: Identity


def own_program(distribution: str) -> Program:
    """That of this process."""
    try:
        installed = version(distribution)
    except PackageNotFoundError:
        installed = ""
    return Program(installed, identity())


def identity() -> Identity:
    """What this process gets when it imports our packages; ("", "") for one that it cannot find."""
    return {package: _look_at(package) for package in PACKAGES}


def find_stranger(found: Identity, expected: Identity) -> str:
    """One line that names the first package of another process which is not the expected one; empty if all are."""
    for package, (folder, digest) in expected.items():
        found_folder, found_digest = found[package]
        if found_digest == digest:
            continue
        if found_folder == folder:
            return f"the files in {folder} changed since this process started; start the cluster again"
        return (
            f"a worker process finds the package {package!r} in {found_folder or 'no folder'}, "
            f"which is not that in {folder}; take the other folder off PYTHONPATH, or start from another directory"
        )
    return ""


def _look_at(package: str) -> tuple[str, str]:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return "", ""
    folder = Path(next(iter(spec.submodule_search_locations)))
    state = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*.py")):
        state.update(path.relative_to(folder).as_posix().encode() + b"\0")
        state.update(path.read_bytes())
    return str(folder), state.hexdigest()
