"""What a user says of an existing cluster is held against what there is, with the flag in the line."""

from __future__ import annotations

import pytest

from deploy.cluster.existing.spec import ExistingSpec, existing_spec
from scheduler.protocol.errors import ConfigError


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "head.example:6379", "ray://head:10001", "[::1]:6379"])
def test_addresses_that_ray_takes(address: str) -> None:
    spec = existing_spec(address)
    assert spec == ExistingSpec(address)
    assert spec.is_client == address.startswith("ray://")


@pytest.mark.parametrize("address", ["", "head", "http://head:8265", "local", "ray://", "head:port"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="--address"):
        existing_spec(address)


@pytest.mark.parametrize(
    ("text", "resource", "amount"), [("NPU", "NPU", 1.0), ("CPU=0.05", "CPU", 0.05), ("emu.npu=2", "emu.npu", 2.0)]
)
def test_what_an_npu_takes(text: str, resource: str, amount: float) -> None:
    spec = existing_spec("auto", npu_resource=text)
    assert (spec.resource, spec.amount) == (resource, amount)


@pytest.mark.parametrize("text", ["", "CPU=0", "CPU=x", "CPU=", "=1", "GPU=1", "memory=1", "CPU=-1", "CPU=1.2.3"])
def test_what_an_npu_cannot_take(text: str) -> None:
    with pytest.raises(ConfigError, match="--npu-resource"):
        existing_spec("auto", npu_resource=text)


def test_a_placement_that_is_none_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"--placement: .*'spred'.*spread"):
        existing_spec("auto", placement="spred")


def test_the_bound_of_clocks_has_a_unit_and_is_above_zero() -> None:
    assert existing_spec("auto", max_clock_skew="5ms").max_skew_s == 0.005
    for text in ("5", "0ms", "-1s"):
        with pytest.raises(ConfigError):
            existing_spec("auto", max_clock_skew=text)
