"""A simulated hour in a real Prometheus: promtool loads the file, and the shipped dashboard finds its figures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.cli import main
from deploy.cluster.prometheus_server import PrometheusServer
from deploy.dashboards.files import UIDS, load_dashboard
from deploy.dashboards.prometheus_api import Prometheus, Window
from deploy.run.openmetrics import DEFAULT_INTERVAL_S, DEFAULT_START_S
from tests.dashboard_check import check_dashboard
from tests.live.quick_prometheus import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="needs the programs prometheus and promtool",
)

WORKLOAD = """\
preset: azure_conversation
num_requests: 7500
arrivals: {process: poisson, rate_per_s: 0.75}
sessions: {mean_turns: 2.7, max_turns: 12, think_mean_s: 8, system_groups: 4, system_tokens: 1024}
"""
"""An hour of chats, some two requests a second."""

OF_PROCESSES = r"supernode_hop_wall_seconds|process_"
"""On the virtual clock there is no control plane of its own, and no message goes from process to process."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Any]]]:
    """The URL of a Prometheus that holds a simulated hour, and the result of its replay."""
    folder = tmp_path_factory.mktemp("openmetrics")
    workload, scrapes = folder / "hour.yaml", folder / "scrapes"
    workload.write_text(WORKLOAD)
    command = [
        "replay",
        str(workload),
        "--slo",
        "ttft=2s,tpot=50ms",
        "--policy",
        "slo_aware",
        "--out",
        str(folder / "run"),
    ]
    assert main([*command, "--openmetrics", str(scrapes)]) == 0
    loading = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(scrapes), str(folder / "data")]
    subprocess.run(loading, check=True, capture_output=True, timeout=60)
    server = PrometheusServer(folder, free_port(), "127.0.0.1:1")
    try:
        yield f"http://{server.address}", json.loads((folder / "run" / "summary.json").read_text())
    finally:
        server.close()


@pytest.mark.parametrize("uid", UIDS)
def test_the_dashboards_show_the_simulated_hour(loaded: tuple[str, dict[str, Any]], uid: str) -> None:
    url, _ = loaded
    window = Window(DEFAULT_START_S + 120.0, DEFAULT_START_S + 3480.0, DEFAULT_INTERVAL_S)
    answers = check_dashboard(load_dashboard(uid), url, window, DEFAULT_INTERVAL_S)
    assert len(answers) > 10
    faults = [answer.fault for answer in answers if answer.fault and not re.search(OF_PROCESSES, answer.query)]
    assert not faults, "\n" + "\n".join(faults)


def test_its_figures_are_those_of_the_replay(loaded: tuple[str, dict[str, Any]]) -> None:
    url, result = loaded
    end_s = DEFAULT_START_S + result["simulated_s"] + 1

    def at_the_end(query: str) -> float:
        (series,) = Prometheus(url).over_time(query, Window(end_s, end_s, DEFAULT_INTERVAL_S))
        return series.values[-1]

    assert at_the_end("supernode_requests_arrived_total") == result["requests"]["arrived"]
    assert at_the_end("sum(supernode_instance_energy_joules_total)") == pytest.approx(result["energy"]["joules"])
    energy, cost = result["energy"], result["cost"]
    assert at_the_end("sum(supernode_energy_joules_total)") == pytest.approx(energy["facility"]["joules"])
    for phase in ("prefill", "decode", "idle"):
        assert at_the_end(f'supernode_energy_joules_total{{phase="{phase}"}}') == pytest.approx(energy["by"][phase])
    for part in ("cpu", "supply_loss", "building"):
        assert at_the_end(f'supernode_energy_joules_total{{part="{part}"}}') == pytest.approx(energy["by"][part])
    assert at_the_end("sum(supernode_cost_dollars_total)") == pytest.approx(cost["usd"])
    assert at_the_end("sum(supernode_fabric_bytes_total)") == sum(one["bytes"] for one in result["fabric"].values())
    for name, key in (
        ("time_per_output_token_seconds", "tpot_s"),
        ("request_queue_time_seconds", "queue_s"),
        ("time_to_first_token_seconds", "ttft_s"),
        ("e2e_request_latency_seconds", "e2e_s"),
        ("inter_token_latency_seconds", "itl_s"),
    ):
        for level in (50, 90, 99):
            shown = at_the_end(f"histogram_quantile({level / 100}, supernode_{name}_bucket)")
            assert shown == pytest.approx(result[key][f"p{level}"], rel=0.1), (name, level)
    mean_ttft = "supernode_time_to_first_token_seconds_sum / supernode_time_to_first_token_seconds_count"
    assert at_the_end(mean_ttft) == pytest.approx(result["ttft_s"]["mean"])
