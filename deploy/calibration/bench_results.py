"""Results of benchmarks that others wrote: AIPerf, `vllm bench serve` and SGLang's `bench_serving`.

| from | file | read |
|---|---|---|
| AIPerf | profile_export_aiperf.json | inter_token_latency, input_ and output_sequence_length, request_throughput |
| vLLM | --save-result, --append-result | mean_tpot_ms, total_input_ and _output_tokens, completed, request_throughput |
| SGLang | --output-file, a line a run | the same, and accept_length |

All call TPOT what lies between the first token and the last, over the tokens after the first. Requests that decode at
a time follow by Little's law. TTFT is mostly a wait in a queue, and tells nothing of a pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from scheduler.protocol.errors import InputError
from scheduler.sources.bounded_file import read_bounded
from scheduler.sources.traces.lines import shown


class Served(Struct, frozen=True):
    """Means of one run."""

    requests_per_s: float
    prompt_tokens: float
    output_tokens: float
    tpot_s: float
    accept_length: float | None = None
    """Tokens that a step yields; None where nothing was drafted, or nobody says."""

    @property
    def decoding(self) -> float:
        """Mean number of requests that decode."""
        return self.requests_per_s * self.tpot_s * max(1.0, self.output_tokens - 1.0)


def read_results(path: str) -> list[Served]:
    """All runs of a file; `InputError` names file, run and field."""
    documents = _documents(path)
    return [_served(document, f"{shown(path)}: run {number}") for number, document in enumerate(documents, 1)]


def _documents(path: str) -> list[Mapping[str, Any]]:
    """One for the file, or one for each line of it."""
    try:
        text = read_bounded(path, "results of a benchmark").decode()
        try:
            documents: list[Any] = [json.loads(text)]
        except json.JSONDecodeError:
            documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise InputError(f"{shown(path)}:{error.lineno}: not JSON ({error.msg}); give a benchmark's results") from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError(f"{shown(path)}: not JSON in UTF-8; give a benchmark's results") from None
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise InputError(f"{shown(path)}: no JSON objects; give results of AIPerf, vLLM or SGLang")
    return cast("list[Mapping[str, Any]]", documents)


def _served(document: Mapping[str, Any], place: str) -> Served:
    if isinstance(document.get("inter_token_latency"), dict):
        return Served(
            _mean(document, "request_throughput", "requests/sec", place),
            _mean(document, "input_sequence_length", "tokens", place),
            _mean(document, "output_sequence_length", "tokens", place),
            1e-3 * _mean(document, "inter_token_latency", "ms", place),
        )
    if "mean_tpot_ms" not in document:
        raise InputError(
            f"{place}: has no mean_tpot_ms (vLLM, SGLang) nor inter_token_latency (AIPerf); give a result of these"
        )
    completed = _number(document, "completed", place)
    accept_length = document.get("accept_length")
    return Served(
        _number(document, "request_throughput", place),
        _number(document, "total_input_tokens", place) / completed,
        _number(document, "total_output_tokens", place) / completed,
        1e-3 * _number(document, "mean_tpot_ms", place),
        _number(document, "accept_length", place) if accept_length else None,
    )


def _mean(document: Mapping[str, Any], name: str, unit: str, place: str) -> float:
    """The `avg` of a metric of AIPerf, in the unit that it always has."""
    metric = document.get(name)
    if not isinstance(metric, dict):
        raise InputError(f"{place}: {name} is missing; run AIPerf with --streaming")
    told = cast("dict[str, Any]", metric)
    if told.get("unit") != unit:
        raise InputError(f"{place}: {name} is in {told.get('unit')!r}; give it in {unit}")
    return _number({name: told.get("avg")}, name, place)


def _number(document: Mapping[str, Any], name: str, place: str) -> float:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
        raise InputError(f"{place}: {name} is {value!r}; give a run that has a number above 0 there")
    return float(value)
