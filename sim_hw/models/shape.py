"""The shape of a decoder-only transformer (latent or grouped-query attention, dense or expert layers, MTP module), and
what follows from it.

Norms, biases and quantisation scales are left out: together they are below 0.01 % of the parameters.
"""

from __future__ import annotations

from msgspec import Struct

from sim_hw.figure import Confidence
from sim_hw.models.attention import Attention


class Experts(Struct, frozen=True):
    """The feed-forward part of a mixture-of-experts layer."""

    routed: int
    routed_per_token: int
    shared: int
    """Experts that see each token, each as large as a routed one."""
    intermediate: int


class ModelShape(Struct, frozen=True):
    """Fields of the published configuration. Sizes in elements, counts of layers."""

    name: str
    source: str
    confidence: Confidence
    hidden: int
    layers: int
    """The MTP module not counted."""
    dense_layers: int
    """Layers whose feed-forward part is dense; all of them where `experts` is None."""
    dense_intermediate: int
    """0 where no layer is dense."""
    attention: Attention
    experts: Experts | None
    vocabulary: int
    max_positions: int
    tied_embedding: bool
    """The output head is the embedding."""
    mtp_layers: int = 0
    notes: tuple[str, ...] = ()
    """What was assumed or left out when its configuration was read, a line each."""

    @property
    def heads(self) -> int:
        """Query heads of one layer."""
        return self.attention.heads

    @property
    def moe_layers(self) -> int:
        """Layers with experts, the MTP module not counted."""
        return self.layers - self.dense_layers

    @property
    def routed_experts(self) -> int:
        """Of one expert layer; 0 in a dense model."""
        return self.experts.routed if self.experts else 0

    @property
    def experts_per_token(self) -> int:
        """Routed and shared experts that one token passes in one expert layer; 0 in a dense model."""
        return self.experts.routed_per_token + self.experts.shared if self.experts else 0

    # Parameters by kind.

    @property
    def attention_head_parameters(self) -> int:
        """Projections into heads in one layer: tensor parallelism splits them."""
        return sum(one.parameters for one in self.attention.projections(self.hidden) if one.into_heads)

    @property
    def attention_shared_parameters(self) -> int:
        """Down-projections and output projection of one layer: sequence parallelism keeps a copy on every rank."""
        return self.attention_parameters - self.attention_head_parameters

    @property
    def attention_parameters(self) -> int:
        """One layer."""
        return sum(one.parameters for one in self.attention.projections(self.hidden))

    @property
    def expert_parameters(self) -> int:
        """One expert: gate, up and down projections; 0 in a dense model."""
        return 3 * self.hidden * self.experts.intermediate if self.experts else 0

    @property
    def dense_parameters(self) -> int:
        """The feed-forward part of one dense layer."""
        return 3 * self.hidden * self.dense_intermediate

    @property
    def router_parameters(self) -> int:
        """One mixture-of-experts layer."""
        return self.hidden * self.routed_experts

    @property
    def moe_layer_parameters(self) -> int:
        """All experts and the router of one layer."""
        shared = self.experts.shared if self.experts else 0
        return (self.routed_experts + shared) * self.expert_parameters + self.router_parameters

    @property
    def embedding_parameters(self) -> int:
        """The embedding; the output head has as many, of its own unless the embedding is tied."""
        return self.vocabulary * self.hidden

    @property
    def mtp_projection_parameters(self) -> int:
        """The projection that joins hidden state and embedding at the entry of an MTP module."""
        return 2 * self.hidden * self.hidden

    @property
    def mtp_parameters(self) -> int:
        """The MTP modules without their copies of embedding and head."""
        layer = self.attention_parameters + self.moe_layer_parameters + self.mtp_projection_parameters
        return self.mtp_layers * layer

    @property
    def total_parameters(self) -> int:
        """The model without its MTP module."""
        return (
            self.layers * self.attention_parameters
            + self.dense_layers * self.dense_parameters
            + self.moe_layers * self.moe_layer_parameters
            + (1 if self.tied_embedding else 2) * self.embedding_parameters
        )

    # Work and KV per token.

    @property
    def active_parameters(self) -> int:
        """Parameters that one token is multiplied with, output head included, embedding and MTP module not."""
        moe_layer = self.experts_per_token * self.expert_parameters + self.router_parameters
        return (
            self.layers * self.attention_parameters
            + self.dense_layers * self.dense_parameters
            + self.moe_layers * moe_layer
            + self.embedding_parameters
        )

    @property
    def linear_flops_per_token(self) -> int:
        """All matrix products with weights, over all layers; attention scores not included."""
        return 2 * self.active_parameters

    @property
    def prefill_attention_flops_per_pair(self) -> int:
        """Scores and values of one (query, key) pair in one layer."""
        return self.attention.prefill_flops_per_pair

    @property
    def decode_attention_flops_per_kv_token(self) -> int:
        """Scores and values of one token row over one KV token in one layer."""
        return self.attention.decode_flops_per_kv_token

    def kv_bytes_per_token(self, mtp: bool, bytes_per_element: float = 2) -> int:
        """KV of one token over all layers, with or without the MTP layers; 2 bytes an element is BF16."""
        layers = self.layers + (self.mtp_layers if mtp else 0)
        return int(layers * self.attention.cached_elements * bytes_per_element)
