"""Expected results as texts, and where found ones differ from them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from tests.golden.kept_files import EXACT

TOLERANCE: Final = 1e-12
"""Relative, of floats: below what anybody computes, above the last bit of another machine's libm."""

MAX_WIDTH: Final = 116
MAX_SHOWN: Final = 20


def dumps(value: Any) -> str:
    """JSON whose objects and arrays take one line where they fit in one, for readable diffs."""
    return _lines(value, "", 0) + "\n"


def _lines(value: Any, indent: str, used: int) -> str:
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or len(indent) + used + len(short) <= MAX_WIDTH:
        return short
    inner = indent + " "
    if isinstance(value, dict):
        members: dict[str, Any] = value
        keys = {name: json.dumps(name, ensure_ascii=False) + ": " for name in members}
        parts = [keys[name] + _lines(member, inner, len(keys[name])) for name, member in members.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}}}"
    items: list[Any] = value
    return "[\n" + ",\n".join(inner + _lines(item, inner, 0) for item in items) + f"\n{indent}]"


def differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Lines of path, expected and found. Keys, texts, integers and types are held exactly, floats to `TOLERANCE`."""
    if isinstance(expected, dict) and isinstance(found, dict):
        yield from _of_objects(expected, found, path)
    elif isinstance(expected, list) and isinstance(found, list):
        yield from _of_arrays(expected, found, path)
    elif not _same(expected, found):
        yield f"{path or 'all'}: expected {_shown(expected)}, found {_shown(found)}"


def _of_objects(expected: dict[str, Any], found: dict[str, Any], path: str) -> Iterator[str]:
    for name in [*expected, *(name for name in found if name not in expected)]:
        inner = f"{path}.{name}" if path else name
        if name == EXACT:
            continue
        if name not in found:
            yield f"{inner}: expected {_shown(expected[name])}, but it is missing"
        elif name not in expected:
            yield f"{inner}: not expected, found {_shown(found[name])}"
        else:
            yield from differences(expected[name], found[name], inner)


def _of_arrays(expected: list[Any], found: list[Any], path: str) -> Iterator[str]:
    if len(expected) != len(found):
        yield f"{path}: expected {len(expected)} items, found {len(found)}"
    for index, (one, other) in enumerate(zip(expected, found)):
        yield from differences(one, other, f"{path}[{index}]")


def _same(expected: Any, found: Any) -> bool:
    if type(expected) is not type(found):
        return False
    if isinstance(expected, float):
        both_nan = math.isnan(expected) and math.isnan(found)
        return both_nan or math.isclose(expected, found, rel_tol=TOLERANCE, abs_tol=0.0)
    return expected == found


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}..."


def message(name: str, found: list[str]) -> str:
    """For a person: where a case differs, and what to do if that is meant."""
    lines = [f"{name} differs in {len(found)} places:", *(f"  {line}" for line in found[:MAX_SHOWN])]
    if len(found) > MAX_SHOWN:
        lines.append(f"  ... and {len(found) - MAX_SHOWN} more")
    return "\n".join([*lines, f"if that is meant: python -m tests.golden.record {name}"])
