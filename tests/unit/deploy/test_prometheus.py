"""The configuration of Prometheus is valid and agrees with the ports and intervals that others rely on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.dashboards.prometheus_api import SCRAPE_INTERVAL_S
from deploy.ports import METRICS_PORT, PROMETHEUS_PORT

CONFIG = Path(__file__).parents[3] / "deploy" / "prometheus" / "prometheus.yml"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs the program promtool")
def test_promtool_finds_no_fault() -> None:
    check = subprocess.run(["promtool", "check", "config", CONFIG], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr


def test_it_scrapes_our_ports_at_the_interval_that_rates_are_made_for() -> None:
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert config["global"]["scrape_interval"] == f"{SCRAPE_INTERVAL_S:.0f}s"
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets == {"supernode": [f"127.0.0.1:{METRICS_PORT}"], "prometheus": [f"127.0.0.1:{PROMETHEUS_PORT}"]}
    assert config["scrape_configs"][0]["honor_labels"] is True
