"""Who asks: any header is a caller that the scheduler's columns can hold, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.http.callers import CLASS_HEADER, SESSION_HEADER, TENANT_HEADER, caller_of
from deploy.http.errors import HttpError

texts = st.text(max_size=220) | st.from_regex(r"[0-9]{1,220}", fullmatch=True) | st.just("0" * 11 + "9" * 30)


@given(tenant=texts, session=texts)
def test_numbers_of_callers_fit(tenant: str, session: str) -> None:
    try:
        caller = caller_of({TENANT_HEADER: tenant, SESSION_HEADER: session})
    except HttpError:
        with pytest.raises(HttpError, match="longer than 200 printable"):
            caller_of({TENANT_HEADER: tenant, SESSION_HEADER: session})
        return
    assert 0 <= caller.tenant < 2**31
    assert -1 <= caller.session < 2**31


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("007", 7), (str(2**31 - 1), 2**31 - 1)])
def test_a_number_stays_what_it_is(text: str, number: int) -> None:
    assert caller_of({TENANT_HEADER: text}).tenant == number


@pytest.mark.parametrize(
    ("known", "said"), [(("batch", "longer"), "no such class: chat; known: batch, longer"), ((), "has no classes")]
)
def test_a_class_that_nobody_configured_is_said(known: tuple[str, ...], said: str) -> None:
    with pytest.raises(HttpError, match=said) as refused:
        caller_of({CLASS_HEADER: "chat"}, known)
    assert refused.value.status == 400
    assert caller_of({CLASS_HEADER: "chat"}, (*known, "chat")).class_name == "chat"
    assert not caller_of({}, known).class_name


def test_a_name_has_always_the_same_number() -> None:
    named = [caller_of({TENANT_HEADER: name}).tenant for name in ("red", "blue", "red", str(2**31))]
    assert named[0] == named[2]
    assert len(set(named)) == 3
