"""The ports of a live cluster, all on 127.0.0.1. The files for Prometheus, Grafana and compose name the same."""

from __future__ import annotations

from typing import Final

LOOPBACK: Final = "127.0.0.1"

HTTP_PORT: Final = 8000
"""Where the OpenAI interface is served, as vLLM has it."""

METRICS_PORT: Final = 9384
"""Where the control plane shows its metrics."""

PROMETHEUS_PORT: Final = 9090
GRAFANA_PORT: Final = 3000
