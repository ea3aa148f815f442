"""Bodies: whatever bytes come, they are read as documented or refused with one line, in little time and memory."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from deploy.http import bodies
from deploy.http.answers import make_answer
from deploy.http.bodies import MAX_MESSAGES, ChatBody, CompletionBody, TokenizeBody, parse_body
from deploy.http.errors import HttpError
from deploy.http.prompts import BlockNumbers
from deploy.http.text_tokens import Estimate, prompt_of

FORMS: list[type[BaseModel]] = [ChatBody, CompletionBody, TokenizeBody]
ROOM = 1000

keys = st.sampled_from(
    ["prompt", "messages", "role", "content", "type", "text", "model", "max_tokens", "max_completion_tokens", "stream",
     "min_tokens", "stop", "n", "seed", "ignore_eos", "stream_options", "include_usage", "timings", "x"]
)  # fmt: skip
# As JSON writes text, which need not be text: half of a surrogate pair; NUL; what reads from the right.
strings = st.text(max_size=9).map(json.dumps) | st.sampled_from(
    [r'"\ud800"', r'"\u0000"', r'"\u202e"', '"user"', '"text"']
)
numbers = st.integers().map(str) | st.sampled_from(
    ["0", "-0", "1e400", "-1e-400", "1.0", "NaN", "Infinity", "-Infinity", "9" * 400, "9" * 5000, "01", "0x1", "1_0"]
)
documents = st.recursive(
    strings | numbers | st.sampled_from(["true", "false", "null", "", "nul", "[" * 500, "{" * 500]),
    lambda inner: (
        st.lists(inner, max_size=5).map(lambda some: f"[{','.join(some)}]")
        # The same key may come twice.
        | st.lists(st.tuples(keys, inner), max_size=7).map(
            lambda some: "{" + ",".join(f'"{key}":{value}' for key, value in some) + "}"
        )
    ),
    max_leaves=25,
)


@settings(max_examples=500, deadline=None)
@given(form=st.sampled_from(FORMS), data=documents.map(str.encode) | st.binary(max_size=60))
def test_any_bytes_are_a_body_or_an_error_of_one_line(form: type[BaseModel], data: bytes) -> None:
    _try(form, data)


@settings(max_examples=500, deadline=None)
@given(prompt=documents, messages=documents, more=st.lists(st.tuples(keys, documents), max_size=4))
def test_any_fields_are_taken_or_refused(prompt: str, messages: str, more: list[tuple[str, str]]) -> None:
    fields = [("prompt", prompt), ("messages", f'[{{"role":"user","content":{messages}}}]'), *more]
    data = "{" + ",".join(f'"{key}":{value}' for key, value in fields) + "}"
    for form in FORMS:
        _try(form, data.encode())


ids = st.integers(-2, 2**33) | st.integers(0, 9)


@settings(max_examples=300, deadline=None)
@given(
    prompt=documents | st.lists(ids, max_size=20).map(json.dumps) | st.lists(st.lists(ids)).map(json.dumps),
    more=st.lists(st.tuples(keys | st.sampled_from(["prompt", "max_tokens", "stop"]), documents), max_size=4),
    cut=st.integers(0, 3),
)
def test_a_long_body_is_taken_as_a_short_one_is(prompt: str, more: list[tuple[str, str]], cut: int) -> None:
    fields = [("prompt", prompt), *more]
    data = ("{" + ",".join(f'"{key}":{value}' for key, value in fields) + "}").encode()
    data = data[: len(data) - max(0, cut - 2)]

    def told(long_bytes: int) -> object:
        with patch.object(bodies, "LONG_BYTES", long_bytes):
            try:
                body = parse_body(CompletionBody, data)
            except HttpError as error:
                return error.status, error.message, error.param
        return body, body.model_dump_json(), body.model_fields_set

    assert told(0) == told(2**40)


def _try(form: type[BaseModel], data: bytes) -> None:
    refused: HttpError | None = None
    try:
        _serve(form, data)
    except HttpError as error:
        refused = error
    if refused is not None:
        assert refused.status in (400, 422)
        assert "\n" not in refused.message
        assert len(refused.message) < 500


def _serve(form: type[BaseModel], data: bytes) -> None:
    """As the service does, up to the request that the scheduler is given."""
    body = parse_body(form, data)
    if not isinstance(body, ChatBody | CompletionBody):
        return
    prompt = asyncio.run(prompt_of(Estimate(), body))
    answer = make_answer(prompt, body, ROOM, 0)
    assert 1 <= answer.num_tokens <= ROOM
    answer.text(0, answer.num_tokens).encode()
    assert len(BlockNumbers().prefix(prompt)) <= -(-prompt.num_tokens // 128)


LARGE = 400_000


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (CompletionBody, {"prompt": [None] * LARGE}),
        (CompletionBody, {"prompt": [[None] * LARGE]}),
        (CompletionBody, {"prompt": [-1] * LARGE}),
        (CompletionBody, {"prompt": ["a"] * LARGE + [1]}),
        (CompletionBody, {"prompt": "a", "stop": [1] * LARGE}),
        (ChatBody, {"messages": [None] * LARGE}),
        (ChatBody, {"messages": [{"role": "user", "content": [1] * LARGE}]}),
        (TokenizeBody, {"messages": [1] * LARGE}),
    ],
)
def test_a_thousand_wrong_items_are_one_error(form: type[BaseModel], body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    tracemalloc.start()
    try:
        with pytest.raises(HttpError) as refused:
            parse_body(form, data)
        # That each item is an error of its own takes more than a hundred times as much as the body.
        assert tracemalloc.get_traced_memory()[1] < 10 * len(data)
    finally:
        tracemalloc.stop()
    assert refused.value.status == 422


def test_a_conversation_is_bounded() -> None:
    messages = [{"role": "user"}] * MAX_MESSAGES
    parse_body(ChatBody, json.dumps({"messages": messages}).encode())
    with pytest.raises(HttpError, match="at most 4096 items"):
        parse_body(ChatBody, json.dumps({"messages": [*messages, {"role": "user"}]}).encode())
