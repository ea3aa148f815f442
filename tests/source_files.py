"""The text files of the project, as the rules of tests/unit/test_tidy.py and tests/unit/test_docs.py read them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("scheduler", "workers", "sim_hw", "deploy")

Finding = tuple[int, str]
"""A line, and what is wrong there with how to fix it."""


@dataclass(frozen=True)
class Source:
    """One text file of the project, by its path from the root; `tree` is empty for what is not Python."""

    path: str
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text) if self.path.endswith(".py") else ast.Module([], [])

    @property
    def is_packaged(self) -> bool:
        return self.path.startswith(tuple(f"{package}/" for package in PACKAGES))


Rule = Callable[[Source], Iterator[Finding]]
"""Looks at one file and yields what is wrong in it."""


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def files() -> tuple[str, ...]:
    """Paths of everything of ours, new files included: what git does not ignore, or all of the packages without git."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = set(listing.stdout.splitlines() if listing.returncode == 0 else _walk())
    return tuple(name for name in sorted(names) if (ROOT / name).is_file())


def _walk() -> list[str]:
    return [
        path.relative_to(ROOT).as_posix()
        for top in (*PACKAGES, "tests", "docs", "examples")
        for path in (ROOT / top).rglob("*")
        if "__pycache__" not in path.parts
    ]


@cache
def sources() -> tuple[Source, ...]:
    """Every text file that people write."""
    ours = re.compile(r".*\.(py|toml|md|cfg|yaml|yml)|Makefile|requirements\.lock|\.ci/run")
    return tuple(Source(name, (ROOT / name).read_text(encoding="utf-8")) for name in files() if ours.fullmatch(name))


def findings(rule: Rule) -> str:
    """What a rule finds in all files, one line each with file and line; empty if all is well."""
    return "".join(f"\n{source.path}:{line}: {what}" for source in sources() for line, what in rule(source))
