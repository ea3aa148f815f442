"""How classes are written, and to which a request belongs."""

from __future__ import annotations

import pytest

from scheduler.policies.classes import ClassBook, RequestClass, parse_classes
from scheduler.protocol.errors import ConfigError

TEXT = "chat:ttft_s=2,tpot_ms=50,priority=1 ; batch:e2e_s=3600,priority=-5,timeout_s=90,deferrable_s=36000,tenants=1+7"


def test_a_class_has_what_was_said_of_it() -> None:
    assert parse_classes(TEXT) == (
        RequestClass("chat", ttft_s=2.0, tpot_ms=50.0, priority=1),
        RequestClass("batch", e2e_s=3600.0, priority=-5, timeout_s=90.0, deferrable_s=36000.0, tenants=(1, 7)),
    )
    assert parse_classes("a;b") == (RequestClass("a"), RequestClass("b"))
    assert parse_classes(" ") == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chat:tftt_s=2", "class chat: unknown key 'tftt_s'; did you mean ttft_s?"),
        ("chat:ttft_s=0", "class chat: ttft_s cannot be '0'; give a number above 0"),
        ("chat:ttft_s=nan", "class chat: ttft_s cannot be 'nan'"),
        ("chat:priority=1.5", "class chat: priority cannot be '1.5'; give a whole number"),
        ("chat:ttft_s=1,ttft_s=2", "class chat: ttft_s is given twice"),
        ("chat;chat", "class chat is given twice"),
        ("a:tenants=3;b:tenants=4+3", "tenant 3 belongs to a and to b"),
        ("default:priority=1", "'default' cannot name a class; write"),
        (":priority=1", "'' cannot name a class; write"),
        (";".join(f"c{i}" for i in range(101)), "101 classes are too many; give at most 100"),
    ],
)
def test_what_cannot_be_is_one_line(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_classes(text)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_the_request_says_more_than_its_tenant() -> None:
    book = ClassBook(parse_classes("chat;batch:tenants=1"))
    assert book.indices([], [0, 1, 2]) == [0, 2, 0]
    assert book.indices(["chat", "", "batch", "chat"], [0, 1, 0, 1]) == [1, 2, 2, 1]
    assert book.warnings() == []


def test_a_class_that_nobody_listed_is_told() -> None:
    book = ClassBook(parse_classes("chat"))
    assert book.indices(["caht", "chat", "caht"], [0, 0, 0]) == [0, 1, 0]
    (note,) = book.warnings()
    assert note.startswith("2 requests name the class 'caht'")
    book.indices([f"name-{i}" for i in range(1000)], [0] * 1000)
    assert len(book.warnings()) == 20
