"""A golden case: command lines run one after the other in a folder of their own, and what can be seen of them.

Nothing of the project is imported but its entry point, so that the cases outlive any move of what is behind it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import deploy.cli
from deploy.cli import main
from tests.golden.kept_files import describe_file

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
INPUTS: Final = HERE / "inputs"
EXAMPLES: Final = ROOT / "examples"

SHIPPED: Final = Path(deploy.cli.__file__).parent / "examples"
"""Where a wheel, under which the cases run as well, has put them."""

WALL_KEYS: Final = frozenset({"wall_s"})
"""Of JSON: how long something took on this machine."""

SURROUNDINGS: Final = {"COLUMNS": "80", "LINES": "24", "NO_COLOR": "1", "SUPERNODE_TRACEBACK": ""}
"""What a terminal or a shell would change about texts."""

DIGEST_KEYS: Final = frozenset({"config_digest"})

_WALL_TEXT: Final = re.compile(r"simulated in .*? \([\d.,]+x\)")
_DIGEST_TEXT: Final = re.compile(r"config [0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Case:
    """`steps` are command lines without the program's name. Each runs in a folder with copies of `inputs/*/*` and of
    `examples/`; `keep` are files that they leave there.

    `hides_digest`: the configuration holds an absolute path, so that its digest is another in each folder.
    """

    name: str
    steps: tuple[str, ...]
    keep: tuple[str, ...] = ()
    hides_digest: bool = False


def run_case(case: Case, folder: Path, raw: Path | None = None) -> dict[str, Any]:
    """What was seen, as plain values without wall times and places; `raw`: a folder for full texts of all of it."""
    for kind in INPUTS.iterdir():
        shutil.copytree(kind, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(EXAMPLES, folder / "examples")
    view = _View(folder, case.hides_digest)
    with chdir(folder), patch.dict(os.environ, SURROUNDINGS):
        seen: dict[str, Any] = {"steps": [_run_step(line, view) for line in case.steps]}
    if case.keep:
        seen["files"] = {name: describe_file(folder / name, view.text, view.value) for name in case.keep}
    if raw is not None:
        _write_raw(case, folder, raw, view)
    return seen


def split(line: str) -> list[str]:
    """A command line at its blanks; none of the cases needs quotes."""
    return line.split()


def _run_step(line: str, view: _View) -> dict[str, Any]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(split(line))
    step: dict[str, Any] = {"command": line, "exit": code}
    step["stdout"] = view.answer(out.getvalue())
    if err.getvalue():
        step["stderr"] = view.text(err.getvalue()).splitlines()
    return step


def _write_raw(case: Case, folder: Path, raw: Path, view: _View) -> None:
    for name in case.keep:
        source, target = folder / name, raw / case.name / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".npz":
            shutil.copy(source, target)
        elif source.suffix == ".json":
            value = view.value(json.loads(source.read_text(encoding="utf-8")))
            target.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        else:
            target.write_text(view.text(source.read_text(encoding="utf-8")), encoding="utf-8")


class _View:
    """Output as it is on any machine and at any speed."""

    def __init__(self, folder: Path, hides_digest: bool) -> None:
        places = {folder: "<folder>", folder.resolve(): "<folder>", SHIPPED: "<checkout>/examples", ROOT: "<checkout>"}
        self._places = [(str(place), name) for place, name in places.items()]
        self._hides_digest = hides_digest

    def answer(self, text: str) -> Any:
        """JSON as its value, any other text as lines."""
        if text[:1] in ("{", "["):
            try:
                return self.value(json.loads(text))
            except ValueError:
                pass
        return self.text(text).splitlines()

    def text(self, text: str) -> str:
        """A text without places and wall times."""
        for place, name in self._places:
            text = text.replace(place, name)
        text = _WALL_TEXT.sub("simulated in <wall>", text)
        return _DIGEST_TEXT.sub("config <digest>", text) if self._hides_digest else text

    def value(self, value: Any, key: str = "") -> Any:
        """A value of JSON without these; `key` is the one it stands under."""
        if key in WALL_KEYS:
            return "<wall>"
        if key in DIGEST_KEYS and self._hides_digest:
            return "<digest>"
        if isinstance(value, dict):
            members: dict[str, Any] = value
            return {name: self.value(member, name) for name, member in members.items()}
        if isinstance(value, list):
            items: list[Any] = value
            return [self.value(item) for item in items]
        return self.text(value) if isinstance(value, str) else value


def by_name(cases: Sequence[Case]) -> dict[str, Case]:
    """The cases by their names, which differ."""
    named = {case.name: case for case in cases}
    if len(named) != len(cases):
        raise ValueError("two golden cases have one name")
    return named
