"""Text as tokens, for prompts, and tokens as text, for answers: by an estimate, or by a tokenizer's file."""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

from deploy.http.bodies import ChatBody, CompletionBody
from deploy.http.prompts import BYTES_PER_TOKEN, Prompt, chat_text, completion_prompt
from scheduler.protocol.errors import ConfigError

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

MAX_WORDS: Final = 128
"""Of those that a tokenizer has: all pairs of them are tried."""

MAX_LEFT_OUT: Final = 16

SHORT_CHARACTERS: Final = 2048
"""A tokenizer takes about a microsecond a character; more than this is given to a thread, so that no token waits."""


class TextTokens(Protocol):
    """`words` are pieces of text that are one token each, whichever follow each other."""

    words: tuple[str, ...]
    estimated: str | None
    """How tokens are estimated, if they are."""

    async def prompt(self, text: str) -> Prompt:
        """The tokens of a text."""
        ...


class Estimate:
    """So many bytes of UTF-8 are a token."""

    words = WORDS
    estimated: str | None = f"{BYTES_PER_TOKEN} bytes of UTF-8 a token"

    async def prompt(self, text: str) -> Prompt:
        """See `TextTokens`."""
        return Prompt("text", text.encode())


class FileTokens:
    """A `tokenizer.json` of Hugging Face's library `tokenizers`, without the special tokens that it would add.

    `ConfigError` if the library is not there, or if the file is none of its files or has no words that answers could be
    made of.
    """

    estimated: str | None = None

    def __init__(self, path: str) -> None:
        self._tokenizer = _load(path)
        self.words = _words(self._tokenizer)
        if len(self.words) < 2:
            raise ConfigError(
                f"--http-tokenizer {path}: no two of its words are a token each, and answers are made of such words; "
                "give a tokenizer of a whole language"
            )

    async def prompt(self, text: str) -> Prompt:
        """See `TextTokens`."""
        encode = partial(self._tokenizer.encode_batch_fast, [text], add_special_tokens=False)
        [found] = encode() if len(text) <= SHORT_CHARACTERS else await asyncio.to_thread(encode)
        return Prompt("ids", array("I", found.ids).tobytes())


async def prompt_of(tokens: TextTokens, body: ChatBody | CompletionBody) -> Prompt:
    """What a completion is to be of."""
    given = completion_prompt(body) if isinstance(body, CompletionBody) else chat_text(body.messages)
    return await tokens.prompt(given) if isinstance(given, str) else given


def text_tokens(path: str) -> TextTokens:
    """By the tokenizer at a path; by the estimate if it is empty."""
    return FileTokens(path) if path else Estimate()


def _load(path: str) -> Any:
    """The tokenizer of a file, with nothing cut off or filled up."""
    where = f"--http-tokenizer {path}"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        fix = "pip install 'supernode-serve[tokenizer]'"
        raise ConfigError(f"{where}: the package that reads it is not installed; {fix}") from None
    try:
        # Its own errors are of no type of theirs, and an absent file is one of them.
        with open(path, "rb") as file:
            tokenizer: Any = Tokenizer.from_buffer(file.read())
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}; give a tokenizer.json") from None
    except Exception as error:  # noqa: BLE001 - see above
        reason = " ".join(str(error).split())
        raise ConfigError(f"{where}: it is no tokenizer.json ({reason:.100})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _words(tokenizer: Any) -> tuple[str, ...]:
    """Those of its vocabulary that are a token each also where they follow each other in any order, the lowest ids
    first: words with a blank before or behind them, whichever of the two it keeps."""
    vocabulary = sorted(tokenizer.get_vocab().values())
    pieces = dict(zip(tokenizer.decode_batch([[one] for one in vocabulary]), vocabulary, strict=True))
    letters = {one: pieces[one] for one in pieces if one.strip().isalpha() and one.strip().isascii()}
    kinds = (
        {one: number for one, number in letters.items() if one.startswith(" ")},
        {f" {one}": number for one, number in letters.items() if one == one.strip()},
        {one: number for one, number in letters.items() if one.endswith(" ")},
        {f"{one} ": number for one, number in letters.items() if one == one.strip()},
    )
    return max((_kept(tokenizer, words) for words in kinds), key=len)


def _kept(tokenizer: Any, words: dict[str, int]) -> tuple[str, ...]:
    """Words that are tokens of these numbers behind each other and themselves; a few that are not are left out."""
    alone = tokenizer.encode_batch_fast([*words], add_special_tokens=False)
    kept = [word for (word, number), found in zip(words.items(), alone, strict=True) if found.ids == [number]]
    kept = kept[:MAX_WORDS]
    for _ in range(MAX_LEFT_OUT):
        order = _all_pairs(kept)
        found = tokenizer.encode_batch_fast(["".join(order)], add_special_tokens=False)[0].ids
        wrong = next((word for word, number in zip(order, found) if words[word] != number), None)
        if wrong is None and len(found) == len(order):
            return tuple(kept)
        kept.remove(wrong or order[-1])
    return ()


def _all_pairs(words: Sequence[str]) -> list[str]:
    """A sequence in which each word comes once or more behind each."""
    order: list[str] = []
    for at, word in enumerate(words):
        order += [word, word]
        for other in words[at + 1 :]:
            order += [other, word]
    return order
