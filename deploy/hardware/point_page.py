"""The results of `supernode model prefill | decode | op`: JSON with the names of the contract, a page for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from deploy.hardware.drafts_table import drafts_block
from deploy.hardware.quantities import count, quantity
from deploy.terminal.table import table
from sim_hw.chips.calibration import CalibratedChip
from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import engine_of
from sim_hw.instance.power import AggregatedPower, decode_power, prefill_power
from sim_hw.operators.error_bar import bar_of_another_engine, interval_90
from sim_hw.operators.operating_point import DecodePoint, Instance, PrefillPoint
from sim_hw.power.chip_power import chip_watts, prefill_watts
from sim_hw.steps.afd_prediction import AfdPrediction
from sim_hw.steps.afd_step import AfdPoint
from sim_hw.steps.aggregated_prediction import AggregatedPrediction
from sim_hw.steps.aggregated_step import AggregatedPoint
from sim_hw.steps.predict import DecodePrediction, OperatorPrediction, PrefillPrediction

Answer = dict[str, Any]

_TITLES = {
    "tokens_per_s_per_npu": ("throughput per NPU", "tok/s"),
    "prompt_tokens_per_s_per_npu": ("prompt tokens per NPU", "tok/s"),
    "requests_per_s": ("requests/s of the instance", "1"),
    "ttft_s": ("TTFT", "s"),
    "tpot_s": ("TPOT", "s"),
    "pass_s": ("pass", "s"),
    "iteration_s": ("iteration", "s"),
    "decode_step_s": ("step without a chunk", "s"),
    "mixed_step_s": ("step with a chunk", "s"),
    "full_step_s": ("step with a full budget", "s"),
    "layer_s": ("one layer", "s"),
    "latency_s": ("latency", "s"),
    "bytes_per_s": ("bandwidth per rank", "B/s"),
    "watts_per_npu": ("power per NPU", "W"),
    "joules_per_token": ("energy per token, NPU only", "J"),
}
"""Label and unit of the numbers on top of a page, in their order."""

_WITH_INTERVAL = (
    *("tokens_per_s_per_npu", "prompt_tokens_per_s_per_npu", "requests_per_s"),
    *("ttft_s", "tpot_s", "pass_s", "iteration_s", "decode_step_s", "mixed_step_s", "full_step_s"),
    *("latency_s", "bytes_per_s"),
)
"""Numbers that are as sure as the time of the whole."""

_MEMORY_TITLES = {
    "memory_bytes_per_die": "Memory per die",
    "attention_memory_bytes_per_die": "Memory per die of attention",
    "ffn_memory_bytes_per_die": "Memory per die of experts",
}


def decode_answer(point: DecodePoint, prediction: DecodePrediction) -> Answer:
    """The prediction under the names of the contract, with the point that it is for."""
    watts = chip_watts(point.chip, prediction.compute_share, prediction.memory_share)
    return {
        "point": {**_instance(point), **_load(point)},
        "tokens_per_s_per_npu": prediction.tokens_per_s_per_npu,
        "tpot_s": prediction.tpot_s,
        "iteration_s": prediction.iteration_s,
        "layer_s": prediction.layer_s,
        "operators_s": prediction.operators_s,
        "exposed_s": prediction.exposed_s,
        "attention_cores": prediction.attention_cores,
        "memory_bytes_per_die": prediction.memory_bytes_per_die,
        "watts_per_npu": watts,
        "joules_per_token": watts / prediction.tokens_per_s_per_npu,
        **_sureness(point.chip, prediction.error_bar),
    }


def afd_answer(point: AfdPoint, prediction: AfdPrediction) -> Answer:
    """As `decode_answer`; watts are not predicted of two sides that wait for each other."""
    instance = {name: value for name, value in _instance(point).items() if name not in ("npus", "overlap")}
    load = _load(point)
    return {
        "point": {**instance, "attention_npus": point.num_npus, "ffn_npus": point.ffn_npus, **load},
        **asdict(prediction),
        **_sureness(point.chip, prediction.error_bar),
    }


def _sureness(chip: Chip, bar: float) -> dict[str, Any]:
    """The error bar, and what it is if another engine is meant than the one whose numbers the chip has; of numbers that
    were measured of an engine, nothing is said of others."""
    if isinstance(chip, CalibratedChip):
        return {"error_bar": bar}
    return {"error_bar": bar, "engine": engine_of(chip), "error_bar_of_another_engine": bar_of_another_engine(bar)}


def _load(point: DecodePoint) -> dict[str, Any]:
    return {
        "batch": point.batch_per_npu,
        "context": point.context_tokens,
        "mtp": point.mtp_k,
        "drafter": point.drafter.value,
        **({} if point.draft_model is None else {"draft_model": point.draft_model.name}),
        "acceptance": point.acceptance,
    }


def prefill_answer(point: PrefillPoint, prediction: PrefillPrediction) -> Answer:
    """As `decode_answer`."""
    watts = prefill_watts(point.chip, prediction.compute_share, prediction.memory_share)
    return {
        "point": {
            **_instance(point),
            "batch_tokens": point.batch_tokens_per_npu,
            "prompt": point.prompt_tokens,
            "reuse": point.reuse,
            "cache_plane": point.cache_plane.value,
        },
        "tokens_per_s_per_npu": prediction.tokens_per_s_per_npu,
        "ttft_s": prediction.ttft_s,
        "pass_s": prediction.pass_s,
        "layer_s": prediction.layer_s,
        "operators_s": prediction.operators_s,
        "exposed_s": prediction.exposed_s,
        "memory_bytes_per_die": prediction.memory_bytes_per_die,
        "watts_per_npu": watts,
        "joules_per_token": watts / prediction.tokens_per_s_per_npu,
        **_sureness(point.chip, prediction.error_bar),
    }


def aggregated_answer(point: AggregatedPoint, prediction: AggregatedPrediction) -> Answer:
    """As `decode_answer`; tokens are those of outputs, and times by operator those of the mean step."""
    watts = _aggregated_watts(point, prediction)
    load = _load(point.decode)
    return {
        "point": {
            **_instance(point.decode),
            "batch": load.pop("batch"),
            "prompt": point.prefill.prompt_tokens,
            "output": point.output_tokens,
            "token_budget": point.prefill.batch_tokens_per_npu,
            "reuse": point.prefill.reuse,
            "cache_plane": point.prefill.cache_plane.value,
            **load,
        },
        **asdict(prediction),
        "watts_per_npu": watts,
        "joules_per_token": watts / prediction.tokens_per_s_per_npu,
        **_sureness(point.decode.chip, prediction.error_bar),
    }


def _aggregated_watts(point: AggregatedPoint, prediction: AggregatedPrediction) -> float:
    """Of an NPU in the steady state, with joules as a replay counts them: the mean step, many times."""
    decode, steps = point.decode, 1_000_000
    with_chunk, tokens = round(steps * prediction.mixed_share), round(steps * point.chunk_tokens)
    busy_s = steps * prediction.iteration_s
    joules = AggregatedPower(decode_power(decode), prefill_power(point.prefill)).joules(
        busy_ns=round(1e9 * busy_s),
        steps=steps - with_chunk,
        sequence_steps=steps * point.num_running,
        kv_token_steps=steps * point.num_running * decode.context_tokens,
        passes=with_chunk,
        computed_tokens=tokens,
        attention_pairs=round(tokens * point.pairs_per_token),
        idle_ns=0,
    )
    return joules / busy_s / decode.num_npus


def operator_answer(name: str, cluster: str, ep: int, batch: int, prediction: OperatorPrediction) -> Answer:
    """As `decode_answer`, for one call of a collective."""
    return {
        "point": {"operator": name, "cluster": cluster, "ep": ep, "batch": batch},
        "latency_s": prediction.latency_s,
        "bytes_per_s": prediction.bytes_per_s,
        "error_bar": prediction.error_bar,
    }


def with_intervals(answer: Answer) -> Answer:
    """The same with the ends of the 90 % interval of each of its main numbers, which its error bar is half of."""
    bar = answer["error_bar"]
    return {
        **answer,
        "interval_90": {name: list(interval_90(answer[name], bar)) for name in _WITH_INTERVAL if name in answer},
    }


def point_page(answer: Answer) -> str:
    """The answer for people, ending in a newline."""
    blocks = [_heading(answer["point"]), _numbers(answer)]
    if "by_drafts" in answer:
        blocks.append(drafts_block(answer["by_drafts"]))
    if "operators_s" in answer:
        blocks.append(_operators(answer["operators_s"], answer["exposed_s"]))
    blocks += [_memory(title, answer[name]) for name, title in _MEMORY_TITLES.items() if name in answer]
    return "\n\n".join(blocks) + "\n"


def _instance(point: Instance) -> dict[str, Any]:
    return {
        "cluster": point.cluster.name,
        "model": point.model.name,
        "npus": point.num_npus,
        "ep": point.ep,
        **_shares(point),
        "overlap": point.overlap.value,
        "eplb": point.eplb.value,
        "precision": point.precision.value,
        "kv_precision": point.kv_precision.value,
        "expert_weights": (point.cluster.defaults.expert_weights or point.precision).value,
    }


def _shares(point: Instance) -> dict[str, Any]:
    """How ranks share layers where it is not by experts alone."""
    usual = {"tp": None, "expert_tp": 1, "pp": 1, "cp": 1}
    return {name: getattr(point, name) for name, plain in usual.items() if getattr(point, name) != plain}


def _heading(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in point.items())


def _shown(value: object) -> str:
    return value.replace("_", " ") if isinstance(value, str) else count(float(str(value)))


def _numbers(answer: Answer) -> str:
    rows: list[tuple[str, ...]] = [
        (f"  {label}", quantity(answer[name], unit), *_ends(answer, name, unit))
        for name, (label, unit) in _TITLES.items()
        if name in answer
    ]
    if answer.get("attention_cores") is not None:
        rows.append(("  cube cores of the attention stream", count(answer["attention_cores"]), ""))
    if "mixed_share" in answer:
        rows += [
            ("  steps with a chunk", f"{100 * answer['mixed_share']:.1f} %", ""),
            ("  prompt tokens of a chunk, per NPU", count(answer["chunk_tokens_per_npu"]), ""),
        ]
    if "microbatches" in answer:
        rows += [
            ("  micro-batches", count(answer["microbatches"]), ""),
            ("  a layer waits for", answer["bound_by"], ""),
            ("  attention busy", f"{100 * answer['attention_busy_share']:.1f} %", ""),
            ("  experts busy", f"{100 * answer['ffn_busy_share']:.1f} %", ""),
        ]
    rows.append(("  error bar", f"+- {100 * answer['error_bar']:.1f} %", *_as_which_engine(answer)))
    return table(rows, right=(1,))


def _as_which_engine(answer: Answer) -> tuple[str]:
    if "engine" not in answer:
        return ("",)
    return (f"as {answer['engine']}; another engine +- {100 * answer['error_bar_of_another_engine']:.0f} %",)


def _ends(answer: Answer, name: str, unit: str) -> tuple[str, ...]:
    ends = answer.get("interval_90", {}).get(name)
    return ("",) if ends is None else (f"90 %: {quantity(ends[0], unit)} to {quantity(ends[1], unit)}",)


def _operators(busy_s: Mapping[str, float], exposed_s: Mapping[str, float]) -> str:
    whole_s = sum(exposed_s.values())
    names = sorted((name for name in busy_s if busy_s[name] > 0), key=lambda name: -busy_s[name])
    rows = [
        (
            f"  {name.replace('_', ' ')}",
            quantity(busy_s[name], "s"),
            quantity(exposed_s.get(name, 0.0), "s"),
            f"{100 * exposed_s.get(name, 0.0) / whole_s:.1f} %",
        )
        for name in names
    ]
    total_row = ("  sum", quantity(sum(busy_s.values()), "s"), quantity(whole_s, "s"), "100.0 %")
    return table([("Time by operator", "busy", "exposed", "of all"), *rows, total_row], right=(1, 2, 3))


def _memory(title: str, bytes_per_die: Mapping[str, float]) -> str:
    rows = [(f"  {part.replace('_', ' ')}", quantity(size, "B")) for part, size in bytes_per_die.items()]
    rows.append(("  sum", quantity(sum(bytes_per_die.values()), "B")))
    return table([(title, ""), *rows], right=(1,))
