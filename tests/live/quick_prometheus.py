"""A real Prometheus for tests: the shipped configuration at a shorter interval, on a free port."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from deploy.cluster import prometheus_server
from deploy.cluster.prometheus_server import CONFIG_PATH, PrometheusServer
from deploy.dashboards.prometheus_api import Prometheus, Window

SCRAPE_INTERVAL_S = 1
FIRST_SAMPLE_S = 30.0


@contextmanager
def quick_prometheus(folder: Path, metrics_address: str) -> Generator[str]:
    """Its base URL, once it has scraped HOST:PORT for the first time; it goes on every second until it is ended."""
    config = yaml.safe_load(CONFIG_PATH.read_text(encoding="utf-8"))
    every = f"{SCRAPE_INTERVAL_S}s"
    config["global"] |= {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    folder.mkdir(parents=True, exist_ok=True)
    quick = folder / "quick.yml"
    quick.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prometheus_server, "CONFIG_PATH", quick)
        server = PrometheusServer(folder, free_port(), metrics_address)
    try:
        _wait_for_samples(f"http://{server.address}")
        yield f"http://{server.address}"
    finally:
        server.close()


def _wait_for_samples(url: str) -> None:
    """Prometheus gives its scrapers their targets only some five seconds after it is ready."""
    deadline_s = time.monotonic() + FIRST_SAMPLE_S
    while True:
        now_s = time.time()
        if Prometheus(url).over_time('up{job="supernode"} == 1', Window(now_s, now_s, SCRAPE_INTERVAL_S)):
            return
        assert time.monotonic() < deadline_s, "Prometheus does not reach the metrics"
        time.sleep(0.1)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
