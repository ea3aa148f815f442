"""What the decode instances of a run draft with: its settings held against each other and against the model."""

from __future__ import annotations

from deploy.hardware.operating_points import acceptance_of
from deploy.hardware.speculation import Drafting, Speculation
from deploy.settings.settings import Settings
from deploy.system.instance_physics import AggregatedPhysics, DecodePhysics
from scheduler.protocol.errors import ConfigError
from scheduler.runtime.random_streams import key_of
from sim_hw.models.shape import ModelShape
from sim_hw.operators.operating_point import USUAL_ACCEPTANCE, Drafter
from workers.decode.config import DecodeConfig, Sampling


def drafting_of(settings: Settings) -> Drafting:
    """`ConfigError` for settings that contradict each other or the model."""
    told, model, mtp = settings.speculation, settings.hardware.model, settings.instances.mtp
    drafter = Drafter(told.drafter)
    if not mtp and told.drafts:
        raise ConfigError(f"drafts is {told.drafts} and mtp is off, which means that nothing is drafted: leave one out")
    can_draft = drafter is not Drafter.MTP or model.mtp_layers > 0
    if told.drafts and not can_draft:
        raise ConfigError(
            f"drafts is {told.drafts} and {model.name} has no MTP module to draft with: "
            "give drafter eagle or ngram, which need none, or leave drafts out"
        )
    drafts = (1 if can_draft and mtp else 0) if told.drafts is None else told.drafts
    if not drafts:
        _refuse_without_drafts(told, model, can_draft=can_draft)
        return Drafting(0, Drafter.MTP)
    if (told.draft_model is not None) != (drafter is Drafter.MODEL):
        raise ConfigError("drafter model and draft_model go together: give both or neither")
    is_sampled = told.accepted_tokens == "sampled"
    return Drafting(drafts, drafter, _acceptance(told, drafts), is_sampled, told.draft_model)


def decode_config(physics: DecodePhysics | AggregatedPhysics, settings: Settings) -> DecodeConfig:
    """The sizes of one instance that decodes, and how its sequences grow."""
    numerator, denominator = physics.tokens_per_step
    drafting, sampling = drafting_of(settings), None
    if drafting.is_sampled:
        sampling = Sampling(drafting.drafts, drafting.acceptance, key_of(settings.run.seed, "accepted tokens"))
    return DecodeConfig(
        num_dies=physics.num_dies,
        blocks_per_die=physics.room.kv_blocks,
        slots_per_die=physics.room.sequences,
        extent_blocks=settings.instances.kv_extent_blocks,
        tokens_per_step_num=numerator,
        tokens_per_step_den=denominator,
        sampling=sampling,
    )


def _acceptance(told: Speculation, drafts: int) -> float:
    if told.accept_length is None:
        return USUAL_ACCEPTANCE if told.acceptance is None else told.acceptance
    if told.acceptance is not None:
        raise ConfigError(
            f"acceptance {told.acceptance} and accept_length {told.accept_length} say the same; leave one out"
        )
    return acceptance_of(told.accept_length, drafts, "accept_length", "drafts")


def _refuse_without_drafts(told: Speculation, model: ModelShape, *, can_draft: bool) -> None:
    asked = {
        "drafter": told.drafter if told.drafter != "mtp" else None,
        "draft_model": told.draft_model.name if told.draft_model else None,
        "acceptance": told.acceptance,
        "accept_length": told.accept_length,
        "accepted_tokens": told.accepted_tokens if told.accepted_tokens != "expected" else None,
    }
    why = "drafts is 0 or mtp is off" if can_draft else f"{model.name} has no MTP module"
    for name, value in asked.items():
        if value is not None:
            raise ConfigError(f"{name} is {value}, and nothing is drafted ({why}): leave it out, or let decode draft")
