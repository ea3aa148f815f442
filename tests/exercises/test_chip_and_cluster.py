"""The worked example of CONTRIBUTING.md: a chip and a cluster of it are one new file each, and are then everywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import sim_hw.chips
import sim_hw.clusters
from deploy.cli import main
from deploy.hardware.lookup import load_cluster
from deploy.system.metric_names import names_shown
from sim_hw.chips.sheet import CHIPS
from sim_hw.clusters.sheet import CLUSTERS

CHIP_FILE = '''
"""An example of a chip: two dies of an accelerator that nobody makes."""

from __future__ import annotations

from typing import Final

from sim_hw.chips.chip import Chip, Die, PeakRates
from sim_hw.chips.sheet import ChipSheet
from sim_hw.figure import Confidence, Figure, gigabytes, gigabytes_per_s, teraflops, watts

_GUESS = Confidence.ESTIMATE
_SHEET = "data sheet of the example"

EXAMPLE_NPU = Chip(
    name="example-npu",
    title="Example NPU",
    die=Die(
        peak=PeakRates(bf16=teraflops(400, _SHEET, _GUESS), int8=teraflops(800, _SHEET, _GUESS)),
        hbm_bytes=gigabytes(96, _SHEET, _GUESS),
        hbm_bytes_per_s=gigabytes_per_s(2000, _SHEET, _GUESS),
        scale_up_bytes_per_s=gigabytes_per_s(200, _SHEET, _GUESS),
        scale_out_bytes_per_s=gigabytes_per_s(25, _SHEET, _GUESS),
    ),
    num_dies=Figure(2, "die", _SHEET, _GUESS),
    scale_up_network="ring",
    scale_up_domain_npus=Figure(64, "NPU", _SHEET, _GUESS),
    tdp_w=watts(800, _SHEET, _GUESS),
    idle_w=watts(150, _SHEET, _GUESS),
)

SHEETS: Final = (
    ChipSheet(
        chip=EXAMPLE_NPU,
        maker="ascend",
        fit="ascend-910c",
        power_fit="h200",
        rents={"neocloud": Figure(1.5, "USD/h", _SHEET, _GUESS)},
    ),
)
'''

CLUSTER_FILE = '''
"""An example of a cluster: eight nodes of eight example NPUs."""

from __future__ import annotations

from typing import Final

from sim_hw.chips.chip import Precision
from sim_hw.chips.example_npu import EXAMPLE_NPU
from sim_hw.clusters.sheet import ClusterSheet
from sim_hw.clusters.supernode import Endpoint, Overlap, PlanePort, ServingDefaults, StageLayout, Supernode
from sim_hw.figure import Confidence, Figure, gigabytes_per_s, watts
from sim_hw.planes import Plane

_GUESS = Confidence.ESTIMATE
_SHEET = "data sheet of the example"

EXAMPLE_POD = Supernode(
    name="example-pod",
    title="Pod of 64 example NPUs",
    chip=EXAMPLE_NPU,
    num_nodes=Figure(8, "node", _SHEET, _GUESS),
    npus_per_node=Figure(8, "NPU", _SHEET, _GUESS),
    cpus_per_node=Figure(2, "CPU socket", _SHEET, _GUESS),
    compute_racks=Figure(2, "rack", _SHEET, _GUESS),
    network_racks=Figure(1, "rack", _SHEET, _GUESS),
    price_usd=Figure(1.6e6, "USD", _SHEET, _GUESS),
    provisioned_w=watts(110_000, _SHEET, _GUESS),
    other_ports=(PlanePort(Plane.VPC, Endpoint.NODE, gigabytes_per_s(50, _SHEET, _GUESS)),),
    defaults=ServingDefaults(
        plan="2x16p+1x32d",
        precision=Precision.INT8,
        prefill=StageLayout(num_npus=16, ep=32, overlap=Overlap.TWO_BATCHES),
        decode=StageLayout(num_npus=32, ep=64, overlap=Overlap.TWO_BATCHES),
        source="two prefill instances and one for decode",
        confidence=_GUESS,
    ),
)

SHEETS: Final = (ClusterSheet(supernode=EXAMPLE_POD),)
'''


@pytest.fixture(autouse=True)
def _two_new_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two files in a folder that counts as one of `sim_hw/chips` and `sim_hw/clusters`."""
    for package, catalog, name, text in (
        (sim_hw.chips, CHIPS, "example_npu", CHIP_FILE),
        (sim_hw.clusters, CLUSTERS, "example_pod", CLUSTER_FILE),
    ):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / f"{name}.py").write_text(text.lstrip())
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)
        monkeypatch.delitem(vars(catalog), "_by_name", raising=False)  # read again, and once more afterwards
        monkeypatch.setattr(catalog, "_found", {})


def printed(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """What a command that succeeds shows."""
    assert main(line.split()) == 0
    return capsys.readouterr().out


def result(capsys: pytest.CaptureFixture[str], line: str) -> dict[str, Any]:
    """What it shows as JSON."""
    return json.loads(printed(capsys, f"{line} --json"))


def refusal(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """The line with which bad input is refused."""
    assert main(line.split()) == 2
    return capsys.readouterr().err


def test_they_are_listed_and_shown_with_their_sources(capsys: pytest.CaptureFixture[str]) -> None:
    known = result(capsys, "hw list")
    assert "example-npu" in known["chips"]
    assert "example-pod" in known["clusters"]
    assert "data sheet of the example" in printed(capsys, "hw show example-npu")
    assert result(capsys, "hw show example-pod")["derived"]["npus"] == 64


def test_they_draw_power(capsys: pytest.CaptureFixture[str]) -> None:
    assert result(capsys, "hw power example-npu")["watts"]["TDP"]["value"] == 800
    tree = result(capsys, "hw power example-pod")
    assert tree["total"]["provisioned_w"] == pytest.approx(110_000)


def test_the_cost_model_answers_for_them_with_the_error_bar_of_a_borrowed_fit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    decode = result(capsys, "model decode --cluster example-pod")
    assert decode["point"]["npus"] == 32
    assert decode["tokens_per_s_per_npu"] > 0
    assert decode["error_bar"] >= 0.45


def test_a_trace_is_replayed_on_them_at_their_rent(capsys: pytest.CaptureFixture[str]) -> None:
    demo = Path(__file__).parents[2] / "examples" / "demo.jsonl"
    run = result(capsys, f"replay {demo} --limit 20 --cluster example-pod --cache none --price neocloud")
    assert run["requests"]["finished"] == 20
    assert run["cost"]["usd_per_million_output_tokens"] > 0
    assert "known: neocloud" in refusal(capsys, f"replay {demo} --cluster example-pod --cache none --price deepseek")
    assert "known: none" in refusal(capsys, f"replay {demo} --price neocloud --cache none")


def test_a_live_system_of_them_has_the_names_of_their_makers_exporter() -> None:
    assert names_shown((), load_cluster("example-pod")) == ("own", "vllm", "ascend")


def test_a_slip_of_their_names_is_hinted_at_and_a_users_file_may_name_the_chip(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "did you mean example-npu?" in refusal(capsys, "hw show example-np")
    assert "did you mean example-pod?" in refusal(capsys, "model decode --cluster example-pud")
    path = tmp_path / "mine.yaml"
    path.write_text(printed(capsys, "hw show example-pod --yaml").replace("name: example-pod", "name: mine"))
    assert load_cluster(str(path)).chip.name == "example-npu"
