"""Questions to a Prometheus server over its HTTP interface."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode

from msgspec import Struct

from deploy.cluster.loopback import fetch
from scheduler.protocol.errors import ClusterError, InputError

TIMEOUT_S: Final = 10.0

REFUSED: Final = (400, 422)
"""HTTP status of a query that Prometheus cannot read or run."""

SCRAPE_INTERVAL_S: Final = 5.0
"""As in prometheus.yml, and in the data source of Grafana."""


class Window(Struct, frozen=True):
    """From `start_s` to `end_s` (Unix time) in steps of `step_s`."""

    start_s: float
    end_s: float
    step_s: float


class Series(Struct, frozen=True):
    """One series of a result: its labels, and two columns of Unix seconds and values (NaN where it has none)."""

    labels: Mapping[str, str]
    times_s: tuple[float, ...]
    values: tuple[float, ...]


class QueryError(InputError):
    """A query that Prometheus refuses."""


class Prometheus:
    """A server by its base address, such as http://127.0.0.1:9090.

    Each question raises ClusterError if nobody answers at the address, QueryError if the question is refused.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def over_time(self, expression: str, window: Window) -> list[Series]:
        """The values of an expression at each step of a window, sorted by labels."""
        answer = self._ask(
            "query_range",
            {"query": expression, "start": window.start_s, "end": window.end_s, "step": window.step_s},
        )
        # A scalar over time comes as one series without labels.
        return [_series(one["metric"], one["values"]) for one in answer["result"]]

    def _ask(self, path: str, parameters: Mapping[str, str | float]) -> Any:
        try:
            return json.loads(fetch(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", TIMEOUT_S))["data"]
        except HTTPError as error:
            with error:
                reason = _reason(error)
            if error.code in REFUSED:
                raise QueryError(f"{self.url} refuses {dict(parameters)}: {reason}; fix the query") from None
            why = reason
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            why = " ".join(f"{type(error).__name__} {error}".split())
        raise ClusterError(f"no Prometheus answers at {self.url} ({why}); start one with 'supernode up --prometheus'")


def _series(labels: Mapping[str, str], points: list[tuple[float, str]]) -> Series:
    return Series(labels, tuple(time_s for time_s, _ in points), tuple(float(value) for _, value in points))


def _reason(error: HTTPError) -> str:
    """What Prometheus says of a query it cannot run; the bare status if it was somebody else who refused."""
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {error.code}"
