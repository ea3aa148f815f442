"""What dashboards made for others ask, asked of a real Prometheus that scrapes our names for it."""

from __future__ import annotations

import math

from deploy.dashboards.prometheus_api import Prometheus, Window
from deploy.dashboards.queries import fill
from scheduler.metrics.export.names.ascend import FAMILIES
from tests.vllm_dashboard import PUBLISHED_QUERIES

MODEL = "deepseek-r1"


def unanswered(url: str, window: Window, scrape_interval_s: float) -> list[str]:
    """The expressions of vLLM's dashboard and the names of the Ascend exporter that answer no number."""
    prometheus = Prometheus(url)
    asked = [query.replace("$model_name", MODEL) for query in PUBLISHED_QUERIES]
    asked += [family.name for family in FAMILIES]
    return [query for query in asked if not _has_number(prometheus, fill(query, window, scrape_interval_s), window)]


def _has_number(prometheus: Prometheus, expression: str, window: Window) -> bool:
    found = prometheus.over_time(expression, window)
    return any(not math.isnan(value) for series in found for value in series.values)
