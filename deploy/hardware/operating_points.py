"""Operating points from the options of `supernode model`: what is not given is the cluster's default instance."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from scheduler.metrics.slo import parse_slo
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.chip import ExpertWeights, Precision
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.models.shape import ModelShape
from sim_hw.operators.operating_point import (
    KV_PRECISIONS,
    DecodePoint,
    Drafter,
    ExpertBalance,
    Instance,
    PrefillPoint,
)
from sim_hw.planes import Plane
from sim_hw.steps.afd_step import AfdPoint
from sim_hw.steps.aggregated_prediction import largest_aggregated_batch
from sim_hw.steps.aggregated_step import AggregatedPoint, aggregated_point, with_batch
from sim_hw.steps.default_points import PUBLISHED_BATCH, default_decode_point, default_prefill_point

TOKEN_BUDGET: Final = 512
"""Token rows of a step of an aggregated instance, per package, as in replays."""

OUTPUT_TOKENS: Final = 1024


class InstanceOptions(Struct, frozen=True, kw_only=True):
    """The options that both stages have; None was not given."""

    num_npus: int | None = None
    ep: int | None = None
    tp: int | None = None
    expert_tp: int | None = None
    pp: int | None = None
    cp: int | None = None
    slots_per_rank: int | None = None
    reserve: float | None = None
    microbatch: str | None = None
    overlap: str | None = None
    eplb: str | None = None
    precision: str | None = None
    kv_precision: str | None = None
    expert_weights: str | None = None


def decode_point(
    cluster: Supernode,
    model: ModelShape,
    options: InstanceOptions,
    batch_per_npu: int | None = None,
    context_tokens: int | None = None,
    mtp_k: int | None = None,
    acceptance: float | None = None,
    accept_length: float | None = None,
    drafter: str | None = None,
    draft_model: ModelShape | None = None,
) -> DecodePoint:
    """A point of the cluster's decode stage; None was not given. `accept_length` stands for an acceptance."""
    default = default_decode_point(_with_precisions(cluster, options), model)
    load = _given(batch_per_npu=batch_per_npu, context_tokens=context_tokens, mtp_k=mtp_k, acceptance=acceptance)
    if drafter is not None:
        load["drafter"] = kind = Drafter(one_of("--drafter", drafter, list(Drafter)))
        if mtp_k == 0 and kind is not Drafter.MTP:
            raise ConfigError(f"--drafter {drafter} and --mtp 0: nothing is drafted; leave one out")
        if mtp_k is None and kind is not Drafter.MTP:
            load["mtp_k"] = max(1, default.mtp_k)
    load |= _given(draft_model=draft_model)
    point = replace(default, **_instance(default, options), **load)
    if accept_length is None:
        return point
    if acceptance is not None:
        raise ConfigError(f"--acceptance {acceptance} and --accept-length {accept_length} say the same; leave one out")
    return replace(point, acceptance=acceptance_of(accept_length, point.mtp_k))


def afd_point(point: DecodePoint, options: InstanceOptions, afd: str) -> AfdPoint:
    """The point with attention on A NPUs and experts on F others, `afd` being A:F."""
    numbers = re.fullmatch(r"(\d{1,6}):(\d{1,6})", afd, re.ASCII)
    if numbers is None:
        raise ConfigError(f"--afd {afd!r} is no pair of NPUs; give A:F, such as 64:16")
    told = {"--npus": options.num_npus, "--ep": options.ep, "--microbatch": options.microbatch}
    for option, value in (told | {"--overlap": options.overlap}).items():
        if value is not None:
            raise ConfigError(f"--afd {afd} and {option} {value}: the sides say both NPUs and overlap; leave one out")
    attention, ffn = (int(number) for number in numbers.groups())
    fields = {name: getattr(point, name) for name in DecodePoint.__struct_fields__}
    fields |= {"num_npus": attention, "ep": ffn * point.chip.num_dies.count}
    return AfdPoint(**fields, ffn_npus=ffn)


def acceptance_of(
    accept_length: float, drafts: int, told_as: str = "--accept-length", drafts_as: str = "--mtp"
) -> float:
    """The acceptance of each draft with which a step yields `accept_length` tokens in expectation; both are known to
    the user by the other two names."""
    if not 1.0 <= accept_length <= 1.0 + drafts:
        yields = f"a step of {drafts} drafts yields 1 to {1 + drafts} tokens"
        raise ConfigError(f"{told_as} {accept_length}: {yields}; change it or {drafts_as}")
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if sum(middle**position for position in range(1 + drafts)) < accept_length:
            low = middle
        else:
            high = middle
    return high


def prefill_point(
    cluster: Supernode,
    model: ModelShape,
    options: InstanceOptions,
    batch_tokens_per_npu: int | None = None,
    prompt_tokens: int | None = None,
    reuse: float | None = None,
    cache_plane: str | None = None,
) -> PrefillPoint:
    """A point of the cluster's prefill stage; None was not given."""
    default = default_prefill_point(_with_precisions(cluster, options), model)
    load = _given(batch_tokens_per_npu=batch_tokens_per_npu, prompt_tokens=prompt_tokens, reuse=reuse)
    if cache_plane is not None:
        load["cache_plane"] = Plane(one_of("--cache-plane", cache_plane, [Plane.UB, Plane.VPC]))
    return replace(default, **_instance(default, options), **load)


def both_stages_point(
    cluster: Supernode,
    model: ModelShape,
    options: InstanceOptions,
    batch_per_npu: int | None = None,
    prompt_tokens: int | None = None,
    output_tokens: int | None = None,
    token_budget_per_npu: int | None = None,
    reuse: float | None = None,
    cache_plane: str | None = None,
    mtp_k: int | None = None,
    acceptance: float | None = None,
    accept_length: float | None = None,
    drafter: str | None = None,
) -> AggregatedPoint:
    """A point of an aggregated instance, by default as large as the cluster's prefill instance; None was not given. The
    batch is then the published one, or the largest that fits and can be kept up."""
    if options.num_npus is None and options.ep is None:
        options = replace(options, num_npus=cluster.defaults.prefill.num_npus)
    decode = decode_point(cluster, model, options, batch_per_npu, None, mtp_k, acceptance, accept_length, drafter)
    budget = TOKEN_BUDGET if token_budget_per_npu is None else token_budget_per_npu
    prefill = prefill_point(cluster, model, options, budget, prompt_tokens, reuse, cache_plane)
    point = aggregated_point(decode, prefill, OUTPUT_TOKENS if output_tokens is None else output_tokens)
    if batch_per_npu is not None:
        return point
    largest = largest_aggregated_batch(point).decode.batch_per_npu
    return with_batch(point, min(largest, PUBLISHED_BATCH))


def _with_precisions(cluster: Supernode, options: InstanceOptions) -> Supernode:
    """The cluster served in what was asked for."""
    given: dict[str, Any] = {}
    if options.precision is not None:
        given["precision"] = Precision(one_of("--precision", options.precision, list(Precision)))
    if options.kv_precision is not None:
        given["kv_precision"] = Precision(one_of("--kv-precision", options.kv_precision, list(KV_PRECISIONS)))
    if options.expert_weights is not None:
        known = ["none", *ExpertWeights]
        name = one_of("--expert-weights", options.expert_weights, known)
        given["expert_weights"] = None if name == "none" else ExpertWeights(name)
    return replace(cluster, defaults=replace(cluster.defaults, **given)) if given else cluster


def tpot_limit_s(text: str) -> float:
    """Seconds of a limit such as 50ms."""
    try:
        limit_s = parse_slo(f"tpot={text}").tpot_s
    except ConfigError:
        limit_s = None
    if limit_s is None or "," in text:
        raise ConfigError(f"--tpot-slo {text!r} is no time above 0; give one such as 50ms or 0.05s")
    return limit_s


def one_of(option: str, value: str, known: list[str]) -> str:
    """The value if it is one of the known ones, else a `ConfigError`."""
    if value not in known:
        raise ConfigError(f"{option}: unknown value {value!r}; known: {', '.join(known)}")
    return value


def _instance(default: Instance, options: InstanceOptions) -> dict[str, Any]:
    """The fields of an instance that differ from the default one's."""
    shares = _given(tp=options.tp, expert_tp=options.expert_tp, pp=options.pp, cp=options.cp)
    num_npus, ep = _size(replace(default, **shares), options)
    fields = shares | _given(slots_per_rank=options.slots_per_rank, reserve_share=options.reserve)
    if options.eplb is not None:
        fields["eplb"] = ExpertBalance(one_of("--eplb", options.eplb, list(ExpertBalance)))
    return {"num_npus": num_npus, "ep": ep, "overlap": _overlap(default.overlap, options), **fields}


def _size(shared: Instance, options: InstanceOptions) -> tuple[int, int]:
    """NPUs and ranks: with experts one follows from the other, a rank being a die; a dense model repeats its ranks."""
    num_npus, ep, dies = options.num_npus, options.ep, shared.chip.num_dies.count
    if not shared.model.experts:
        return _dense_size(shared, options)
    # What a group of ranks that is one of `ep` takes; a count below 1 is refused with the point.
    group = max(1, shared.expert_tp) * max(1, shared.pp)
    if ep is None:
        is_as_it_was = num_npus is None and options.expert_tp is None and options.pp is None
        num_npus = shared.num_npus if num_npus is None else num_npus
        return num_npus, shared.ep if is_as_it_was else max(1, num_npus * dies // group)
    if num_npus is None:
        num_npus = -(-ep * group // dies) if ep >= 1 else shared.num_npus
    return num_npus, ep


def _dense_size(shared: Instance, options: InstanceOptions) -> tuple[int, int]:
    num_npus = shared.num_npus if options.num_npus is None else options.num_npus
    if options.tp is not None and options.ep not in (None, options.tp):
        raise ConfigError(
            f"--tp {options.tp} and --ep {options.ep} both say how many ranks share the layers of {shared.model.name}, "
            "which has no experts; leave --ep out"
        )
    if options.ep is not None:
        return num_npus, options.ep
    if shared.tp is not None:
        return num_npus, shared.tp
    return num_npus, shared.ep if options.num_npus is None else min(shared.ep, num_npus * shared.chip.num_dies.count)


def _overlap(default: Overlap, options: InstanceOptions) -> Overlap:
    """`--overlap` says what communication hides behind; `--microbatch` switches two batches on or all off."""
    microbatch, overlap = options.microbatch, options.overlap
    if overlap is not None and microbatch is not None:
        raise ConfigError(f"--microbatch {microbatch} and --overlap {overlap} say the same twice; leave one out")
    if overlap is not None:
        return Overlap(one_of("--overlap", overlap, list(Overlap)))
    if microbatch is None:
        return default
    if one_of("--microbatch", microbatch, ["on", "off"]) == "off":
        return Overlap.NONE
    return Overlap.TWO_BATCHES


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
