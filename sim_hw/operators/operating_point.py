"""The questions that can be asked: one instance of a stage on a cluster, and the work it is given."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from sim_hw.chips.chip import Chip, ExpertWeights, Precision
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.errors import OperatingPointError
from sim_hw.models.shape import ModelShape
from sim_hw.operators.parallelism import Parallelism
from sim_hw.planes import Plane

MOST_DRAFTS: Final = 16

USUAL_ACCEPTANCE: Final = 0.7
"""Of MTP, as CloudMatrix-Infer assumes it (arXiv 2506.12708 v3): 1.7 tokens a step."""

KV_PRECISIONS: Final = (Precision.BF16, Precision.INT8, Precision.FP8)
"""What serving engines keep keys and values in."""


class ExpertBalance(StrEnum):
    """How evenly tokens fall on the ranks of the experts."""

    DEFAULT = "default"
    """Copies of experts are placed without worker_state of the batch."""
    GREEDY = "greedy"
    """Copies are placed for the histogram of the batch itself: what a balancer with foresight reaches."""
    PERFECT = "perfect"
    """Each rank gets the mean: a projection, never measured."""


class Drafter(StrEnum):
    """What proposes the speculative tokens of a step."""

    MTP = "mtp"
    """The model's own module, run once for each: first for all token rows of a request, then for one."""
    EAGLE = "eagle"
    """A decoder layer of its own, of the target's attention and as wide as a dense layer of it, run once for each."""
    NGRAM = "ngram"
    """Text that was seen before: nothing is multiplied for it."""
    MODEL = "model"
    """A small dense model of its own, run once for each (Leviathan et al., arXiv 2211.17192)."""


def draft_layers(drafter: Drafter, model: ModelShape) -> int:
    """Layers of what drafts that keep KV of all tokens as those of the model do, with its attention."""
    return {Drafter.MTP: model.mtp_layers, Drafter.EAGLE: 1}.get(drafter, 0)


class Instance(Parallelism, frozen=True, kw_only=True):
    """Where a question is asked: `num_npus` packages of `cluster`, experts over `ep` ranks, a rank being a die.

    A dense model has no experts to spread: each of its layers is split over `ep` ranks instead (tensor parallelism).
    `slots_per_rank` counts the experts that a rank holds in each layer, shared ones included; None: as many as usual.
    """

    cluster: Supernode
    model: ModelShape
    num_npus: int
    ep: int
    overlap: Overlap = Overlap.TWO_BATCHES
    eplb: ExpertBalance = ExpertBalance.DEFAULT
    slots_per_rank: int | None = None
    reserve_share: float | None = None
    """Of a die's memory, what is kept for activations, graphs and fragmentation; None: as much as usual."""

    @property
    def chip(self) -> Chip:
        return self.cluster.chip

    @property
    def precision(self) -> Precision:
        """Of weights and matrix products; the gate is BF16."""
        return self.cluster.defaults.precision

    @property
    def kv_precision(self) -> Precision:
        """Of cached keys and values."""
        return self.cluster.defaults.kv_precision

    @property
    def score_precision(self) -> Precision:
        """What decode multiplies queries with keys and values in: integers of the cache are turned into BF16 first."""
        return Precision.FP8 if self.kv_precision is Precision.FP8 else Precision.BF16

    @property
    def expert_precision(self) -> Precision:
        """What products of experts are computed in."""
        return Precision.FP4 if self.cluster.defaults.expert_weights is ExpertWeights.NVFP4 else self.precision

    @property
    def expert_bytes(self) -> float:
        """Size of one weight of an expert."""
        return (self.cluster.defaults.expert_weights or self.precision).bytes_per_element

    @property
    def num_ranks(self) -> int:
        """Dies of the instance."""
        return self.num_npus * self.chip.num_dies.count

    @property
    def stage_ranks(self) -> int:
        """Dies that work on a layer."""
        return self.num_ranks // self.pp

    @property
    def layer_share(self) -> float:
        """Of the layers, those of the longest stage."""
        return -(-self.model.layers // self.pp) / self.model.layers

    def check(self) -> None:
        """Raise `OperatingPointError` for an instance that cannot exist."""
        if self.num_npus < 1:
            raise OperatingPointError(f"an instance has at least 1 NPU, not {self.num_npus}: raise --npus")
        if self.num_npus > self.cluster.num_npus:
            raise OperatingPointError(
                f"{self.num_npus} NPUs for an instance, {self.cluster.name} has {self.cluster.num_npus}: lower --npus"
            )
        if not 1 <= self.ep <= self.num_ranks:
            raise OperatingPointError(
                f"expert parallelism over {self.ep} ranks needs 1 to {self.num_ranks} of them, the dies of "
                f"{self.num_npus} NPUs: change --ep or --npus"
            )
        if self.reserve_share is not None and not 0.0 <= self.reserve_share < 1.0:
            raise OperatingPointError(f"reserve {self.reserve_share} is no share of memory: give --reserve 0 to 1")
        self.check_shares(self.model, self.num_ranks, self.ep)
        if self.kv_precision not in KV_PRECISIONS:
            raise OperatingPointError(f"KV in {self.kv_precision}: give --kv-precision {', '.join(KV_PRECISIONS)}")
        self._check_expert_weights()
        self.chip.die_flops(self.precision)
        self.chip.die_flops(self.score_precision)

    def _check_expert_weights(self) -> None:
        weights = self.cluster.defaults.expert_weights
        if weights is None:
            return
        if self.model.experts is None:
            raise OperatingPointError(f"experts in {weights}, {self.model.name} has none: leave --expert-weights out")
        peaks = self.chip.die.peak.by_precision()
        if self.expert_precision not in peaks:
            raise OperatingPointError(
                f"experts in {weights} are multiplied in {self.expert_precision}, {self.chip.name} has "
                f"{', '.join(peaks)}: give --expert-weights w4a8 or none"
            )
        if weights is ExpertWeights.W4A8 and self.precision not in (Precision.INT8, Precision.FP8):
            raise OperatingPointError(
                f"experts in {weights} are multiplied in 8 bits, not in {self.precision}: give --precision int8 or fp8"
            )


class DecodePoint(Instance, frozen=True, kw_only=True):
    """One decode step after another at constant load: `batch_per_npu` requests of `context_tokens` each per package."""

    batch_per_npu: int
    context_tokens: int
    mtp_k: int = 0
    """Speculative tokens of a step, whatever proposes them."""
    drafter: Drafter = Drafter.MTP
    draft_model: ModelShape | None = None
    """Where `drafter` says that there is one."""
    acceptance: float = USUAL_ACCEPTANCE
    """Probability that a speculative token is accepted, given that the one before it was."""

    @property
    def requests_per_rank(self) -> int:
        """Of the fullest die."""
        return -(-self.batch_per_npu // self.chip.num_dies.count)

    @property
    def rows_per_request(self) -> int:
        """Token rows of a request in a step: the last accepted token and the speculative ones."""
        return 1 + self.mtp_k

    @property
    def whole_drafts(self) -> int:
        """Passes of the MTP module over all token rows: the first, which takes in what the last step accepted."""
        return min(1, self.mtp_k) if self.drafter is Drafter.MTP else 0

    @property
    def single_drafts(self) -> int:
        """Passes of whatever drafts over one token row of each request."""
        return 0 if self.drafter is Drafter.NGRAM else self.mtp_k - self.whole_drafts

    @property
    def tokens_per_iteration(self) -> float:
        """Expected tokens of a request from one step: 1 + a + ... + a^k."""
        return sum(self.acceptance**position for position in range(self.rows_per_request))

    def check(self) -> None:
        """Raise `OperatingPointError` for a point that cannot exist."""
        Instance.check(self)
        for name, count in (("--pp", self.pp), ("--cp", self.cp)):
            if count != 1:
                raise OperatingPointError(f"{name} {count} is of prefill passes: leave it out of decode")
        _check_positive("batch per NPU", self.batch_per_npu, "--batch")
        _check_positive("context", self.context_tokens, "--context")
        _check_positions(self.model, self.context_tokens, "--context")
        if self.mtp_k < 0 or (self.mtp_k and self.drafter is Drafter.MTP and not self.model.mtp_layers):
            raise OperatingPointError(
                f"{self.mtp_k} speculative tokens, {self.model.name} has {self.model.mtp_layers} MTP modules: "
                "--mtp 0 switches them off, --drafter eagle or ngram needs no module"
            )
        self._check_draft_model()
        if self.mtp_k > MOST_DRAFTS:
            raise OperatingPointError(
                f"{self.mtp_k} speculative tokens: engines draft up to {MOST_DRAFTS} one after another; lower --mtp"
            )
        if not 0.0 <= self.acceptance <= 1.0:
            raise OperatingPointError(f"acceptance {self.acceptance} is no probability: give --acceptance 0 to 1")

    def _check_draft_model(self) -> None:
        small, model = self.draft_model, self.model
        if (small is not None) != (self.drafter is Drafter.MODEL):
            raise OperatingPointError("--drafter model and --draft-model NAME go together: give both or neither")
        if small is None:
            return
        if small.experts is not None:
            raise OperatingPointError(f"draft model {small.name} has experts, which is not modelled: take a dense one")
        if small.vocabulary != model.vocabulary:
            raise OperatingPointError(
                f"draft model {small.name} has a vocabulary of {small.vocabulary} tokens, {model.name} one of "
                f"{model.vocabulary}: take one of the same family"
            )
        if small.active_parameters >= model.active_parameters:
            raise OperatingPointError(
                f"draft model {small.name} takes {small.active_parameters / 1e9:.1f} B parameters for a token, "
                f"{model.name} {model.active_parameters / 1e9:.1f} B: take a smaller one"
            )


class PrefillPoint(Instance, frozen=True, kw_only=True):
    """Prefill passes of `batch_tokens_per_npu` prompt tokens per package, cached ones included."""

    batch_tokens_per_npu: int
    prompt_tokens: int
    reuse: float = 0.0
    """Share of each prompt that is found in the cache; one token is always computed."""
    cache_plane: Plane = Plane.UB

    @property
    def cached_per_prompt(self) -> float:
        """Tokens of a prompt that are fetched rather than computed."""
        return min(self.reuse * self.prompt_tokens, self.prompt_tokens - 1.0)

    @property
    def tokens_per_rank(self) -> float:
        """Prompt tokens of one die, cached ones included."""
        return self.batch_tokens_per_npu / self.chip.num_dies.count

    @property
    def prompts_per_rank(self) -> float:
        """A share of a prompt where several ranks work on one; each stage has all prompts of its pass."""
        return self.pp * self.tokens_per_rank / self.prompt_tokens

    def check(self) -> None:
        """Raise `OperatingPointError` for a point that cannot exist."""
        Instance.check(self)
        _check_positive("batch tokens per NPU", self.batch_tokens_per_npu, "--batch-tokens")
        _check_positive("prompt", self.prompt_tokens, "--prompt")
        _check_positions(self.model, self.prompt_tokens, "--prompt")
        if not 0.0 <= self.reuse <= 1.0:
            raise OperatingPointError(f"reuse {self.reuse} is no share of a prompt: give --reuse 0 to 1")
        if self.cache_plane is Plane.RDMA:
            raise OperatingPointError("the cache is read over ub or vpc, not rdma: change --cache-plane")


def _check_positive(what: str, value: int, option: str) -> None:
    if value < 1:
        raise OperatingPointError(f"{what} is at least 1, not {value}: raise {option}")


def _check_positions(model: ModelShape, tokens: int, option: str) -> None:
    if tokens > model.max_positions:
        raise OperatingPointError(
            f"{tokens} tokens are beyond the {model.max_positions} positions of {model.name}: lower {option}"
        )
