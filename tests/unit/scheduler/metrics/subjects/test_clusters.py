"""What is exported and told of a run on several clusters: the figures of each under its own labels, and the same sums
as of the whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.cli import main
from deploy.run_folder.read import open_run
from sim_hw.clusters.atlas_800i_a2 import ATLAS_800I_A2
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H800_CLUSTER
from tests.unit.deploy.run_folder.made import DEMO

PLAN = "2x32p@h800+1x32p@ascend-910b+1x160d"
MIXED = "4x32p@ascend-910b+1x160d"
GROW = """
from scheduler.policies.scaling_view import Wanted

class Grow:
    def wanted(self, view):
        at_s = view.samples[-1].at_s
        prefill, decode = (6, 2) if at_s < 10 else (4, 1)
        return Wanted({"prefill": prefill, "decode": decode}, f"at {at_s:g} s")
"""
CLUSTERS = (H800_CLUSTER, ATLAS_800I_A2, CLOUDMATRIX384)
PREFILL_DIES = {"h800-cluster": range(64), "atlas-800i-a2": range(384, 416)}
FIRST_DECODE_DIE, DECODE_DIES = 768, 320

Series = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A replay of a fleet of three chips of two makers, scraped under all names."""
    path = tmp_path_factory.mktemp("mixed")
    (path / "names.yaml").write_text("names: own,ascend,dcgm\n")
    told = ("--plan", PLAN, "--cache", "none", "--limit", "150", "--config", str(path / "names.yaml"))
    scrapes = ("--openmetrics", str(path / "scrapes"), "--scrape-interval", "5")
    assert main(["replay", DEMO, *told, *scrapes, "--out", str(path / "run")]) == 0
    return path


@pytest.fixture(scope="module")
def last(folder: Path) -> Series:
    """The last sample of each series, by family."""
    return last_samples(folder)


def last_samples(folder: Path) -> Series:
    found: dict[str, dict[str, tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families((folder / "scrapes").read_text()):
        for sample in family.samples:
            of_family = found.setdefault(sample.name, {})
            of_family[json.dumps(sample.labels, sort_keys=True)] = sample.labels, sample.value
    return {name: list(of_family.values()) for name, of_family in found.items()}


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    """Of the run."""
    return json.loads((folder / "run" / "summary.json").read_text())


def values(last: Series, name: str, **labels: str) -> Iterator[float]:
    """Of the series that have these labels."""
    return (value for found, value in last[name] if labels.items() <= found.items())


def test_each_instance_is_told_with_its_cluster_and_chip(last: Series) -> None:
    told = {
        (labels["instance"], labels["supernode"], labels["cluster"], labels["chip"])
        for labels, _ in last["supernode_instance_info"]
    }
    assert told == {
        ("prefill-0", "0", "h800-cluster", "NVIDIA H800 SXM"),
        ("prefill-1", "0", "h800-cluster", "NVIDIA H800 SXM"),
        ("prefill-2", "1", "atlas-800i-a2", "Ascend 910B"),
        ("decode-0", "2", "cloudmatrix384", "Ascend 910C"),
    }
    counts = {(labels["cluster"], labels["chip"]): value for labels, value in last["supernode_cluster_npus"]}
    assert counts == {(one.name, one.chip.title): 384 for one in CLUSTERS}


def test_npus_nodes_and_racks_are_numbered_over_all_supernodes(last: Series) -> None:
    places = {int(labels["npu"]): labels for labels, _ in last["supernode_npu_power_watts"]}
    assert sorted(places) == [*range(64), *range(384, 416), *range(768, 928)]
    for npu, labels in places.items():
        assert (int(labels["node"]), int(labels["rack"])) == (npu // 8, npu // 32)
    assert places[384]["instance"] == "prefill-2"


def test_the_exporter_of_each_maker_tells_of_its_own_chips(last: Series) -> None:
    gpus = {labels["UUID"]: labels for labels, _ in last["DCGM_FI_DEV_POWER_USAGE"]}
    assert gpus.keys() == {f"GPU-emulated-{gpu}" for gpu in range(64)}
    assert {labels["modelName"] for labels in gpus.values()} == {"NVIDIA H800 SXM"}
    assert gpus["GPU-emulated-63"]["Hostname"] == "node-7"
    dies = {int(labels["id"]): labels["model_name"] for labels, _ in last["npu_chip_info_power"]}
    decode = range(FIRST_DECODE_DIE, FIRST_DECODE_DIE + DECODE_DIES)
    assert dies == dict.fromkeys(range(384, 416), "Ascend 910B") | dict.fromkeys(decode, "Ascend 910C")
    assert next(values(last, "machine_npu_nums")) == len(dies)
    memory = {int(labels["id"]): value * 2**20 for labels, value in last["npu_chip_info_hbm_total_memory"]}
    assert memory[384] == ATLAS_800I_A2.chip.die.hbm_bytes.value
    assert memory[FIRST_DECODE_DIE] == CLOUDMATRIX384.chip.die.hbm_bytes.value


def test_what_is_exported_is_what_the_summary_says(last: Series, summary: dict[str, Any]) -> None:
    assert_joules_are_those(last, summary)
    assert sum(values(last, "supernode_cost_dollars_total")) == pytest.approx(summary["cost"]["usd"], rel=1e-6)
    million_in = summary["cost"]["usd_per_million_input_tokens"] * summary["tokens"]["prompt"] / 1e6
    assert sum(values(last, "supernode_cost_dollars_total", side="input")) == pytest.approx(million_in, rel=0.01)


def test_empty_npus_of_each_chip_draw_as_such_where_instances_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "grow.py").write_text(GROW)
    (tmp_path / "told.yaml").write_text(
        f"autoscaler: {tmp_path / 'grow.py'}:Grow\nautoscaler_interval_s: 3\nautoscaler_start_s: 1\n"
    )
    told = ("--plan", MIXED, "--cache", "none", "--limit", "150", "--config", str(tmp_path / "told.yaml"))
    scrapes = ("--openmetrics", str(tmp_path / "scrapes"), "--scrape-interval", "5")
    assert main(["replay", DEMO, *told, *scrapes, "--out", str(tmp_path / "run")]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert 128 < summary["clusters"]["atlas-800i-a2"]["instance_npus"] < 192
    assert 160 < summary["clusters"]["cloudmatrix384"]["instance_npus"] < 320
    assert_joules_are_those(last_samples(tmp_path), summary)


def assert_joules_are_those(last: Series, summary: dict[str, Any]) -> None:
    by: dict[str, float] = summary["energy"]["by"]
    for phase in ("prefill", "decode", "idle"):
        assert sum(values(last, "supernode_energy_joules_total", phase=phase)) == pytest.approx(by[phase], rel=1e-6)
    for part in by.keys() - {"prefill", "decode", "idle"}:
        assert sum(values(last, "supernode_energy_joules_total", part=part)) == pytest.approx(by[part], rel=1e-6)


def test_clusters_are_told_apart_and_together_are_the_whole(summary: dict[str, Any]) -> None:
    clusters = summary["clusters"]
    assert list(clusters) == [one.name for one in CLUSTERS]
    assert [one["instance_npus"] for one in clusters.values()] == [64, 32, 160]
    assert {one["npus"] for one in clusters.values()} == {384}
    assert sum(one["joules"] for one in clusters.values()) == pytest.approx(summary["energy"]["joules"])
    assert clusters["cloudmatrix384"]["utilization"] == summary["per_npu"]["decode"]["utilization"]
    assert clusters["cloudmatrix384"]["watts"] == summary["per_npu"]["decode"]["watts"]
    both = 64 * clusters["h800-cluster"]["utilization"] + 32 * clusters["atlas-800i-a2"]["utilization"]
    assert both / 96 == pytest.approx(summary["per_npu"]["prefill"]["utilization"])


def test_the_folder_its_report_and_explain_name_clusters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = open_run(str(folder / "run"))
    assert [one.cluster for one in run.supernodes] == [one.name for one in CLUSTERS]
    assert main(["report", str(folder / "run"), "--output", str(folder / "report.html")]) == 0
    page = (folder / "report.html").read_text()
    assert "supernode 1, atlas-800i-a2 (Ascend 910B)" in page
    capsys.readouterr()
    assert main(["explain", "17", str(folder / "run")]) == 0
    told = capsys.readouterr().out
    assert "on Ascend 910C" in told
    assert "on NVIDIA H800 SXM" in told or "on Ascend 910B" in told
