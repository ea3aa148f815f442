"""Record what golden cases show: `python -m tests.golden.record [CASE ...]` writes `expected/GROUP/CASE.json`.

With `--out DIR` it writes there instead, beside full texts of kept files, so that `diff -r` of two such folders, made
from two checkouts, shows all that differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from tests.golden.case import HERE, Case, by_name, run_case
from tests.golden.cases import CASES, FOLDER_OF
from tests.golden.comparing import dumps

EXPECTED: Final = HERE / "expected"


def seen(case: Case, raw: Path | None = None) -> str:
    """The text to keep of a case, run in a temporary folder."""
    with TemporaryDirectory() as folder:
        return dumps(run_case(case, Path(folder), raw))


def record(arguments: Sequence[str] | None = None) -> int:
    """The command: answers its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.record", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names of cases; all if none is given")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write, with full texts of kept files")
    options = parser.parse_args(arguments)
    named = by_name(CASES)
    if unknown := [name for name in options.cases if name not in named]:
        parser.error(f"no such case: {', '.join(unknown)}; known: {', '.join(named)}")
    folder: Path = options.out or EXPECTED
    for name in options.cases or named:
        started_s = monotonic()
        text = seen(named[name], options.out)
        path = folder / FOLDER_OF[name] / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name:<28} {monotonic() - started_s:6.2f} s {len(text):9,} bytes\n")
        sys.stdout.flush()
    if not options.cases and options.out is None:
        for path in EXPECTED.glob("*/*.json"):
            if FOLDER_OF.get(path.stem) != path.parent.name:
                path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(record())
