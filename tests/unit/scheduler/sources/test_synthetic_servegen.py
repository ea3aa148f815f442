"""ServeGen's lengths: what is asked for is parsed, as Python would, and images are tokens of the prompt."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import InputError, TraceError
from scheduler.sources.synthetic import servegen_lengths
from scheduler.sources.synthetic.servegen_lengths import ClientLengths, parse_histogram
from scheduler.sources.synthetic.workload import ServeGenRequests, Workload
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_workload
from tests.unit.scheduler.sources.trace_rows import Request, requests_of

BUSY = "0,1,1,Gamma,1,2\n600,0,0,,0,0\n1200,1,1,Gamma,1,2\n"
IDLE = "0,0,0,,0,0\n600,0,0,,0,0\n1200,0,0,,0,0\n"

PAIRS = st.dictionaries(st.integers(0, 10**7), st.one_of(st.floats(0, 1), st.integers(0, 9)), min_size=1, max_size=30)


def client(folder: Path, number: int, windows: str, dataset: object) -> None:
    """Two files; the dataset as it is if it is text."""
    folder.mkdir(exist_ok=True)
    (folder / f"chunk-{number}-trace.csv").write_text(windows)
    text = dataset if isinstance(dataset, str) else json.dumps(dataset)
    (folder / f"chunk-{number}-dataset.json").write_text(text)


def language(prompts: str, outputs: str = "{7: 1.0}") -> dict[str, str]:
    return {"input_tokens": prompts, "output_tokens": outputs, "reason_ratio": "{0.0: 0.25, 1.0: 0.75}"}


def made(folder: Path, start_s: float = 0.0, duration_s: float | None = None) -> list[Request]:
    trace = open_workload(Workload("pool", ServeGenRequests(str(folder), start_s, duration_s)), TraceOptions())
    return requests_of(trace.blocks)


@given(pairs=PAIRS)
def test_a_literal_is_read_as_python_reads_it(pairs: Mapping[int, float]) -> None:
    assert ast.literal_eval(str(pairs)) == pairs
    for text in (str(pairs), str(pairs).replace(" ", ""), str(pairs).replace(": ", " :  ")):
        found = parse_histogram(text, "file", "0.input_tokens")
        if not sum(pairs.values()):
            assert found is None
            continue
        assert found is not None
        values = sorted(pairs)
        assert found.values.tolist() == values
        assert found.cumulated == pytest.approx(np.cumsum([pairs[value] for value in values]))


def test_usual_text_does_not_need_pythons_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(servegen_lengths.ast, "literal_eval", refuse)
    assert parse_histogram(str({9: 1e-05, 3: 0.25, 70: 1}), "file", "place") is not None


NO_HISTOGRAMS = (
    *("{9: NaN}", "{9: Infinity}", "{9: 1e999}", '{9: "1"}', "{9: None}", "{-9: 1}", "{9}", "{9: {1: 2}}", "{'9': 1}"),
    *("{True: 1}", "{9: True}", "{9.0: 1}", "{9: -1}", "__import__('os')", "{10000001: 1}", "", None, 7, ["{9: 1}"]),
)


@pytest.mark.parametrize("text", NO_HISTOGRAMS)
def test_what_is_no_histogram_is_refused(text: object) -> None:
    with pytest.raises(TraceError, match=r"place: .*; give the text of a dict of token counts"):
        parse_histogram(text, "file", "place")


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    client(pool, 1, BUSY, {"0": language("{10: 1}"), "1200": language("no dict")})
    client(pool, 2, IDLE, "no JSON")
    assert {request.prompt_tokens for request in made(pool, duration_s=600)} == {10}
    with pytest.raises(TraceError, match=r"chunk-1-dataset\.json: 1200\.input_tokens: 'no dict' is not a dict"):
        made(pool)
    client(pool, 2, BUSY, "no JSON")
    with pytest.raises(InputError, match=r"chunk-2-dataset\.json: not JSON"):
        made(pool, duration_s=600)


def test_the_window_that_holds_or_the_nearest_that_has_any(tmp_path: Path) -> None:
    empty = language("{}")
    dataset = {"0": empty, "600": language("{20: 1}"), "1200": language("{30: 0.0}"), "1800": language("{40: 1}")}
    client(tmp_path / "pool", 1, BUSY, dataset)
    lengths = ClientLengths(str(tmp_path / "pool" / "chunk-1-dataset.json"))
    found = [int(lengths.at(time_s).text_tokens.values[0]) for time_s in (0, 599, 600, 1300, 1800, 10**6)]
    assert found == [20, 20, 20, 20, 40, 40]


def test_reasoning_is_among_the_output_tokens(tmp_path: Path) -> None:
    client(tmp_path / "pool", 1, BUSY, {"0": language("{10: 1}", "{400: 1}")})
    assert {request.output_tokens for request in made(tmp_path / "pool")} == {400}


MULTIMODAL = {
    "text_tokens": "{100: 1}",
    "output_tokens": "{7: 1}",
    "image_count": "{0: 0.5, 2: 0.5}",
    "image_tokens": "{1000: 0.5, 3000: 0.5}",
    "audio_count": "{0: 1.0}",
    "audio_tokens": "{}",
    "video_count": "{}",
    "video_tokens": "{}",
}


def test_images_are_tokens_of_the_prompt(tmp_path: Path) -> None:
    client(tmp_path / "pool", 1, BUSY, {"0": MULTIMODAL})
    prompts = [request.prompt_tokens for request in made(tmp_path / "pool")]
    shares = {tokens: prompts.count(tokens) / len(prompts) for tokens in set(prompts)}
    assert shares == {
        100: pytest.approx(0.5, abs=0.06),
        2100: pytest.approx(0.125, abs=0.04),
        4100: pytest.approx(0.25, abs=0.05),
        6100: pytest.approx(0.125, abs=0.04),
    }


def test_all_kinds_of_parts_add_up(tmp_path: Path) -> None:
    parts = {"audio_count": "{1: 1}", "audio_tokens": "{25: 1}", "video_count": "{3: 1}", "video_tokens": "{500: 1}"}
    client(tmp_path / "pool", 1, BUSY, {"0": {**MULTIMODAL, "image_count": "{0: 1}", **parts}})
    assert {request.prompt_tokens for request in made(tmp_path / "pool")} == {100 + 25 + 3 * 500}


def test_texts_and_outputs_do_not_change_with_the_images(tmp_path: Path) -> None:
    texts = {"text_tokens": "{100: 1, 200: 1}", "output_tokens": "{7: 1, 8: 1}"}
    client(tmp_path / "with", 1, BUSY, {"0": {**MULTIMODAL, **texts}})
    client(tmp_path / "without", 1, BUSY, {"0": texts})
    seen, plain = made(tmp_path / "with"), made(tmp_path / "without")
    assert [one.output_tokens for one in seen] == [one.output_tokens for one in plain]
    assert [one.prompt_tokens % 1000 for one in seen] == [one.prompt_tokens for one in plain]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"image_tokens": "{}"}, "0.image_tokens: is empty, but image_count says up to 2 in a request"),
        ({"image_tokens": None}, "0.image_tokens: is missing"),
        ({"image_count": None}, "0.image_count: is missing"),
        ({"image_count": "{20000: 1}"}, "0.image_count: 20000 is not a count from 0 to 10000"),
        ({"text_tokens": None}, "0.input_tokens: is missing; give a language, reasoning or multimodal pool"),
    ],
)
def test_multimodal_windows_that_do_not_fit_are_one_line(
    tmp_path: Path, fields: dict[str, str | None], problem: str
) -> None:
    window = {name: text for name, text in {**MULTIMODAL, **fields}.items() if text is not None}
    client(tmp_path / "pool", 1, BUSY, {"0": window})
    with pytest.raises(TraceError) as caught:
        made(tmp_path / "pool")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
