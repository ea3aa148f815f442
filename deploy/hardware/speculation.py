"""The settings of a run that say what drafts tokens in its decode steps, and how many of them are accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

from deploy.hardware.endings import is_file
from deploy.hardware.lookup import load_model
from deploy.settings.setting import setting
from sim_hw.clusters.supernode import ServingDefaults
from sim_hw.models.shape import ModelShape
from sim_hw.operators.operating_point import MOST_DRAFTS, USUAL_ACCEPTANCE, Drafter, draft_layers

DrafterText = Literal["mtp", "eagle", "ngram", "model"]
AcceptedText = Literal["expected", "sampled"]


def _draft_model(name: str) -> ModelShape | None:
    return load_model(name) if name else None


def _absolute_file(name: str) -> str:
    """Processes that stand elsewhere read it too."""
    return str(Path(name).resolve()) if is_file(name) else name


class Speculation(Struct, frozen=True):
    """How decode speculates; `mtp` says whether it does."""

    drafts: int | None = setting(
        None,
        type=int | None,
        between=(0, MOST_DRAFTS),
        flag=("K", "Speculative tokens of a decode step."),
        is_extra=True,
    )
    """Speculative tokens of a decode step; empty for one, if there is anything to draft with."""
    drafter: DrafterText = setting("mtp", type=DrafterText, is_extra=True)
    """What drafts: mtp, the model's own module; eagle, a decoder layer of its own; ngram, text that was seen before;
    model, a small model, which is `draft_model`."""
    draft_model: ModelShape | None = setting("", _draft_model, kept=_absolute_file, is_extra=True)
    """Model that drafts, by name, Hugging Face config.json or mindformers YAML file, dense and of the same vocabulary;
    empty for none."""
    acceptance: float | None = setting(None, type=float | None, between=(0, 1), is_extra=True)
    """Probability that a draft is accepted, given that the one before it was; empty for 0.7."""
    accept_length: float | None = setting(None, type=float | None, between=(1, 1 + MOST_DRAFTS), is_extra=True)
    """Tokens that a step yields in expectation, as sources publish it, in place of `acceptance`."""
    accepted_tokens: AcceptedText = setting(
        "expected",
        type=AcceptedText,
        flag=("HOW", "Tokens that a step brings: expected or sampled."),
        is_extra=True,
    )
    """Whether each step brings every sequence the expected tokens, or each its own number, sampled under the seed."""


class Drafting(Struct, frozen=True):
    """What the decode instances of a run draft with, after all settings and the model."""

    drafts: int
    drafter: Drafter
    acceptance: float = USUAL_ACCEPTANCE
    is_sampled: bool = False
    model: ModelShape | None = None
    """Where it is one that drafts."""

    @property
    def has_mtp(self) -> bool:
        """Whether instances run the model's MTP module."""
        return self.drafts > 0 and self.drafter is Drafter.MTP

    def layers(self, model: ModelShape) -> int:
        """Of the model and of what drafts: those that keep KV."""
        return self._own_layers(model) + (self.model.layers if self.model else 0)

    def _own_layers(self, model: ModelShape) -> int:
        return model.layers + (draft_layers(self.drafter, model) if self.drafts else 0)

    def kv_bytes_per_token(self, model: ModelShape, bytes_per_element: float) -> int:
        """What a token of KV takes wherever it is kept, and on its way."""
        elements = self._own_layers(model) * model.attention.cached_elements
        if self.model is not None:
            elements += self.model.layers * self.model.attention.cached_elements
        return int(elements * bytes_per_element)

    def weight_bytes(self, model: ModelShape, defaults: ServingDefaults) -> float:
        """Of the model and of what drafts: what an instance loads."""
        # Few runs lose a worker.
        from sim_hw.operators.model_bytes import model_bytes
        from sim_hw.steps.decode_step import eagle_ffn_parameters

        num_bytes = model_bytes(model, defaults, self.has_mtp)
        if self.drafts and self.drafter is Drafter.EAGLE:
            layer = model.attention_parameters + eagle_ffn_parameters(model) + model.mtp_projection_parameters
            num_bytes += layer * defaults.precision.bytes_per_element
        if self.model is not None:
            num_bytes += self.model.total_parameters * defaults.precision.bytes_per_element
        return num_bytes
