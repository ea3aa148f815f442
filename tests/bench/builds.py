"""The builds to measure: this checkout, and the compiled wheel where it is installed and made from the same sources."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.ray_shell.identity import identity

COMPILED: Final = Path(os.environ.get("COMPILED", "out/wheel/venv"))
"""The environment that `make wheel-test` installs the wheel in."""

_TELL: Final = "import json; from workers.ray_shell.identity import identity; print(json.dumps(identity()))"


@dataclass(frozen=True, slots=True)
class Build:
    """`programs`: the folder of its `supernode` and `python`; `folder`: one with tests, which import it there."""

    name: str
    programs: Path
    folder: Path

    @property
    def supernode(self) -> str:
        """The command line."""
        return str(self.programs / "supernode")


PURE: Final = Build("pure", Path(sys.executable).parent, Path.cwd())


def builds() -> list[Build]:
    """The pure one, and the compiled one if there is one; if not, prints why and what makes it."""
    folder, python = Path("out/wheel/checkout").resolve(), COMPILED.resolve() / "bin" / "python"
    if not python.exists():
        print(f"compiled: not run: no {python}; run 'make wheel-test', or set COMPILED=VENV")
        return [PURE]
    folder.mkdir(parents=True, exist_ok=True)
    told = subprocess.run([python, "-c", _TELL], cwd=folder, capture_output=True, check=True).stdout
    theirs = {package: digest for package, (_, digest) in json.loads(told).items()}
    if theirs != {package: digest for package, (_, digest) in identity().items()}:
        print(f"compiled: not run: {COMPILED} is not made from these sources; run 'make wheel-test'")
        return [PURE]
    for name in ("tests", "examples"):
        shutil.copytree(name, folder / name, dirs_exist_ok=True)
    return [PURE, Build("compiled", python.parent, folder)]
