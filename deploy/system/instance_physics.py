"""The physics of a plan's instances: how long their work takes, what it draws and what KV they have room for.

Instances of one stage and size share it: compiling takes some ten milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from math import gcd
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from deploy.hardware.operating_points import InstanceOptions, decode_point, prefill_point
from deploy.hardware.speculation import Drafting
from deploy.settings.models import Hardware, Instances
from scheduler.protocol.errors import ConfigError
from sim_hw.errors import HardwareModelError
from sim_hw.instance.compiled_decode import CompiledDecode, DecodeSteps, StepForm, compile_decode
from sim_hw.instance.compiled_mixed import CompiledMixed, compile_mixed
from sim_hw.instance.compiled_prefill import CompiledPrefill, compile_prefill
from sim_hw.instance.kv_room import KV_BLOCK_TOKENS, DecodeRoom, aggregated_room, decode_room, prefill_blocks
from sim_hw.instance.power import AggregatedPower, DecodePower, PrefillPower, decode_power, prefill_power
from sim_hw.instance.ub_shares import PPM, AtShares
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.aggregated_step import laid_out_alike
from sim_hw.steps.ub_share import decode_link_s, prefill_link_s, with_ub_share

# Only a run under a power cap needs what keeps it.
if TYPE_CHECKING:
    from sim_hw.instance.mixed_throttle import MixedThrottle
    from sim_hw.instance.throttle import BudgetRange, DecodeThrottle, PrefillThrottle, StepLoad


class PrefillPhysics(Struct, frozen=True):
    """Of one prefill instance."""

    cost: CompiledPrefill
    power: PrefillPower
    kv_blocks: int
    """Of the whole instance."""
    at_shares: AtShares[CompiledPrefill]
    """`cost` by the share of UB that the exchange has."""
    line_ns: tuple[float, float]
    """Of the UB line of each die in a pass, for a computed and a cached token of the instance."""
    throttle: PrefillThrottle | None = None
    """Under a power cap only, as is the range of budgets."""
    budgets: BudgetRange | None = None

    @property
    def least_budget_w(self) -> int:
        """What an instance begins with; 0 without a cap."""
        return 0 if self.budgets is None else self.budgets.floor_w


class DecodePhysics(Struct, frozen=True):
    """Of one decode instance."""

    num_dies: int
    cost: CompiledDecode
    power: DecodePower
    room: DecodeRoom
    tokens_per_step: tuple[int, int]
    """Expected tokens as a fraction: 1.7 is 17/10."""
    line_ns: float
    """Of the UB line of each die in a step, for a sequence of the instance."""
    at_share: Callable[[float], CompiledDecode]

    def steps_at_shares(self) -> AtShares[DecodeSteps]:
        """Steps of one instance by the share of UB that its exchange has; `at(PPM)` are those of `cost`."""
        num_ways = len(self.cost.ways)

        def steps_at(share: float) -> DecodeSteps:
            # Other lines, so other ways, whatever they are called.
            return DecodeSteps(self.at_share(share), self.num_dies, round(PPM * share) * num_ways)

        return AtShares(DecodeSteps(self.cost, self.num_dies), steps_at)

    throttle: DecodeThrottle | None = None
    budgets: BudgetRange | None = None

    @property
    def least_budget_w(self) -> int:
        """What an instance begins with; 0 without a cap."""
        return 0 if self.budgets is None else self.budgets.floor_w


class AggregatedCosts:
    """How long the steps of an aggregated instance last."""

    def __init__(self, decode: DecodeSteps, prefill: CompiledPrefill, mixed: CompiledMixed) -> None:
        self._decode = decode
        self.prefill_ns = prefill.prefill_ns
        self.mixed_ps = mixed.mixed_ps

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """Of steps over sequences alone."""
        return self._decode.form(num_running, kv_tokens)


class AggregatedPhysics(Struct, frozen=True):
    """Of one aggregated instance; `room` is of one die."""

    num_dies: int
    decode: CompiledDecode
    prefill: CompiledPrefill
    mixed: CompiledMixed
    power: AggregatedPower
    room: DecodeRoom
    tokens_per_step: tuple[int, int]
    rows_per_sequence: int
    throttle: MixedThrottle | None = None
    budgets: BudgetRange | None = None

    @property
    def least_budget_w(self) -> int:
        """What an instance begins with; 0 without a cap."""
        return 0 if self.budgets is None else self.budgets.floor_w

    def cost(self) -> AggregatedCosts:
        """For one instance, which remembers what it asked."""
        return AggregatedCosts(DecodeSteps(self.decode, self.num_dies), self.prefill, self.mixed)


class InstancePhysics:
    """Of all instances of a plan; `ConfigError` for one that cannot exist or has no room.

    `is_capped`: instances run under a power cap, and so have budgets.
    """

    def __init__(
        self, hardware: Hardware, instances: Instances, drafting: Drafting, *, is_capped: bool = False
    ) -> None:
        self._hardware = hardware
        self._instances = instances
        self._drafting = drafting
        self._is_capped = is_capped
        self.prefill = cache(self._make_prefill)
        self.decode = cache(self._make_decode)
        self.aggregated = cache(self._make_aggregated)

    def _make_prefill(self, num_npus: int) -> PrefillPhysics:
        options = self._instances
        with self._plan_named():
            point = prefill_point(
                self._hardware.cluster,
                self._hardware.model,
                InstanceOptions(num_npus=num_npus, eplb=options.expert_balance),
                batch_tokens_per_npu=options.prefill_tokens_per_npu,
            )
            blocks = prefill_blocks(point, options.kv_reserve_share)
            cost = compile_prefill(point)
            at_shares = AtShares(cost, lambda share: compile_prefill(with_ub_share(point, share)))
            computed_s, cached_s = prefill_link_s(point)
            num_ranks = cost.num_ranks
            line_ns = 1e9 * computed_s / num_ranks, 1e9 * cached_s / num_ranks
            physics = PrefillPhysics(cost, prefill_power(point), blocks, at_shares, line_ns)
            if not self._is_capped:
                return physics
            from sim_hw.instance.throttle import PrefillThrottle

            throttle, tokens = PrefillThrottle(point), options.prefill_tokens_per_npu * num_npus
            # The heaviest pass: a full one, over prompts of full length.
            longest = min(self._hardware.model.max_positions, blocks * KV_BLOCK_TOKENS)
            full_ns = cost.prefill_ns(tokens, tokens * longest, 0)
            return replace(physics, throttle=throttle, budgets=throttle.budget_range(tokens, longest, full_ns))

    def _make_decode(self, num_npus: int) -> DecodePhysics:
        with self._plan_named():
            point = self._decode_point(num_npus)
            room = decode_room(point, self._instances.kv_reserve_share)
            compiled = compile_decode(point, room.sequences)

            @cache
            def compile_at(share: float) -> CompiledDecode:
                return compile_decode(with_ub_share(point, share), room.sequences)

            physics = DecodePhysics(
                point.num_ranks,
                compiled,
                decode_power(point),
                room,
                _tokens_per_step(point),
                1e9 * decode_link_s(point) / point.num_ranks,
                compile_at,
            )
            if not self._is_capped:
                return physics
            from sim_hw.instance.throttle import DecodeThrottle

            throttle = DecodeThrottle(point)
            return replace(physics, throttle=throttle, budgets=throttle.budget_range(_fullest(point, compiled, room)))

    def _make_aggregated(self, num_npus: int) -> AggregatedPhysics:
        """Both parts on the layout that decode has there."""
        options = self._instances
        with self._plan_named():
            decode = self._decode_point(num_npus)
            prefill = laid_out_alike(
                decode,
                prefill_point(
                    self._hardware.cluster,
                    self._hardware.model,
                    InstanceOptions(num_npus=num_npus, eplb=options.expert_balance),
                    batch_tokens_per_npu=options.aggregated_tokens_per_npu,
                ),
            )
            room = aggregated_room(decode, prefill, options.kv_reserve_share)
            physics = AggregatedPhysics(
                decode.num_ranks,
                compile_decode(decode, room.sequences),
                compile_prefill(prefill),
                compile_mixed(decode, prefill, room.sequences, prefill.tokens_per_rank),
                AggregatedPower(decode_power(decode), prefill_power(prefill)),
                room,
                _tokens_per_step(decode),
                decode.rows_per_request,
            )
            return self._throttled(physics, decode, prefill) if self._is_capped else physics

    def _throttled(self, physics: AggregatedPhysics, decode: DecodePoint, prefill: PrefillPoint) -> AggregatedPhysics:
        """The heaviest steps are full of prompts of full length, alone or beside as many sequences as there is room for
        under the token budget."""
        from sim_hw.instance.mixed_throttle import MixedLoad, MixedThrottle
        from sim_hw.instance.throttle import DecodeThrottle, PrefillThrottle

        throttle = MixedThrottle(DecodeThrottle(decode), PrefillThrottle(prefill))
        steps = _fullest(decode, physics.decode, physics.room)
        tokens = self._instances.aggregated_tokens_per_npu * prefill.num_npus
        pairs = tokens * min(self._hardware.model.max_positions, physics.room.kv_blocks * KV_BLOCK_TOKENS)
        alone_ns = physics.prefill.prefill_ns(tokens, pairs, 0)
        alone = MixedLoad(1000 * alone_ns, 1000 * alone_ns, 0, tokens, pairs, 0, 0)
        both_ps = physics.mixed.mixed_ps(steps.length_ps, alone_ns, steps.sequences, tokens)
        both = MixedLoad(both_ps, 1000 * alone_ns, steps.length_ps, tokens, pairs, steps.sequences, steps.kv_tokens)
        return replace(physics, throttle=throttle, budgets=throttle.budget_range(steps, (alone, both)))

    def _decode_point(self, num_npus: int) -> DecodePoint:
        options, drafting = InstanceOptions(num_npus=num_npus, eplb=self._instances.expert_balance), self._drafting
        return decode_point(
            self._hardware.cluster,
            self._hardware.model,
            options,
            mtp_k=drafting.drafts,
            acceptance=drafting.acceptance,
            drafter=drafting.drafter.value,
            draft_model=drafting.model,
        )

    @contextmanager
    def _plan_named(self) -> Generator[None]:
        try:
            yield
        except HardwareModelError as error:
            plan, where = self._hardware.plan, self._hardware.cluster.name
            place = f"on {where}, " if plan.has_several_clusters else ""
            raise ConfigError(f"plan {plan.text!r}: {place}{error}") from error


def _fullest(point: DecodePoint, compiled: CompiledDecode, room: DecodeRoom) -> StepLoad:
    """The step of an instance that has as many sequences and as much KV as there is room for."""
    from sim_hw.instance.throttle import StepLoad

    kv_tokens = room.kv_blocks * KV_BLOCK_TOKENS
    form = compiled.form(room.sequences, room.sequences, kv_tokens)
    num_dies = point.num_ranks
    return StepLoad(form.die_step_ps(room.sequences, kv_tokens), room.sequences * num_dies, kv_tokens * num_dies)


def _tokens_per_step(point: DecodePoint) -> tuple[int, int]:
    """To a hundredth of a token."""
    hundredths = round(100 * point.tokens_per_iteration)
    divisor = gcd(hundredths, 100)
    return hundredths // divisor, 100 // divisor
