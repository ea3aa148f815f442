"""What a metrics endpoint shows of one snapshot: each page is written once, however many ask for it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from threading import Lock
from typing import Any, Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from scheduler.metrics.export.exposition import OPENMETRICS_END, OPENMETRICS_TYPE, TEXT_TYPE, render
from scheduler.metrics.live.status import status
from scheduler.metrics.snapshot import Snapshot

GZIP_BYTES: Final = 1400
"""What fits into one packet gains nothing by being shorter."""

GZIP_LEVEL: Final = 1
"""The fastest: labels repeat so much that it leaves a tenth."""

PLAIN_TYPE: Final = "text/plain; charset=utf-8"

# Its openmetrics module has no types.
_OPENMETRICS: Final[Any] = openmetrics_exposition


class Page(Struct, frozen=True):
    """An answer. `packed` is the body under gzip, None if that gains nothing."""

    code: HTTPStatus
    content_type: str
    body: bytes
    packed: bytes | None = None


class Shown:
    """One snapshot, and what `/status` tells besides, as pages by path."""

    def __init__(self, snapshot: Snapshot, more: Mapping[str, Any], process: CollectorRegistry) -> None:
        self._snapshot = snapshot
        self._more = more
        self._process = process
        self._pages: dict[str, Page] = {}
        self._lock = Lock()

    def page(self, path: str, accept: str) -> Page:
        """The answer to a request; those who ask at the same time wait for whoever writes it."""
        is_openmetrics = path == "/metrics" and "application/openmetrics-text" in accept
        write = _WRITERS.get(path)
        if write is None:
            return _ABSENT
        key = f"{path} {is_openmetrics}"
        with self._lock:
            page = self._pages.get(key)
            if page is None:
                page = self._pages[key] = write(self._snapshot, self._more, self._process, is_openmetrics)
        return page


def _metrics(snapshot: Snapshot, _: Mapping[str, Any], process: CollectorRegistry, is_openmetrics: bool) -> Page:
    text = metrics_text(snapshot, process, openmetrics=is_openmetrics)
    return _page(OPENMETRICS_TYPE if is_openmetrics else TEXT_TYPE, text)


def _status(snapshot: Snapshot, more: Mapping[str, Any], _process: CollectorRegistry, _: bool) -> Page:
    return _page("application/json", json.dumps({**more, **status(snapshot)}) + "\n")


def _root(*_: object) -> Page:
    return _page(PLAIN_TYPE, "supernode: see /metrics and /status\n")


_WRITERS: Final[Mapping[str, Callable[[Snapshot, Mapping[str, Any], CollectorRegistry, bool], Page]]] = {
    "/metrics": _metrics,
    "/status": _status,
    "/": _root,
}

_ABSENT: Final = Page(HTTPStatus.NOT_FOUND, PLAIN_TYPE, b"not here: see /metrics and /status\n")


def _page(content_type: str, text: str) -> Page:
    body = text.encode()
    packed = gzip.compress(body, GZIP_LEVEL) if len(body) > GZIP_BYTES else None
    return Page(HTTPStatus.OK, content_type, body, packed)


def metrics_text(snapshot: Snapshot, process: CollectorRegistry, *, openmetrics: bool) -> str:
    """What `/metrics` answers: CPU and memory of this process, then the snapshot."""
    if openmetrics:
        own: str = _OPENMETRICS.generate_latest(process).decode().removesuffix(OPENMETRICS_END)
    else:
        own = generate_latest(process).decode()
    return own + render(snapshot, openmetrics=openmetrics)
