"""HTTP to servers on this machine, whatever proxy the others are behind."""

from __future__ import annotations

from typing import Final
from urllib.request import OpenerDirector, ProxyHandler, build_opener

_OPENER: Final[OpenerDirector] = build_opener(ProxyHandler({}))


def fetch(url: str, timeout_s: float) -> bytes:
    """The body of the answer; `OSError` (of which urllib's errors are) if there is none in time."""
    with _OPENER.open(url, timeout=timeout_s) as answer:
        return answer.read()
