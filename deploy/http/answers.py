"""Answers: how long each is, and its text, the same ones for the same prompt, seed and server's seed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from hashlib import blake2b
from itertools import accumulate
from typing import Final

import numpy as np
from msgspec import Struct

from deploy.http.bodies import GenerationBody
from deploy.http.prompts import Prompt
from deploy.http.text_tokens import WORDS
from scheduler.runtime.random_streams import stream
from scheduler.sources.synthetic.lengths import draw_log_normal

MEAN_TOKENS: Final = 256
CV: Final = 1.0
LONGEST_TOKENS: Final = 4096
"""Of answers whose length the client leaves open: log-normal, at most so long."""


class Answer(Struct, frozen=True):
    """`num_tokens` words of a vocabulary, of which a client is shown the first `num_whole` and `num_more` characters of
    the next.

    `finish_reason` is what OpenAI's interface calls why it ends there.
    """

    words: bytes
    num_tokens: int
    num_whole: int
    num_more: int
    finish_reason: str
    vocabulary: tuple[str, ...] = WORDS

    def text(self, first: int, end: int) -> str:
        """What the tokens from `first` up to `end` show."""
        vocabulary = self.vocabulary
        text = "".join([vocabulary[word] for word in self.words[first : min(end, self.num_whole)]])
        if first <= self.num_whole < min(end, self.num_tokens):
            text += vocabulary[self.words[self.num_whole]][: self.num_more]
        return text


def make_answer(
    prompt: Prompt, body: GenerationBody, most_tokens: int, seed: int, vocabulary: tuple[str, ...] = WORDS
) -> Answer:
    """`most_tokens` is what fits into the model's context behind the prompt; words are drawn of the `vocabulary`."""
    digest = blake2b(prompt.data, digest_size=16).hexdigest()
    draws = stream(seed, f"answer {prompt.kind} {digest} {body.seed}")
    allowed = most_tokens if body.most_tokens is None else min(body.most_tokens, most_tokens)
    drawn = min(LONGEST_TOKENS, max(1, round(float(draw_log_normal(MEAN_TOKENS, CV, draws, 1)[0]))))
    if body.ignore_eos and body.most_tokens is not None:
        drawn = allowed
    num_tokens = min(allowed, max(drawn, body.min_tokens or 1))
    words = draws.integers(0, len(vocabulary), num_tokens, np.uint8).tobytes()
    reason = "length" if num_tokens == allowed and (drawn >= allowed or body.ignore_eos) else "stop"
    whole = Answer(words, num_tokens, num_tokens, 0, reason, vocabulary)
    return _stopped(whole, body.stops) if body.stops else whole


def _stopped(whole: Answer, stops: list[str]) -> Answer:
    """It ends with the token that completes the first of these texts, and what is shown ends before that text."""
    text = whole.text(0, whole.num_tokens)
    found = [(text.index(stop) + len(stop), -len(stop)) for stop in stops if stop in text]
    if not found:
        return whole
    end, length = min(found)
    ends = list(accumulate(len(whole.vocabulary[word]) for word in whole.words))
    num_tokens, num_whole = bisect_left(ends, end) + 1, bisect_right(ends, end + length)
    num_more = end + length - (ends[num_whole - 1] if num_whole else 0)
    return Answer(whole.words[:num_tokens], num_tokens, num_whole, num_more, "stop", whole.vocabulary)
