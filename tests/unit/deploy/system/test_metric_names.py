"""Naming schemes as a user lists them, held against the chips of the cluster."""

from __future__ import annotations

import pytest
from typer.main import get_command

from deploy.commands import up
from deploy.hardware.lookup import load_cluster
from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from deploy.system.metric_names import chip_shown, names_shown, parse_names
from scheduler.metrics.export.names.schemes import SCHEMES
from scheduler.protocol.errors import ConfigError

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
