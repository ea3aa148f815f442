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
