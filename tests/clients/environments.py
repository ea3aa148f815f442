"""Virtual environments of clients, each by itself, since what they ask for does not fit together, nor with ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path("out/clients")
"""Everything of `make clients`; it may be deleted at any time."""

TOKENIZER: Final = FOLDER / "tokenizer"


def environment(package: str, python: str = "") -> Path:
    """The folder of programs of an environment with a package such as locust==2.47.0, made if it is not there."""
    name = package.partition("==")[0]
    folder = FOLDER / name
    stamp = folder / "made"
    if not stamp.exists() or stamp.read_text() != package:
        print(f"installing {package} into {folder}", flush=True)
        subprocess.run([python or sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", package]
        subprocess.run(pip, check=True)
        stamp.write_text(package)
    return folder / "bin"


def tokenizer(programs: Path) -> Path:
    """A tokenizer of our own for clients that would fetch one, made by an environment that has the libraries."""
    if not (TOKENIZER / "tokenizer.json").exists():
        script = Path(__file__).with_name("make_tokenizer.py")
        subprocess.run([programs / "python", script, TOKENIZER], check=True, capture_output=True)
    return TOKENIZER


def python_from(least: tuple[int, int]) -> str:
    """A Python of at least this version: PYTHON3_12 or so names it, else one is looked for; empty if there is none."""
    major, minor = least
    named = os.environ.get(f"PYTHON{major}_{minor}", f"python{major}.{minor}")
    for command in (sys.executable, named):
        asked = [command, "-c", f"import sys; sys.exit(sys.version_info < {least!r})"]
        try:
            if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            continue
    return ""
