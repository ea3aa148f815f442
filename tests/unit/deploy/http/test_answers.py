"""Answers: as many tokens as they must have, always the same ones, and nothing behind a stop."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deploy.http.answers import LONGEST_TOKENS, Answer, make_answer
from deploy.http.bodies import CompletionBody
from deploy.http.prompts import Prompt
from deploy.http.text_tokens import WORDS

ROOM = 100_000


def answer_of(prompt: str = "why?", *, server_seed: int = 0, room: int = ROOM, **fields: Any) -> Answer:
    body = CompletionBody.model_validate({"prompt": prompt, "max_tokens": ROOM, **fields})
    return make_answer(Prompt("text", prompt.encode()), body, room, server_seed)


def whole_text(answer: Answer) -> str:
    return answer.text(0, answer.num_tokens)


def test_every_word_is_one_token_of_the_estimate() -> None:
    assert len(set(WORDS)) == len(WORDS) > 100
    assert {len(word.encode()) for word in WORDS} == {4}


@given(prompt=st.text(max_size=9), seed=st.none() | st.integers(), most=st.integers(1, 3000), least=st.integers(0, 50))
def test_an_answer_keeps_to_its_bounds(prompt: str, seed: int | None, most: int, least: int) -> None:
    fields: dict[str, Any] = {"seed": seed, "max_tokens": most, "min_tokens": least}
    answer = answer_of(prompt, **fields)
    assert min(least, most) <= answer.num_tokens <= most
    assert (answer.finish_reason == "length") >= (answer.num_tokens == most and answer.num_tokens > least)
    assert len(whole_text(answer)) == 4 * answer.num_tokens
    assert answer_of(prompt, **fields) == answer


@given(most=st.integers(1, 5000))
def test_who_ignores_the_end_gets_all_that_was_asked_for(most: int) -> None:
    answer = answer_of(max_tokens=most, ignore_eos=True)
    assert (answer.num_tokens, answer.finish_reason) == (most, "length")


@given(seed=st.integers(0, 30), stop=st.sampled_from([*WORDS[:10], "t", "e s", "e", " o"]), at=st.integers(0, 40))
def test_nothing_is_shown_of_a_stop_or_behind_it(seed: int, stop: str, at: int) -> None:
    free = whole_text(answer_of(seed=seed))
    answer = answer_of(seed=seed, stop=[stop, "nothing of this"])
    text = whole_text(answer)
    assert text == free.split(stop)[0]
    if stop in free:
        assert answer.finish_reason == "stop"
        # The token that completes the stop is produced, and is the last.
        assert 4 * (answer.num_tokens - 1) < len(text) + len(stop) <= 4 * answer.num_tokens
    pieces = answer.text(0, min(at, answer.num_tokens)) + answer.text(min(at, answer.num_tokens), answer.num_tokens)
    assert pieces == text


def test_lengths_that_are_left_open_are_drawn() -> None:
    lengths = [answer_of(seed=seed).num_tokens for seed in range(200)]
    assert len(set(lengths)) > 100
    assert 200 < sum(lengths) / len(lengths) < 320
    assert max(lengths) <= LONGEST_TOKENS
    assert answer_of(server_seed=1) != answer_of(server_seed=2)


def test_a_small_context_is_an_end_by_length() -> None:
    answer = answer_of(room=1)
    assert (answer.num_tokens, answer.finish_reason) == (1, "length")
