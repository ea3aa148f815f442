"""Answers: how long each is, and its text, the same ones for the same prompt, seed and server's seed."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

import numpy as np
from msgspec import Struct

from deploy.http.bodies import GenerationBody
from deploy.http.prompts import BYTES_PER_TOKEN, Prompt
from scheduler.runtime.random_streams import stream
from scheduler.sources.synthetic.lengths import draw_log_normal

MEAN_TOKENS: Final = 256
CV: Final = 1.0
LONGEST_TOKENS: Final = 4096
"""Of answers whose length the client leaves open: log-normal, at most so long."""

WORDS: Final = tuple(
    f"{word} "
    for word in re.findall(
        r"\w+",
        "air and arc art ash bay bee bit box bus can car cat cup day dew dim dog dry ear egg elm eye fan far"
        " few fig fir fly fog for fox gap gas gem got hat hay hen her him his ice ink ivy jar jet joy key kin"
        " lab lap lid log lot low map may mix mud net new nor not now nut oak oar off oil old one our out own"
        " pen pin pod pot ray red rib rim row rye sap saw sea set she sky sow spy sum sun tap tea ten the tie"
        " tin tip toe top tub two use van via vow was way wax web wet who why win wit yes yet you zip zoo",
    )
)
"""Each is one token by the estimate that counts prompts, so that a client which counts text finds as many tokens."""


class Answer(Struct, frozen=True):
    """`num_tokens` words, of which a client is shown the first `num_characters`.

    `finish_reason` is what OpenAI's interface calls why it ends there.
    """

    words: bytes
    num_tokens: int
    num_characters: int
    finish_reason: str

    def text(self, first: int, end: int) -> str:
        """What the tokens from `first` up to `end` show."""
        text = "".join([WORDS[word] for word in self.words[first:end]])
        return text[: max(0, self.num_characters - first * BYTES_PER_TOKEN)]


def make_answer(prompt: Prompt, body: GenerationBody, most_tokens: int, seed: int) -> Answer:
    """`most_tokens` is what fits into the model's context behind the prompt."""
    digest = blake2b(prompt.data, digest_size=16).hexdigest()
    draws = stream(seed, f"answer {prompt.kind} {digest} {body.seed}")
    allowed = most_tokens if body.most_tokens is None else min(body.most_tokens, most_tokens)
    drawn = min(LONGEST_TOKENS, max(1, round(float(draw_log_normal(MEAN_TOKENS, CV, draws, 1)[0]))))
    if body.ignore_eos and body.most_tokens is not None:
        drawn = allowed
    num_tokens = min(allowed, max(drawn, body.min_tokens or 1))
    words = draws.integers(0, len(WORDS), num_tokens, np.uint8).tobytes()
    reason = "length" if num_tokens == allowed and (drawn >= allowed or body.ignore_eos) else "stop"
    whole = Answer(words, num_tokens, num_tokens * BYTES_PER_TOKEN, reason)
    return _stopped(whole, body.stops) if body.stops else whole


def _stopped(whole: Answer, stops: list[str]) -> Answer:
    """It ends with the token that completes the first of these texts, and what is shown ends before that text."""
    text = whole.text(0, whole.num_tokens)
    found = [(text.index(stop) + len(stop), -len(stop)) for stop in stops if stop in text]
    if not found:
        return whole
    end, length = min(found)
    num_tokens = -(-end // BYTES_PER_TOKEN)
    return Answer(whole.words[:num_tokens], num_tokens, end + length, "stop")
