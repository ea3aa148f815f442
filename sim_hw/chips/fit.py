"""Numbers that were fitted or assumed for a chip's software and its power: their types, and what builds sets of them.

Row names in their sources are those of `sim_hw.validation.calibration_points`. Peaks and line rates are not here: they
are the chip's.

A **rival** of a fit is another set of numbers that meets the calibration rows about as well: it explains the same rows
by another mechanism where the rows cannot tell the two apart, with the numbers beside it fitted anew. The spread of the
rivals is the error bar of a prediction (`sim_hw.operators.error_bar`). What all leave out, the bar leaves out too.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.figure import Confidence, Figure
from sim_hw.planes import Plane


class CollectiveFit(Struct, frozen=True):
    """Dispatch or combine on one rank: `fixed_s + bytes / rate + far share x (far_s + rows x far_row_s)`.

    Bytes that stay in the package do not count, and the far share is that of the messages that leave the node.
    """

    line_share: Figure
    """Of the line rate, what a rank sends at. Not fitted."""
    fixed_s: Figure
    """Barrier, flags, quantisation: independent of rows."""
    far_row_s: Figure
    """What a token row costs more when all its messages leave the node."""
    far_s: Figure
    """What a call costs more then, whatever its rows. The rows cannot tell it from `far_row_s`: a rival does."""
    scale_bytes: Figure
    """Sent with each quantised hidden state."""
    counted_bytes: Figure
    """Bytes that a printed bandwidth counts for each byte of payload."""


class ChipFit(Struct, frozen=True):
    """The software of one chip: efficiencies are shares of the catalog's peaks."""

    matrix_efficiency: Figure
    attention_efficiency: Figure
    memory_efficiency: Figure
    vector_efficiency: Figure
    """Activations through HBM in prefill; those of a decode step stay on the chip."""
    saturating_core_share: Figure
    """The share of the cores that fills the memory by itself."""
    request_s: Figure
    """With all cores: of one request in the attention of one decode layer, and of two token rows in its experts."""
    handling_core_share: Figure
    """Of `request_s`, what more cores divide between them; the rest, scalar work and barriers, lasts as long on any."""
    kv_token_s: Figure
    """With all cores: of one KV token in the attention of one decode layer, beyond the roofline; rivals `request_s`."""
    block_s: Figure
    """Of one attention or feed-forward block of a decode step and each of its micro-batches, whatever its load:
    launches, gaps and small kernels."""
    dense_block_s: Figure
    """The same in a model without experts. On GPUs its blocks are few kernels of one graph, and no row shows any."""
    contended_share: Figure
    """How much of the memory traffic of one stream of a split decode layer the other stream waits for."""
    iteration_s: Figure
    """Of one decode step or prefill pass: launches, metadata, sampling."""
    drafting_s: Figure
    """More of a decode step with speculative tokens: the host between the target's pass and the drafts'."""
    cached_moves: Figure
    """Times that keys and values of a cached token are written and read in each layer: from block to heads."""
    pass_s: Figure
    """Of one prefill pass, beyond `iteration_s`; rivals `cached_moves`."""
    text_spread: Figure
    """Standard deviation over mean of an expert's load from one text; of n texts, smaller by the root of n."""
    cached_text_share: Figure
    """How far a cached token counts when the texts of a prefill pass are counted; rivals `cached_moves`."""
    prefill_core_share: Figure
    """Cores left for computation while a second micro-batch communicates in prefill."""
    is_staged_prefill: bool
    """Attention runs SP-TP-SP over all ranks of the instance; otherwise each rank keeps its own prompts."""
    all_to_all_plane: Plane
    """What dispatch and combine use between ranks that it joins: UB (scale-up) or RDMA (scale-out)."""
    dispatch: CollectiveFit
    combine: CollectiveFit


class StageErrors(Struct, frozen=True):
    """How far predictions of a chip are off, relative: what its published rows showed, or what was assumed of them."""

    prefill: Figure
    decode: Figure
    operator: Figure
    """One collective."""


class PowerFit(Struct, frozen=True):
    """The three numbers of a chip's power, whose form stands in `sim_hw.power.chip_power`."""

    floor_share: Figure
    """F over TDP: drawn while kernels run, whatever they do."""
    flop_coefficient: Figure
    hbm_coefficient: Figure


def fitted(value: float, unit: str, source: str) -> Figure:
    """An estimate of this project; `source` names the rows that fixed it."""
    return Figure(value, unit, source, Confidence.ESTIMATE)


def errors(prefill: tuple[float, str], decode: tuple[float, str], operator: tuple[float, str]) -> StageErrors:
    """Each as its value and where it comes from."""
    return StageErrors(*(fitted(value, "1", source) for value, source in (prefill, decode, operator)))


NO_MEASUREMENT = "no row tells it from the other numbers"


ABSENT_S = fitted(0.0, "s", "left out: a rival of the number beside it")
ABSENT_SHARE = fitted(0.0, "1", "left out: a rival of the number beside it")


def with_values(fit: ChipFit, **values: float) -> ChipFit:
    """The same fit with other values of some numbers."""
    return replace(fit, **{name: replace(getattr(fit, name), value=value) for name, value in values.items()})


def with_far_latency(fit: ChipFit, share: float) -> ChipFit:
    """That share of what distance costs a batch of 128 rows is a latency, the rest belongs to rows."""

    def moved(collective: CollectiveFit) -> CollectiveFit:
        row_s = collective.far_row_s.value
        return replace(
            collective,
            far_s=replace(collective.far_s, value=share * 128 * row_s),
            far_row_s=replace(collective.far_row_s, value=(1.0 - share) * row_s),
        )

    return replace(fit, dispatch=moved(fit.dispatch), combine=moved(fit.combine))
