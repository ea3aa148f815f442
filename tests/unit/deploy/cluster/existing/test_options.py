"""Flags of an existing cluster without one, or that contradict others, are misunderstandings."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.cluster.existing.options import EXISTING_OPTIONS, refuse_existing
from deploy.cluster.existing.spec import ExistingSpec
from scheduler.protocol.errors import ConfigError

NOTHING: dict[str, Any] = {name: default for name, (_, default) in EXISTING_OPTIONS.options.items()}


def make(**given: Any) -> ExistingSpec | None:
    return EXISTING_OPTIONS.make(NOTHING | given)


def test_without_an_address_there_is_none() -> None:
    assert make() is None


def test_all_flags_arrive() -> None:
    assert make(address="h:1", placement="spread", npu_resource="CPU=0.1", max_clock_skew="1s", ship=True) == (
        ExistingSpec("h:1", "spread", "CPU", 0.1, ships=True, max_skew_s=1.0)
    )


@pytest.mark.parametrize(
    ("flag", "value"),
    [("placement", "spread"), ("npu_resource", "CPU=1"), ("max_clock_skew", "1s"), ("ship", True)],
)
def test_a_flag_without_an_address_is_refused_by_its_name(flag: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"--{flag.replace('_', '-')} is for an existing Ray cluster"):
        make(**{flag: value})


def test_what_a_replay_on_a_cluster_cannot_do() -> None:
    spec, client = ExistingSpec("h:1"), ExistingSpec("ray://h:1")
    refuse_existing(spec, None, {"--journal": "j"}, live=True)
    refuse_existing(client, None, {"--journal": None}, live=True)
    with pytest.raises(ConfigError, match="add --live"):
        refuse_existing(spec, None, {}, live=False)
    with pytest.raises(ConfigError, match="--via http"):
        refuse_existing(spec, "http", {}, live=True)
    with pytest.raises(ConfigError, match="--journal would be written"):
        refuse_existing(client, None, {"--journal": "j"}, live=True)
