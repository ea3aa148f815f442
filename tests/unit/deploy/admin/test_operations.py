"""The table as calls: what a command declares is what JSON may say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from deploy.admin.operations import known_names, operations_of
from deploy.live.control_calls import COMMANDS
from deploy.settings.load import load_settings
from scheduler.protocol.errors import ConfigError


async def _scale(plane: object, role: str, num_instances: int, parts: Sequence[str] | None = None) -> None:
    """A command with arguments of several kinds."""


SCALE = operations_of({"scale": _scale})["scale"].arguments


def test_every_command_of_the_cluster_is_an_operation() -> None:
    operations = operations_of(COMMANDS)
    assert operations.keys() == COMMANDS.keys()
    assert "parts" in operations["fail"].arguments.model_fields
    assert not operations["status"].arguments.model_fields


@pytest.mark.parametrize(
    "arguments",
    [{"role": "p", "num_instances": 3}, {"role": "p", "num_instances": 3, "parts": ["l2/0/0"]}],
)
def test_what_is_declared_is_taken(arguments: dict[str, Any]) -> None:
    assert SCALE.model_validate_json(str(arguments).replace("'", '"')).model_dump() == {"parts": None, **arguments}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"role": "p"}',
        '{"role": 1, "num_instances": 3}',
        '{"role": "p", "num_instances": "3"}',
        '{"role": "p", "num_instances": 3, "parts": "l2/0/0"}',
        '{"role": "p", "num_instances": 3, "plane": 1}',
        '{"role": "p", "num_instances": 3, "more": 1}',
        "[]",
    ],
)
def test_nothing_else_is(text: str) -> None:
    with pytest.raises(ValidationError):
        SCALE.model_validate_json(text)


def test_names_are_those_of_the_cluster() -> None:
    config = load_settings(None, {}).to_plain()
    assert known_names(config, {"parts": ["ub/2", "ub/2"], "role": "p"}) == {"parts": ["ub/2"], "role": "p"}
    assert known_names(config, {"parts": None}) == {"parts": None}
    with pytest.raises(ConfigError, match="ub/9999"):
        known_names(config, {"parts": ["ub/9999"]})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"addresses": ["prefill-0", "prefil-1"]}, "unknown instance 'prefil-1'; did you mean prefill-1"),
        ({"addresses": ["fabric"]}, "unknown instance 'fabric'"),
        ({"addresses": []}, "no instance is named"),
        ({"counts": {"prefil": 2}}, "did you mean prefill"),
        ({"counts": {"aggregated": 1}}, "unknown role 'aggregated'; known: prefill, decode"),
        ({"counts": {"prefill": 15}}, "prefill=15: the cluster that is up has 14 such instances; give 1 to 14"),
        ({"counts": {"decode": 0}}, "decode=0: .* give 1 to 1"),
        ({"counts": {}}, "no role is named"),
    ],
)
def test_instances_and_counts_that_cannot_be_are_one_line(arguments: dict[str, Any], told: str) -> None:
    config = load_settings(None, {"plan": "14x16p+1x160d+48c"}).to_plain()
    with pytest.raises(ConfigError, match=told) as error:
        known_names(config, arguments)
    assert "\n" not in str(error.value)


def test_what_an_autoscaler_may_start_an_operator_may_too() -> None:
    config = load_settings(None, {"plan": "14x16p+1x160d+48c", "autoscaler": "sla"}).to_plain()
    assert known_names(config, {"counts": {"prefill": 24, "decode": 2}}) == {"counts": {"prefill": 24, "decode": 2}}
    assert known_names(config, {"addresses": ["prefill-23", "prefill-23"]}) == {"addresses": ["prefill-23"]}
