"""`supernode hw`: every figure is shown with its source, and what is printed can be read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from sim_hw.chips.sheet import find_chip
from sim_hw.clusters.sheet import find_supernode
from sim_hw.clusters.supernode import Supernode
from sim_hw.description import read_description
from tests.unit.sim_hw.figures import figures
from tests.unit.sim_hw.known import CHIPS, SUPERNODES

Captured = pytest.CaptureFixture[str]


def printed(capsys: Captured, *arguments: str) -> str:
    """What a command that must succeed writes to stdout."""
    assert main(["hw", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("name", [one.name for one in (*SUPERNODES, *CHIPS)])
def test_the_page_names_the_source_of_every_figure(capsys: Captured, name: str) -> None:
    page = printed(capsys, "show", name)
    entry = next(one for one in (*SUPERNODES, *CHIPS) if one.name == name)
    assert all(figure.source in page for figure in figures(entry))
    assert len(page) < 12_000
    assert max(map(len, page.splitlines())) <= 160


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("NPUs", "384"),
        ("dies", "768"),
        ("CPUs", "192"),
        ("racks", "12 compute + 4 network"),
        ("FP16 peak", "288.8 PFLOP/s"),
        ("HBM", "49.15 TB"),
        ("HBM bandwidth", "1.229 PB/s"),
        ("UB of all dies", "150.5 TB/s"),
        ("RDMA of all dies", "19.2 TB/s"),
        ("VPC of all nodes", "2.4 TB/s"),
        ("L1 UB switch chips", "336"),
        ("L2 UB switch chips", "112"),
        ("optical modules", "6,912"),
        ("provisioned power", "559.4 kW"),
        ("price", "$8.2 M"),
    ],
)
def test_the_totals_of_cloudmatrix(capsys: Captured, label: str, value: str) -> None:
    derived = printed(capsys, "show", "cloudmatrix384").split("\nDerived\n")[1].split("\n\n")[0]
    rows = dict(line.strip().split("  ", 1) for line in derived.splitlines())
    assert rows[label].strip() == value


def test_json_holds_the_entry_and_its_totals(capsys: Captured) -> None:
    document = json.loads(printed(capsys, "show", "cloudmatrix384", "--json"))
    assert read_description(Supernode, document["entry"], find_chip) == find_supernode("cloudmatrix384")
    assert document["derived"]["optical_modules"] == 6912
    assert printed(capsys, "show", "cloudmatrix384", "--json") == json.dumps(document, indent=2) + "\n"


@pytest.mark.parametrize("name", ["gb200-nvl72", "h20"])
def test_the_yaml_of_an_entry_is_that_entry(capsys: Captured, tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(printed(capsys, "show", name, "--yaml"))
    assert printed(capsys, "show", str(path)) == printed(capsys, "show", name)


def test_the_list_names_everything(capsys: Captured) -> None:
    page, document = printed(capsys, "list"), json.loads(printed(capsys, "list", "--json"))
    assert document == {"clusters": [one.name for one in SUPERNODES], "chips": [one.name for one in CHIPS]}
    assert all(f"\n{name} " in page for names in document.values() for name in names)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["show", "gb20"], "unknown hardware 'gb20'; did you mean gb200?"),
        (["show", "h100", "--json", "--yaml"], "--json and --yaml: only one form can be printed; leave one out"),
        (["show"], "missing argument 'NAME'"),
        (["power", "cloudmatrix"], "unknown hardware 'cloudmatrix'; did you mean cloudmatrix384?"),
        (["power", "h100", "--site", "us-texa"], "--site: unknown site 'us-texa'; did you mean us-texas?"),
        (["power", "h100", "--pue", "0.9"], "--pue is 0.9; give a number from 1 to 10"),
        ([], "missing command"),
    ],
)
def test_bad_usage_is_one_line(capsys: Captured, arguments: list[str], problem: str) -> None:
    assert main(["hw", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert problem in err


def test_the_power_tree_of_cloudmatrix_sums_and_names_its_margin(capsys: Captured) -> None:
    page = printed(capsys, "power", "cloudmatrix384")
    rows = {line.split("  ")[0]: line.split() for line in page.splitlines() if line and line[0] != " "}
    assert rows["At the feeds of the supernode"][-6:] == ["559.4", "kW", "423.6", "kW", "211.6", "kW"]
    assert rows["Margin"][1:3] == ["102.5", "kW"]
    assert max(map(len, page.splitlines())) <= 160


@pytest.mark.parametrize("name", [one.name for one in SUPERNODES])
def test_json_of_the_power_tree_sums(capsys: Captured, name: str) -> None:
    document = json.loads(printed(capsys, "power", name, "--json", "--pue", "1.5", "--phase", "decode"))
    for state in ("provisioned_w", "busy_w", "idle_w"):
        whole = document["total"][state]
        assert sum(line["all"][state] for line in document["lines"]) == pytest.approx(whole)
        assert sum(one[state] for one in document["classes"].values()) == pytest.approx(whole)
        assert document["meter"][state] == pytest.approx(1.5 * whole)
    each = [figure for line in document["lines"] for figure in line["each"].values()]
    assert all(figure["source"] and figure["confidence"] for figure in each)


def test_the_site_decides_what_a_year_costs(capsys: Captured) -> None:
    def year(site: str) -> float:
        document = json.loads(printed(capsys, "power", "cloudmatrix384", "--json", "--site", site, "--pue", "1.2"))
        return document["usd_per_year"]["busy"]

    assert year("china-average") / year("china-west") == pytest.approx(0.088 / 0.056)


@pytest.mark.parametrize("name", [one.name for one in CHIPS])
def test_the_power_of_a_chip_shows_its_measurements(capsys: Captured, name: str) -> None:
    page = printed(capsys, "power", name)
    document = json.loads(printed(capsys, "power", name, "--json"))
    assert document["watts"]["TDP"]["value"] == find_chip(name).tdp_w.value
    assert ("mean error" in page) == bool(document["measured"]) == (name in ("h100", "h200", "b200", "gb200"))


def test_a_users_cluster_has_a_tree_and_may_name_its_own_watts(capsys: Captured, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    own = "power:\n  board: {provisioned_w: {value: 2, unit: kW, source: measured here}, idle_w: 900}\n"
    path.write_text(Path("examples/h20-cluster.yaml").read_text() + own)
    document = json.loads(printed(capsys, "power", str(path), "--json"))
    board = next(line for line in document["lines"] if line["title"].startswith("DRAM"))
    assert (board["all"]["provisioned_w"], board["all"]["idle_w"]) == (16 * 2000, 16 * 900)
    assert board["each"]["provisioned"]["source"] == "measured here"
