"""Prompts: tokens counted, and blocks whose ids are equal exactly where prefixes are."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.http import prompts
from deploy.http.bodies import ChatBody, CompletionBody, Message
from deploy.http.prompts import BLOCK_BYTES, BlockNumbers, Prompt, chat_text
from deploy.http.text_tokens import Estimate, prompt_of

blocks = st.lists(st.sampled_from([b"a" * BLOCK_BYTES, b"b" * BLOCK_BYTES, b"c" * BLOCK_BYTES]), max_size=5)
ends = st.sampled_from([b"", b"x", b"yy"])


@given(texts=st.lists(st.tuples(blocks, ends), min_size=2, max_size=8))
def test_ids_are_equal_where_all_up_to_there_is_equal(texts: list[tuple[list[bytes], bytes]]) -> None:
    numbers = BlockNumbers()
    told = [(b"".join(whole) + end, numbers.prefix(Prompt("text", b"".join(whole) + end))) for whole, end in texts]
    for text, ids in told:
        assert len(ids) == -(-len(text) // BLOCK_BYTES)
        for other, other_ids in told:
            for at in range(min(len(ids), len(other_ids))):
                end = (at + 1) * BLOCK_BYTES
                assert (ids[at] == other_ids[at]) == (text[:end] == other[:end])
    assert len({one for _, ids in told for one in ids}) == len(
        {(at, t[: (at + 1) * BLOCK_BYTES]) for t, i in told for at in range(len(i))}
    )


def test_what_was_forgotten_gets_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MAX_BLOCKS_KNOWN", 2)
    numbers = BlockNumbers()
    first, second = Prompt("text", b"a" * 2 * BLOCK_BYTES), Prompt("text", b"b")
    known = numbers.prefix(first)
    assert numbers.prefix(first) == known
    numbers.prefix(second)  # in the place of the block that was used longest ago
    again = numbers.prefix(first)
    # Its second block is of another prefix now, as far as ids tell.
    assert not set(again) & set(known)


def test_text_and_token_ids_are_not_one() -> None:
    numbers = BlockNumbers()
    assert numbers.prefix(Prompt("text", b"aaaa")) != numbers.prefix(Prompt("ids", b"aaaa"))


@given(text=st.text(max_size=50))
def test_text_has_a_token_for_four_bytes(text: str) -> None:
    prompt = asyncio.run(prompt_of(Estimate(), CompletionBody(prompt=text)))
    assert prompt.num_tokens == max(1, -(-len(text.encode()) // 4))


@pytest.mark.parametrize("given_ids", [[1, 2, 3], [[1, 2, 3]]])
def test_token_ids_are_counted_as_they_are(given_ids: list[int] | list[list[int]]) -> None:
    prompt = asyncio.run(prompt_of(Estimate(), CompletionBody(prompt=given_ids)))
    assert (prompt.num_tokens, prompt.ids) == (3, [1, 2, 3])


def test_a_longer_conversation_begins_with_the_shorter_one_and_its_answer() -> None:
    asked = [Message(role="system", content="be brief"), Message(role="user", content="why?")]
    answered = [*asked, Message(role="assistant", content="so."), Message(role="user", content="why?")]
    assert chat_text(answered).startswith(chat_text(asked) + "so.\n")


def test_parts_of_a_message_are_one_text() -> None:
    parts = ChatBody.model_validate({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2}]})
    whole = ChatBody.model_validate({"messages": [{"role": "user", "content": "aa"}]})
    assert chat_text(parts.messages) == chat_text(whole.messages)
