"""Options whose value may be left out."""

from __future__ import annotations

import pytest

from deploy.terminal.left_out import with_left_out

VALUES = {"--http": "here"}


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        (["--http"], ["--http", "here"]),
        (["--http", "--detach"], ["--http", "here", "--detach"]),
        (["--http", "there", "--detach"], ["--http", "there", "--detach"]),
        (["--http=there"], ["--http=there"]),
        (["--detach"], ["--detach"]),
        ([], []),
    ],
)
def test_a_value_is_filled_in_where_none_follows(given: list[str], filled: list[str]) -> None:
    assert with_left_out(given, VALUES) == filled
