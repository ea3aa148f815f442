"""`supernode hw`: every figure is shown with its source, and what is printed can be read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from sim_hw.catalog import find_chip, find_supernode
from sim_hw.hardware.chips import CHIPS
from sim_hw.hardware.description import read_description
from sim_hw.hardware.supernode import Supernode
from sim_hw.hardware.supernodes import SUPERNODES
from tests.unit.sim_hw.figures import figures

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
        ([], "missing command"),
    ],
)
def test_bad_usage_is_one_line(capsys: Captured, arguments: list[str], problem: str) -> None:
    assert main(["hw", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert problem in err
