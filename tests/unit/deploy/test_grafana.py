"""The provisioning of Grafana: it finds Prometheus and knows the scrape interval; a visitor can change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deploy.cluster.ports import PROMETHEUS_PORT
from deploy.dashboards.grafana import PROVISIONED_NAME, PROVISIONED_UID
from deploy.dashboards.prometheus_api import SCRAPE_INTERVAL_S

PROVISIONING = Path(__file__).parents[3] / "deploy" / "grafana" / "provisioning"


def _read(name: str) -> dict[str, Any]:
    found = yaml.safe_load((PROVISIONING / name).read_text(encoding="utf-8"))
    assert found["apiVersion"] == 1
    return found


def test_the_data_source_is_our_prometheus() -> None:
    (source,) = _read("datasources/prometheus.yaml")["datasources"]
    assert (source["name"], source["uid"]) == (PROVISIONED_NAME, PROVISIONED_UID)
    assert source["url"] == f"http://127.0.0.1:{PROMETHEUS_PORT}"
    assert source["jsonData"]["timeInterval"] == f"{SCRAPE_INTERVAL_S:.0f}s"
    assert not source["editable"]


def test_dashboards_are_files_that_a_visitor_cannot_change() -> None:
    (provider,) = _read("dashboards/supernode.yaml")["providers"]
    assert provider["type"] == "file"
    assert not provider["allowUiUpdates"]
