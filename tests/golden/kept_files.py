"""What is kept of a file that a case left: JSON whole, short texts whole, of all else digests that tell where it
differs, column by column or family by family.

Digests are of texts whose fractions are rounded to `DIGITS`, so that the last bit of another machine's arithmetic does
not show; `EXACT` beside them is of the text as it is and is held only by a strict comparison.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

DIGITS: Final = 10
MAX_WHOLE_LINES: Final = 40
EXACT: Final = "sha256_exact"

_FRACTION: Final = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+")
_FAMILY: Final = re.compile(r"[A-Za-z_:][\w:]*")

TextView = Callable[[str], str]
ValueView = Callable[[Any], Any]


def describe_file(path: Path, view_text: TextView, view_value: ValueView) -> Any:
    """Plain values for JSON; the views take away what is of one machine only."""
    if not path.is_file():
        return "there is no such file"
    if path.suffix == ".npz":
        return _arrays(path)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return view_value(json.loads(text))
    text = view_text(text)
    lines = text.splitlines()
    exact = {"lines": len(lines), EXACT: hashlib.sha256(text.encode()).hexdigest()}
    if path.suffix == ".csv":
        return {**exact, "columns": _columns(lines)}
    if path.suffix == ".txt":
        return {**exact, "families": _families(lines)}
    if len(lines) <= MAX_WHOLE_LINES and len(text) < 100 * MAX_WHOLE_LINES:
        return lines
    return {**exact, "sha256": _digest(lines)}


def _digest(lines: Iterable[str]) -> str:
    """Of lines, with rounded fractions."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(_FRACTION.sub(_rounded, line).encode() + b"\n")
    return digest.hexdigest()[:16]


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match[0]):.{DIGITS}g}"


def _columns(lines: list[str]) -> dict[str, str]:
    """Of each column: its first value for whoever reads it, and the digest of all."""
    header, *rows = list(csv.reader(lines))
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in header]
    return {name: f"{column[0] if column else ''} .. {_digest(column)}" for name, column in zip(header, columns)}


def _families(lines: list[str]) -> dict[str, str]:
    """Of each metric: how many samples there are, and the digest of all."""
    found: dict[str, list[str]] = {}
    for line in lines:
        name = "comments" if line.startswith("#") else (match[0] if (match := _FAMILY.match(line)) else "others")
        found.setdefault(name, []).append(line)
    return {name: f"{len(samples)} .. {_digest(samples)}" for name, samples in found.items()}


def _arrays(path: Path) -> dict[str, Any]:
    """Of each array: its number of rows, and digests of the bytes of its fields."""
    described: dict[str, Any] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            rows: Any = arrays[name]
            fields: list[str] = list(rows.dtype.names or ())
            parts = {field: rows[field] for field in fields} or {"all": rows}
            digests = {field: f"{part.dtype} {_bytes_digest(part)}" for field, part in parts.items()}
            described[name] = {"rows": len(rows), **digests}
    return described


def _bytes_digest(part: Any) -> str:
    """Of floats as far as they are held elsewhere, so that the last bit of another machine is no difference."""
    if part.dtype.kind == "f":
        return _digest([f"{value:.{DIGITS}g}" for value in part.tolist()])
    return hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest()[:16]
