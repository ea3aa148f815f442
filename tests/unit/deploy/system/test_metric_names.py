"""Naming schemes as a user lists them, held against the chips of the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from deploy.commands import up
from deploy.hardware.lookup import load_cluster
from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from deploy.system.grounds import chip_shown
from deploy.system.metric_names import names_shown, parse_names
from scheduler.metrics.export.names.schemes import SCHEMES
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.sheet import find_chip, makers
from sim_hw.clusters.sheet import find_supernode
from sim_hw.description import describe

NPUS = load_cluster("cloudmatrix384")


def test_a_list_is_read_whatever_its_order() -> None:
    assert parse_names("ascend, own") == ("own", "ascend")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"names": "own,vlm"}, r"--names: unknown naming scheme 'vlm'; did you mean vllm\? known: own, vllm, .*genai"),
        ({"names": ","}, "--names: unknown naming scheme ''; known: own, "),
    ],
)
def test_an_unknown_scheme_is_one_line(flags: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        load_settings(None, flags)


def test_the_usual_names_are_those_of_the_chips() -> None:
    chip = chip_shown(0.1, NPUS)
    assert names_shown((), NPUS) == ("own", "vllm", "ascend")
    assert (chip.num_dies, chip.hbm_bytes, chip.held_share) == (2, 64e9, 0.9)
    assert names_shown((), load_cluster("h800-cluster")) == ("own", "vllm", "dcgm")


def cluster_file(tmp_path: Path, chip: str | dict[str, Any]) -> str:
    """`h100-cluster` with another chip, as a user's YAML."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**describe(find_supernode("h100-cluster")), "chip": chip}))
    return str(path)


@pytest.mark.parametrize(
    ("changed", "exporters"),
    [
        ({"name": "ascend-910b", "title": "Ascend 910B", "maker": "ascend"}, ("ascend",)),
        ({"name": "ascend-910b", "title": "Ascend 910B"}, ("ascend",)),  # by its cube cores
        ({"name": "ascend-910c"}, ("ascend",)),
        ({"name": "mine", "maker": "nvidia"}, ("dcgm",)),
    ],
)
@pytest.mark.parametrize("network", ["UB", "HCCS", "NVLink"])
def test_the_maker_is_a_fact_of_the_chip_whatever_its_network(
    tmp_path: Path, network: str, changed: dict[str, str], exporters: tuple[str, ...]
) -> None:
    chip = {**describe(find_chip("ascend-910c")), "scale_up_network": network, **changed}
    cluster = load_cluster(cluster_file(tmp_path, chip))
    assert names_shown((), cluster) == ("own", "vllm", *exporters)


def test_a_file_may_name_a_known_chip_and_nothing_tells_who_made_an_unknown_one(tmp_path: Path) -> None:
    assert names_shown((), load_cluster(cluster_file(tmp_path, "ascend-910c"))) == ("own", "vllm", "ascend")
    unknown = {**describe(find_chip("h20")), "name": "mine"}
    assert names_shown((), load_cluster(cluster_file(tmp_path, unknown))) == ("own", "vllm")
    with pytest.raises(ConfigError, match="leave it out, or give the chip's file maker: nvidia"):
        names_shown(("dcgm",), load_cluster(cluster_file(tmp_path, unknown)))


def test_a_maker_without_chips_is_refused_with_the_line(tmp_path: Path) -> None:
    chip = {**describe(find_chip("h20")), "name": "mine", "maker": "nvida"}
    with pytest.raises(ConfigError, match=r"mine.yaml:\d+: chip.maker is 'nvida'; give ascend or nvidia, or leave"):
        load_cluster(cluster_file(tmp_path, chip))


def test_every_exporter_of_chips_has_chips_to_tell_of() -> None:
    assert {scheme.maker for scheme in SCHEMES.values()} - {""} == set(makers())


def test_the_exporter_of_other_chips_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"names: dcgm is the exporter of other chips than Ascend 910C"):
        names_shown(("own", "dcgm"), NPUS)


def test_names_decide_no_outcome() -> None:
    assert (
        Settings.from_plain({"names": "own"}).digest()
        == Settings.from_plain({}).digest()
        != Settings.from_plain({"seed": 1}).digest()
    )


def test_the_help_of_up_lists_them_all() -> None:
    (parameter,) = (one for one in get_command(up.app).params if one.name == "names")
    assert ",".join(SCHEMES) in vars(parameter)["help"]
