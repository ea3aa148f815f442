"""Which code this is: a digest of our packages' sources, to tell whether two processes or a journal mean the same."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

PACKAGES: Final = ("scheduler", "workers", "sim_hw", "deploy")


def source_root() -> Path:
    """The folder that holds our packages."""
    return Path(__file__).resolve().parent.parent


@cache
def code_digest() -> str:
    """Short digest of every Python file of our packages, by relative name and content."""
    digest = hashlib.sha256()
    root = source_root()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
