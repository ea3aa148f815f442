"""What a policy reads without declaring it is refused, whatever it does with it; what it declares is live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import pytest

from scheduler.policies.undeclared import FIELDS, NEEDS, Declared, entries_of
from scheduler.policies.view import READS_ALL, Columns, Reads, RequestView
from scheduler.protocol.errors import UndeclaredReadError
from tests.unit.scheduler.policies.routing.views import stage_of

USES: tuple[Callable[[Any], object], ...] = (
    min,
    len,
    list,
    sum,
    int,
    bool,
    lambda column: column[0],
    lambda column: column.index(0),
    lambda column: 0 in column,
    lambda column: column + 1,
    lambda column: 2 * column,
    lambda column: column < 3,
    lambda column: column == 3,
    lambda column: list(zip([1], column)),
)


@pytest.mark.parametrize("use", USES)
def test_nothing_can_be_done_with_a_refusal(use: Callable[[Any], object]) -> None:
    with pytest.raises(UndeclaredReadError) as caught:
        use(Declared("own.py:Mine", Reads.REQUEST).refusal("kv_tokens"))
    assert str(caught.value) == (
        "policy own.py:Mine reads stage.kv_tokens and does not declare it; "
        "write reads = Reads.REQUEST | Reads.REPORTS in its class"
    )


def test_declared_columns_are_the_live_ones() -> None:
    live = stage_of([1, 2])
    shown = Declared("mine", Reads.REPORTS).columns(live)
    assert shown.outstanding_requests is live.outstanding_requests
    assert shown.kv_tokens is live.kv_tokens
    assert shown.supernodes is live.supernodes
    with pytest.raises(UndeclaredReadError, match=r"reads stage\.cached_blocks"):
        max(shown.cached_blocks)
    everything = Declared("mine", READS_ALL).columns(live)
    assert all(getattr(everything, field.name) is getattr(live, field.name) for field in fields(Columns))


def test_a_request_that_is_not_declared_has_no_fields() -> None:
    request = Declared("mine", Reads.LOAD).request
    for field in fields(RequestView):
        with pytest.raises(UndeclaredReadError, match=rf"reads request\.{field.name} "):
            getattr(request, field.name)
    with pytest.raises(AttributeError, match="no field 'totl_tokens'"):
        _ = request.totl_tokens  # pyright: ignore[reportAttributeAccessIssue]


def test_entries_of_some_instances_are_taken_and_refusals_stay() -> None:
    refusal: Sequence[int] = Declared("mine", Reads.LOAD).refusal("kv_tokens")
    assert entries_of([5, 6, 7], [0, 2]) == [5, 7]
    assert entries_of(refusal, [0, 2]) is refusal


def test_each_field_of_the_views_is_load_or_declared() -> None:
    load = {"outstanding_requests", "outstanding_tokens", "supernodes"}
    assert {field.name for view in (Columns, RequestView) for field in fields(view)} == load | set(NEEDS)
    assert sum(len(names) for names in FIELDS.values()) == len(NEEDS)
