"""What the control plane of a standing cluster says of itself, and whether that is of now."""

from __future__ import annotations

import json
from typing import Any, Final

from deploy.cluster.loopback import fetch
from deploy.cluster.state import ClusterState
from scheduler.protocol.errors import ClusterError, SilentError
from scheduler.runtime.clock import monotonic_s

ANSWER_S: Final = 5.0
"""Wall seconds for the control plane to answer."""

FRESH_S: Final = 5.0
"""Wall seconds after which what it shows is old: it looks at itself every second."""


def ask_status(state: ClusterState) -> dict[str, Any]:
    """What it serves at `/status`. `ClusterError` without an answer, `SilentError` for one that is old."""
    url = f"http://{state.metrics_address}/status"
    try:
        seen: dict[str, Any] = json.loads(fetch(url, ANSWER_S))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ClusterError(f"the control plane does not answer at {url} ({reason})") from error
    # One clock for all processes of a machine; a fresh control plane has not looked at itself yet.
    age_s = monotonic_s() - seen.get("published_monotonic_s", monotonic_s())
    if age_s > FRESH_S:
        raise SilentError(f"the control plane has not moved for {age_s:.0f} s")
    return seen
