"""What the cost model says of one operating point that a user describes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from deploy.calibration.applied import load_calibrated
from deploy.hardware.drafts_table import by_drafts, check_drafts
from deploy.hardware.lookup import load_model
from deploy.hardware.notes import tell_notes
from deploy.hardware.operating_points import (
    InstanceOptions,
    afd_point,
    both_stages_point,
    decode_point,
    prefill_point,
    tpot_limit_s,
)
from deploy.hardware.point_page import Answer, afd_answer, aggregated_answer, decode_answer, prefill_answer
from scheduler.protocol.errors import ConfigError
from sim_hw.errors import HardwareModelError
from sim_hw.operators.operating_point import DecodePoint
from sim_hw.steps.afd_prediction import predict_afd
from sim_hw.steps.aggregated_prediction import largest_aggregated_batch, predict_aggregated
from sim_hw.steps.predict import largest_batch, predict_decode, predict_prefill

CLUSTER = "cloudmatrix384"
MODEL = "deepseek-r1"


def answer_prefill(
    instance: InstanceOptions,
    cluster: str = CLUSTER,
    model: str = MODEL,
    batch_tokens: int | None = None,
    prompt: int | None = None,
    reuse: float | None = None,
    cache_plane: str | None = None,
    calibration: str | None = None,
) -> Answer:
    """Of a prefill pass; None was not given. `ConfigError` for what cannot be."""
    supernode, shape = load_calibrated(cluster, calibration), load_model(model)
    tell_notes(shape)
    with physics_refusing():
        point = prefill_point(supernode, shape, instance, batch_tokens, prompt, reuse, cache_plane)
        return prefill_answer(point, predict_prefill(point))


def answer_decode(
    instance: InstanceOptions,
    cluster: str = CLUSTER,
    model: str = MODEL,
    batch: int | None = None,
    context: int | None = None,
    mtp: int | None = None,
    acceptance: float | None = None,
    drafter: str | None = None,
    accept_length: float | None = None,
    tpot_slo: str | None = None,
    afd: str | None = None,
    calibration: str | None = None,
    compare_drafts: int | None = None,
    draft_model: str | None = None,
) -> Answer:
    """Of a decode step, likewise; with `compare_drafts` there is a row for each number of drafts up to that one."""
    if compare_drafts is not None:
        check_drafts(compare_drafts, {"--mtp": mtp, "--accept-length": accept_length})
    limit_s = _limit_s(batch, tpot_slo)
    if afd is not None and tpot_slo is not None:
        raise ConfigError(f"--afd {afd} and --tpot-slo {tpot_slo}: a batch is not searched for; give --batch instead")
    supernode, shape = load_calibrated(cluster, calibration), load_model(model)
    tell_notes(shape)
    with physics_refusing():
        small = None if draft_model is None else load_model(draft_model)
        load = batch, context, mtp, acceptance, accept_length, drafter, small
        point = decode_point(supernode, shape, instance, *load)

        def answer_at(point: DecodePoint) -> Answer:
            if limit_s is not None:
                point = largest_batch(point, limit_s)
            if afd is None:
                return decode_answer(point, predict_decode(point))
            sides = afd_point(point, instance, afd)
            return afd_answer(sides, predict_afd(sides))

        answer = answer_at(point)
        if compare_drafts is None:
            return answer
        return {**answer, "by_drafts": by_drafts(point, compare_drafts, answer_at)}


def answer_aggregated(
    instance: InstanceOptions,
    cluster: str = CLUSTER,
    model: str = MODEL,
    batch: int | None = None,
    prompt: int | None = None,
    output: int | None = None,
    token_budget: int | None = None,
    reuse: float | None = None,
    cache_plane: str | None = None,
    mtp: int | None = None,
    acceptance: float | None = None,
    drafter: str | None = None,
    accept_length: float | None = None,
    tpot_slo: str | None = None,
    calibration: str | None = None,
) -> Answer:
    """Of an instance that does both stages in the same steps, likewise."""
    limit_s = _limit_s(batch, tpot_slo)
    supernode, shape = load_calibrated(cluster, calibration), load_model(model)
    tell_notes(shape)
    load = batch, prompt, output, token_budget, reuse, cache_plane
    with physics_refusing():
        point = both_stages_point(supernode, shape, instance, *load, mtp, acceptance, accept_length, drafter)
        if limit_s is not None:
            point = largest_aggregated_batch(point, limit_s)
        return aggregated_answer(point, predict_aggregated(point))


def _limit_s(batch: int | None, tpot_slo: str | None) -> float | None:
    if tpot_slo is None:
        return None
    if batch is not None:
        raise ConfigError(f"--batch {batch} and --tpot-slo {tpot_slo}: the limit finds the batch; leave one out")
    return tpot_limit_s(tpot_slo)


@contextmanager
def physics_refusing() -> Generator[None, None, None]:
    """What the physics refuses is the user's input."""
    try:
        yield
    except HardwareModelError as error:
        raise ConfigError(str(error)) from error
