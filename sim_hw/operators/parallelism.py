"""How the ranks of an instance share layers, beside expert parallelism: tensors, pipeline stages, parts of a prompt."""

from __future__ import annotations

from msgspec import Struct

from sim_hw.errors import OperatingPointError
from sim_hw.models.shape import ModelShape


class Parallelism(Struct, frozen=True, kw_only=True):
    """Ranks are dies. Stages are outermost, prompts' parts inside them, tensors innermost: neighbours share tensors."""

    tp: int | None = None
    """Ranks that share the attention of each layer, by heads. None: those of `ep` in a dense model; else attention is
    data parallel, and in prefill staged where the software of the chip does so."""
    expert_tp: int = 1
    """Ranks that share each expert, by columns; experts lie on `ep` groups of so many."""
    pp: int = 1
    """Stages that share the layers, in prefill."""
    cp: int = 1
    """Ranks, or groups of `tp`, that share each prompt, in prefill."""

    def check_shares(self, shape: ModelShape, num_ranks: int, ep: int) -> None:
        """Raise `OperatingPointError` where ranks do not come out even."""
        for name in Parallelism.__struct_fields__:
            count: int | None = getattr(self, name)
            if count is not None and count < 1:
                raise OperatingPointError(f"--{name.replace('_', '-')} {count} shares nothing: give 1 or more")
        self._check_stages(shape, num_ranks)
        self._check_tensors(shape, num_ranks // self.pp)
        self._check_experts(shape, num_ranks // self.pp, ep)

    def _check_stages(self, shape: ModelShape, num_ranks: int) -> None:
        if self.pp > shape.layers:
            raise OperatingPointError(
                f"{self.pp} pipeline stages, {shape.name} has {shape.layers} layers: lower --pp to {shape.layers}"
            )
        if num_ranks % self.pp:
            raise OperatingPointError(
                f"{num_ranks} ranks do not make {self.pp} equal pipeline stages: change --pp to "
                f"{_divisor(num_ranks, self.pp)}, or --npus"
            )

    def _check_tensors(self, shape: ModelShape, stage_ranks: int) -> None:
        if self.tp is not None and shape.heads % self.tp:
            raise OperatingPointError(
                f"{self.tp} ranks cannot share the {shape.heads} heads of {shape.name} evenly: change --tp to "
                f"{_divisor(shape.heads, self.tp)}"
            )
        if self.tp is None and self.cp == 1:
            return
        group = (self.tp or 1) * self.cp
        if stage_ranks % group:
            names = "--tp" if self.cp == 1 else "--cp" if self.tp is None else "--tp or --cp"
            shared = f"{self.tp or 1} x {self.cp}" if self.cp > 1 else f"{group}"
            raise OperatingPointError(
                f"attention over groups of {shared} ranks, {stage_ranks} of them work on a layer: change {names} to "
                f"divide that, or --npus"
            )

    def _check_experts(self, shape: ModelShape, stage_ranks: int, ep: int) -> None:
        if self.expert_tp == 1:
            ranks = ep
        elif shape.experts is None:
            raise OperatingPointError(
                f"experts over {self.expert_tp} ranks each, {shape.name} has none: leave --expert-tp out, --tp shares "
                "its layers"
            )
        elif shape.experts.intermediate % self.expert_tp:
            wide = shape.experts.intermediate
            raise OperatingPointError(
                f"{self.expert_tp} ranks cannot share the {wide} columns of an expert of {shape.name} evenly: change "
                f"--expert-tp to {_divisor(wide, self.expert_tp)}"
            )
        else:
            ranks = ep * self.expert_tp
        if ranks > stage_ranks:
            asked = f"{ep} x {self.expert_tp}" if self.expert_tp > 1 else f"{ep}"
            raise OperatingPointError(
                f"experts over {asked} ranks, {stage_ranks} of them work on a layer: lower --ep to "
                f"{max(1, stage_ranks // self.expert_tp)}, or raise --npus"
            )


def _divisor(whole: int, near: int) -> int:
    """The largest divisor that is no larger than `near`, at least 1."""
    return next(count for count in range(min(near, whole), 0, -1) if whole % count == 0)
