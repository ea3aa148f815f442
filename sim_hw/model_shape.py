"""The shape of a DeepSeek-V3-like model (latent attention, mixture of experts, MTP module) and what follows from it.

Norms, biases and quantisation scales are left out: together they are below 0.01 % of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim_hw.figure import Confidence


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Fields of the published configuration. Sizes in elements, counts of layers, heads and experts."""

    name: str
    source: str
    confidence: Confidence
    hidden: int
    layers: int
    dense_layers: int
    routed_experts: int
    routed_per_token: int
    shared_experts: int
    expert_intermediate: int
    dense_intermediate: int
    heads: int
    q_rank: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    vocabulary: int
    mtp_layers: int

    @property
    def moe_layers(self) -> int:
        """Layers with experts, the MTP module not counted."""
        return self.layers - self.dense_layers

    # Parameters by kind.

    @property
    def attention_head_parameters(self) -> int:
        """Up-projections of queries and of keys and values in one layer: tensor parallelism splits them by head."""
        queries = self.q_rank * self.heads * (self.nope_dim + self.rope_dim)
        keys_values = self.kv_rank * self.heads * (self.nope_dim + self.value_dim)
        return queries + keys_values

    @property
    def attention_shared_parameters(self) -> int:
        """Down-projections and output projection of one layer: sequence parallelism keeps a copy on every rank."""
        down = self.hidden * (self.q_rank + self.kv_rank + self.rope_dim)
        return down + self.heads * self.value_dim * self.hidden

    @property
    def attention_parameters(self) -> int:
        """One layer."""
        return self.attention_head_parameters + self.attention_shared_parameters

    @property
    def expert_parameters(self) -> int:
        """One expert: gate, up and down projections."""
        return 3 * self.hidden * self.expert_intermediate

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
        return (self.routed_experts + self.shared_experts) * self.expert_parameters + self.router_parameters

    @property
    def embedding_parameters(self) -> int:
        """The embedding; the output head is untied and has as many."""
        return self.vocabulary * self.hidden

    @property
    def mtp_projection_parameters(self) -> int:
        """The projection that joins hidden state and embedding at the entry of the MTP module."""
        return 2 * self.hidden * self.hidden

    @property
    def mtp_parameters(self) -> int:
        """The MTP module without its copies of embedding and head."""
        layer = self.attention_parameters + self.moe_layer_parameters + self.mtp_projection_parameters
        return self.mtp_layers * layer

    @property
    def total_parameters(self) -> int:
        """The model without its MTP module."""
        return (
            self.layers * self.attention_parameters
            + self.dense_layers * self.dense_parameters
            + self.moe_layers * self.moe_layer_parameters
            + 2 * self.embedding_parameters
        )

    # Work and KV per token.

    @property
    def active_parameters(self) -> int:
        """Parameters that one token is multiplied with, output head included, embedding and MTP module not."""
        experts = self.routed_per_token + self.shared_experts
        return (
            self.layers * self.attention_parameters
            + self.dense_layers * self.dense_parameters
            + self.moe_layers * (experts * self.expert_parameters + self.router_parameters)
            + self.embedding_parameters
        )

    @property
    def linear_flops_per_token(self) -> int:
        """All matrix products with weights, over all layers; attention scores not included."""
        return 2 * self.active_parameters

    @property
    def routed_flops_per_token(self) -> int:
        """The part of `linear_flops_per_token` that is spent in routed experts."""
        return 2 * self.moe_layers * self.routed_per_token * self.expert_parameters

    @property
    def prefill_attention_flops_per_pair(self) -> int:
        """Scores and values of one (query, key) pair in one layer, keys and values expanded to all heads."""
        return 2 * self.heads * (self.nope_dim + self.rope_dim + self.value_dim)

    @property
    def decode_attention_flops_per_kv_token(self) -> int:
        """Scores and values of one token row over one KV token in one layer, on the latent (absorbed projections)."""
        return 2 * self.heads * (self.kv_rank + self.rope_dim + self.kv_rank)

    def kv_bytes_per_token(self, mtp: bool, bytes_per_element: int = 2) -> int:
        """Latent KV of one token over all layers, with or without the MTP layer; 2 bytes an element is BF16."""
        layers = self.layers + (self.mtp_layers if mtp else 0)
        return layers * (self.kv_rank + self.rope_dim) * bytes_per_element


DEEPSEEK_R1 = ModelShape(
    name="deepseek-r1",
    source="published deepseek_v3 configuration (DeepSeek-V3 and R1 share it)",
    confidence=Confidence.MODEL_CARD,
    hidden=7168,
    layers=61,
    dense_layers=3,
    routed_experts=256,
    routed_per_token=8,
    shared_experts=1,
    expert_intermediate=2048,
    dense_intermediate=18432,
    heads=128,
    q_rank=1536,
    kv_rank=512,
    rope_dim=64,
    nope_dim=128,
    value_dim=128,
    vocabulary=129280,
    mtp_layers=1,
)
"""671 B parameters, 37 B of them active per token."""
