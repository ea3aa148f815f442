"""What a policy of one's own is shown says the same as the core's books, and cannot be written."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from scheduler.policies.admission import AdmissionView
from scheduler.policies.own.sealing import (
    sealed_admission_view,
    sealed_request,
    sealed_stage,
    sealed_waiting,
)
from scheduler.policies.undeclared import Declared
from scheduler.policies.view import Columns, Reads, RequestView
from scheduler.policies.waiting import WaitingRequest

STAGE = Columns([3, 1], [30, 10], [1, 1], [5, 6], [50, 60], [1.0, 2.0], [7, 8], [9, 10], [0, 1])
REQUEST = RequestView(5, 100, 120, 20, [1, 2, 3], 4, 512, [64, 0], [1.0, 2.0], [3.0, 4.0], 9)
WAITING = WaitingRequest(7, 1, 100, 2, 3, 4, 5)
ADMISSION = AdmissionView(1, 2.0, 3.0, 4, (5, 6), (0.5, 0.6))


def values(view: Any) -> dict[str, Any]:
    found = {field.name: getattr(view, field.name) for field in fields(view)}
    return {name: list(value) if isinstance(value, tuple | list) else value for name, value in found.items()}


VIEWS = [
    (STAGE, sealed_stage(STAGE)),
    (REQUEST, sealed_request(REQUEST)),
    (WAITING, sealed_waiting(WAITING)),
    (ADMISSION, sealed_admission_view(ADMISSION)),
]


@pytest.mark.parametrize(("view", "sealed"), VIEWS)
def test_it_says_the_same(view: Any, sealed: Any) -> None:
    assert values(sealed) == values(view)
    assert isinstance(sealed, type(view))


@pytest.mark.parametrize(("view", "sealed"), VIEWS)
def test_no_field_can_be_written_and_no_column_changed(view: Any, sealed: Any) -> None:
    before = values(view)
    for field in fields(view):
        for write in (lambda name=field.name: setattr(sealed, name, 0), lambda name=field.name: delattr(sealed, name)):
            with pytest.raises((AttributeError, FrozenInstanceError), match=field.name):
                write()
        value = getattr(sealed, field.name)
        assert isinstance(value, int | float | tuple)
    assert values(view) == values(sealed) == before


def test_a_column_is_not_the_books_own() -> None:
    sealed = sealed_stage(STAGE)
    assert all(getattr(sealed, field.name) is not getattr(STAGE, field.name) for field in fields(STAGE))


def test_what_is_refused_stays_so() -> None:
    declared = Declared("own", Reads.LOAD)
    sealed = sealed_stage(declared.columns(STAGE))
    assert sealed.outstanding_tokens == (30, 10)
    with pytest.raises(Exception, match="does not declare it"):
        len(sealed.running_requests)
    request = sealed_request(declared.request)
    with pytest.raises(Exception, match="does not declare it"):
        request.num_tokens  # noqa: B018
    with pytest.raises(AttributeError, match="num_tokens cannot be written"):
        request.num_tokens = 1  # pyright: ignore[reportAttributeAccessIssue]
