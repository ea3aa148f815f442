"""Tokens of text: prompts counted by a tokenizer, and answers whose text has as many tokens as they say."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from deploy.http import text_tokens
from deploy.http.answers import make_answer
from deploy.http.bodies import CompletionBody
from deploy.http.text_tokens import WORDS, Estimate, FileTokens, prompt_of
from scheduler.protocol.errors import ConfigError
from tests.unit.deploy.http.served import InstantSession, make_service, served

SENTENCE = "the quick brown fox jumps over the lazy dog and then runs far away from it, which it did not like"


def byte_level() -> Any:
    """As GPT-2, Llama 3, Qwen and DeepSeek have it: a blank belongs to the word behind it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    made.train_from_iterator([SENTENCE] * 20, trainer)
    return made


def metaspace() -> Any:
    """As SentencePiece has it: a blank is a letter of its own, and one comes before the first word."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    made.train_from_iterator([SENTENCE] * 20, trainer)
    return made


def word_pieces() -> Any:
    """As BERT has it: blanks are nothing."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]"], show_progress=False)
    made.train_from_iterator([SENTENCE] * 20, trainer)
    return made


KINDS: list[Callable[[], Any]] = [byte_level, metaspace, word_pieces]


def saved(path: Path, tokenizer: Any) -> str:
    """Its file."""
    tokenizer.save(str(path / "tokenizer.json"))
    return str(path / "tokenizer.json")


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_answers_are_a_token_each(kind: Callable[[], Any], tmp_path: Path) -> None:
    tokenizer = kind()
    tokens = FileTokens(saved(tmp_path, tokenizer))
    assert len(tokens.words) >= 12
    for seed in range(20):
        body = CompletionBody(prompt="why?", max_tokens=50, seed=seed, ignore_eos=True)
        answer = make_answer(asyncio.run(prompt_of(tokens, body)), body, 1000, 0, tokens.words)
        text = answer.text(0, answer.num_tokens)
        assert len(tokenizer.encode(text, add_special_tokens=False).ids) == answer.num_tokens == 50
        assert text == "".join(answer.text(at, at + 1) for at in range(50))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), stop=st.sampled_from([" ", "o", "the", "x j", "dog", "ow"]), cut=st.integers(0, 40))
def test_a_stop_is_found_in_words_of_any_length(tmp_path: Path, seed: int, stop: str, cut: int) -> None:
    path = tmp_path / "tokenizer.json"
    tokens = FileTokens(str(path) if path.exists() else saved(tmp_path, byte_level()))

    def answer_of(**more: Any) -> Any:
        body = CompletionBody(prompt="why?", max_tokens=40, seed=seed, ignore_eos=True, **more)
        return make_answer(asyncio.run(prompt_of(tokens, body)), body, 1000, 0, tokens.words)

    free, stopped = answer_of(), answer_of(stop=stop)
    whole, text = free.text(0, 40), stopped.text(0, stopped.num_tokens)
    assert text == whole.split(stop)[0]
    at = min(cut, stopped.num_tokens)
    assert stopped.text(0, at) + stopped.text(at, stopped.num_tokens) == text
    if stop in whole:  # the last token is the one that completes it
        before, up_to = free.text(0, stopped.num_tokens - 1), free.text(0, stopped.num_tokens)
        assert len(before) < len(text) + len(stop) <= len(up_to)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "the quick brown fox", SENTENCE * 100])
def test_prompts_are_counted_as_the_tokenizer_does(kind: Callable[[], Any], text: str, tmp_path: Path) -> None:
    tokenizer = kind()
    prompt = asyncio.run(FileTokens(saved(tmp_path, tokenizer)).prompt(text))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert prompt.ids == ids
    assert prompt.num_tokens == max(1, len(ids))


def test_what_a_file_says_of_cutting_and_filling_does_not_count(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=100)
    prompt = asyncio.run(FileTokens(saved(tmp_path, tokenizer)).prompt(SENTENCE))
    assert prompt.num_tokens == len(byte_level().encode(SENTENCE).ids)


def test_the_service_counts_and_answers_by_it(tmp_path: Path) -> None:
    tokenizer = byte_level()
    session = InstantSession()
    service = make_service(tokenizer_path=saved(tmp_path, tokenizer))

    async def ask(client: TestClient[Any, Any], path: str, body: Any) -> Any:
        async with client.post(path, json=body) as answer:
            assert answer.status == 200
            return await answer.json()

    async def talk(client: TestClient[Any, Any]) -> list[Any]:
        body = {"prompt": SENTENCE * 20, "max_tokens": 30, "ignore_eos": True}
        counted = await ask(client, "/tokenize", {"prompt": body["prompt"]})
        by_ids = {**body, "prompt": counted["tokens"]}
        asked = [await ask(client, "/v1/completions", one) for one in (body, body, by_ids)]
        return [counted, *asked]

    counted, *answers = served(talk, session, service)
    ids = tokenizer.encode(SENTENCE * 20, add_special_tokens=False).ids
    assert (counted["count"], counted["tokens"], counted["estimated"]) == (len(ids), ids, None)
    for answer in answers:
        assert answer["usage"]["prompt_tokens"] == len(ids)
        text = answer["choices"][0]["text"]
        assert len(tokenizer.encode(text, add_special_tokens=False).ids) == answer["usage"]["completion_tokens"] == 30
    cached = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in answers]
    # A prompt is the same whether it comes as text or as the ids of its tokens.
    assert cached[0] == 0
    assert cached[1] == cached[2] >= len(ids) // 128 * 128 > 0


def test_without_a_tokenizer_tokens_are_estimated() -> None:
    tokens = Estimate()
    assert tokens.words is WORDS
    assert asyncio.run(tokens.prompt("x" * 9)).num_tokens == 3
    assert tokens.estimated is not None


def test_a_file_that_is_none_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        FileTokens(str(tmp_path / "absent.json"))
    for number, text in enumerate([b"", b"{", b"{}", b"\xff\xfe", b"[1]"]):
        (tmp_path / f"{number}.json").write_bytes(text)
        with pytest.raises(ConfigError, match=r"it is no tokenizer.json") as refused:
            FileTokens(str(tmp_path / f"{number}.json"))
        assert "\n" not in str(refused.value)


def test_a_tokenizer_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no two of its words"):
        FileTokens(saved(tmp_path, Tokenizer(models.BPE(vocab={"a": 0, "1": 1}, merges=[]))))


def test_words_that_join_are_left_out() -> None:
    # Nothing parts words here, and "a" and "b" behind each other are another token.
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "c": 2, "ab": 3}, merges=[("a", "b")]))
    kept = text_tokens._kept(tokenizer, {"a": 0, "b": 1, "c": 2})
    assert set(kept) in ({"a", "c"}, {"b", "c"})


def test_without_the_package_the_fix_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, byte_level())
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match=r"pip install 'supernode-serve\[tokenizer\]'"):
        FileTokens(path)
