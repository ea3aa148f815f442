"""Which build of us runs: pure Python, or the wheel in which the hot rooms are compiled (`make wheel`).

Python imports a compiled module rather than the source beside it, so what lies there tells what runs. An edit of such a
source is without effect, and who makes one is told: a wheel notes the digest of each of its files.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from msgspec import Struct

from workers.ray_shell.identity import PACKAGES

DISTRIBUTION: Final = "supernode-serve"
ROOT: Final = Path(__file__).parents[2]


class Installation(Struct, frozen=True):
    """Paths are of sources, from the folder that the packages lie in.

    `compiled`: those beside which a compiled module lies. `unlike`: those of them that it was not made from, as far as
    anybody can tell.
    """

    num_modules: int
    compiled: tuple[str, ...]
    unlike: tuple[str, ...]

    def describe(self) -> str:
        """In one line: what runs."""
        if not self.compiled:
            return f"pure Python: none of {self.num_modules} modules is compiled"
        edited = f"; {len(self.unlike)} sources differ from what was compiled, which runs" if self.unlike else ""
        return f"compiled: {len(self.compiled)} of {self.num_modules} modules, the others are Python{edited}"


def look(root: Path = ROOT, digests: Mapping[str, str] | None = None) -> Installation:
    """Look at the packages in a folder; `digests`: what the wheel notes of its files, None to look that up."""
    sources = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    compiled = [path for path in sources if any(path.with_suffix(suffix).is_file() for suffix in EXTENSION_SUFFIXES)]
    if compiled and digests is None:
        digests = _noted_digests()
    names = {path: path.relative_to(root).as_posix() for path in compiled}
    unlike = [names[path] for path in compiled if (digests or {}).get(names[path]) != _digest(path)]
    return Installation(len(sources), tuple(names.values()), tuple(unlike))


def _noted_digests() -> Mapping[str, str]:
    """By path; empty where nothing is installed, or a checkout is."""
    try:
        files = distribution(DISTRIBUTION).files
    except PackageNotFoundError:
        files = None
    return {path.as_posix(): path.hash.value for path in files or () if path.hash is not None}


def _digest(path: Path) -> str:
    """In the form of a wheel's RECORD."""
    return urlsafe_b64encode(sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
