"""Flags of an existing cluster without one, or that contradict others, are misunderstandings."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.cluster.existing.spec import ExistingSpec
from deploy.commands.existing_cluster import EXISTING_OPTIONS, ExistingFlags
from scheduler.protocol.errors import ConfigError


def test_without_flags_there_is_no_cluster() -> None:
    given: dict[str, Any] = {name: default for name, (_, default) in EXISTING_OPTIONS.options.items()}
    assert EXISTING_OPTIONS.make(given).spec() is None


def test_all_flags_arrive() -> None:
    flags = ExistingFlags("h:1", "spread", "CPU=0.1", "1s", ship=True)
    assert flags.spec() == ExistingSpec("h:1", "spread", "CPU", 0.1, ships=True, max_skew_s=1.0)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("placement", "spread"), ("npu_resource", "CPU=1"), ("max_clock_skew", "1s"), ("ship", True)],
)
def test_a_flag_without_an_address_is_refused_by_its_name(flag: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"--{flag.replace('_', '-')} is for an existing Ray cluster"):
        ExistingFlags(**{flag: value}).spec()


def test_what_a_replay_on_a_cluster_cannot_do() -> None:
    there, client = ExistingFlags("h:1"), ExistingFlags("ray://h:1")
    assert there.spec_of_replay(None, {"--journal": "j"}, live=True) == ExistingSpec("h:1")
    assert client.spec_of_replay(None, {"--journal": None}, live=True) == ExistingSpec("ray://h:1")
    assert ExistingFlags().spec_of_replay("http", {"--journal": "j"}, live=False) is None
    with pytest.raises(ConfigError, match="add --live"):
        there.spec_of_replay(None, {}, live=False)
    with pytest.raises(ConfigError, match="--via http"):
        there.spec_of_replay("http", {}, live=True)
    with pytest.raises(ConfigError, match="--journal would be written"):
        client.spec_of_replay(None, {"--journal": "j"}, live=True)
