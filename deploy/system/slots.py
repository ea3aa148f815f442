"""Instances that an autoscaler may start beyond the plan's own, and the NPUs on which each would stand.

Of each role, instances of the size that the plan has lie side by side on all NPUs of a supernode, those of the plan
among them. So an instance of another role may need the NPUs of several, or some of them: the core has but those exist
together that share none. A fleet of several clusters has slots of a role on those of which its plan has that role, and
so NPUs change roles within a cluster only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from deploy.settings.settings import Settings
from deploy.system.instances import ADDRESSES, InstanceSpec, Role
from scheduler.core.scaling.rules import TPOT_LIMIT_S, TTFT_LIMIT_S, InstanceSlot, ScalingRules
from scheduler.metrics.facility import deal_npus
from scheduler.metrics.slo import Slo
from scheduler.protocol.errors import ConfigError
from sim_hw.clusters.numbering import first_numbers
from sim_hw.clusters.supernode import Supernode
from sim_hw.cost.prices import HOUR_S
from sim_hw.cost.tariffs import Tariff


def with_slots(
    planned: Sequence[InstanceSpec], settings: Settings
) -> tuple[Mapping[Role, list[InstanceSpec]], frozenset[str]]:
    """Instances of a plan by role, placed, and behind those of each role the ones that may be started, whose addresses
    come last; and who these are."""
    _refuse_absent_roles(planned, settings)
    scaling, hardware = settings.scaling, settings.hardware
    grounds = _grounds(hardware.supernodes)
    placed = _placed(planned, grounds)
    found: dict[Role, list[InstanceSpec]] = {role: [] for role in Role}
    for role in dict.fromkeys(spec.role for spec in placed):
        own = [spec for spec in placed if spec.role == role]
        most = scaling.most.get(role)
        if most is not None and most < len(own):
            raise ConfigError(
                f"autoscaler_max: {role}={most}, and the plan has {len(own)} such instances; give at least that"
            )
        least = scaling.least.get(role, 1)
        extra = list(_beyond(own, grounds))
        room = len(own) + len(extra)
        if least > min(room, room if most is None else most):
            raise ConfigError(f"autoscaler_min: {role}={least}, and there is room for {room}; give fewer")
        for spec in _preferred(extra, placed, room if most is None else most - len(own)):
            own.append(replace(spec, address=ADDRESSES[role](len(own))))
        found[role] = own
    names = {spec.address for of_role in found.values() for spec in of_role}
    return found, frozenset(names - {spec.address for spec in planned})


def _preferred(extra: Sequence[InstanceSpec], placed: Sequence[InstanceSpec], most: int) -> list[InstanceSpec]:
    """As many as there may be, in their order: on NPUs that the plan leaves spare, if it leaves enough."""
    taken = {npu for one in placed for npu in range(one.first_npu, one.first_npu + one.num_npus)}
    on_spare = [taken.isdisjoint(range(one.first_npu, one.first_npu + one.num_npus)) for one in extra]
    first = sorted(range(len(extra)), key=lambda i: not on_spare[i])[:most]
    return [extra[i] for i in sorted(first)]


def _refuse_absent_roles(planned: Sequence[InstanceSpec], settings: Settings) -> None:
    """Bounds of a role that the plan does not have would bound nothing."""
    there = list(dict.fromkeys(spec.role.value for spec in planned))
    for setting, counts in (("autoscaler_min", settings.scaling.least), ("autoscaler_max", settings.scaling.most)):
        for role in counts:
            if role not in there:
                plan, had = settings.hardware.plan.text, " and ".join(there)
                raise ConfigError(
                    f"{setting}: {role}={counts[role]}, and plan {plan!r} has no such instances; it has {had}"
                )


class _Ground(Struct, frozen=True):
    """A supernode of the fleet: which cluster it is, and the numbers of its NPUs."""

    cluster: str
    npus: range


def _grounds(supernodes: Sequence[Supernode]) -> list[_Ground]:
    firsts = first_numbers(one.num_npus for one in supernodes)
    return [
        _Ground(one.name, range(first, first + one.num_npus)) for one, first in zip(supernodes, firsts, strict=True)
    ]


def _placed(planned: Sequence[InstanceSpec], grounds: Sequence[_Ground]) -> list[InstanceSpec]:
    dealt = deal_npus(((spec.supernode, spec.num_npus) for spec in planned), [one.npus.start for one in grounds])
    return [replace(spec, first_npu=npus.start) for spec, npus in zip(planned, dealt, strict=True)]


def _beyond(own: Sequence[InstanceSpec], grounds: Sequence[_Ground]) -> Iterator[InstanceSpec]:
    """Places for more instances of one role, of the size that is most common, the first on a tie: on the clusters of
    which the plan has that role, as nobody has said what an instance of it would be on others."""
    for supernode, ground in enumerate(grounds):
        alike = [spec for spec in own if grounds[spec.supernode].cluster == ground.cluster]
        if not alike:
            continue
        begin, end = ground.npus.start, ground.npus.stop
        here = sorted((spec.first_npu, spec.first_npu + spec.num_npus) for spec in own if spec.supernode == supernode)
        sizes = Counter(spec.num_npus for spec in alike if spec.supernode == supernode or not here)
        size = sizes.most_common(1)[0][0]
        taken = [(begin, begin), *here, (end, end)]
        for (_, gap_begin), (gap_end, _) in pairwise(taken):
            for first in _tiles(gap_begin, gap_end, size, from_end=gap_begin == begin and gap_end != end):
                yield replace(own[0], num_npus=size, supernode=supernode, first_npu=first)


def _tiles(begin: int, end: int, size: int, *, from_end: bool) -> Sequence[int]:
    """Where instances of a size begin in a gap, from the end that touches another of them."""
    count = (end - begin) // size
    return [end - (i + 1) * size if from_end else begin + i * size for i in range(count)]


def scaling_rules(
    specs: Sequence[InstanceSpec], absent: frozenset[str], num_npus: int, settings: Settings
) -> ScalingRules:
    """What the core is told."""
    scaling, limits = settings.scaling, settings.requests.judged_slo or Slo()
    return ScalingRules(
        [InstanceSlot(spec.address, spec.role, spec.first_npu, spec.num_npus) for spec in specs],
        absent,
        num_npus,
        scaling.autoscaler.make_scaling,
        round(scaling.interval_s * 1e9),
        scaling.least,
        scaling.most,
        limits.ttft_s or TTFT_LIMIT_S,
        limits.tpot_s or TPOT_LIMIT_S,
        _bands(settings.money.tariff),
    )


def _bands(tariff: Tariff) -> list[tuple[float, float]]:
    """(second of the day, USD per kWh) from midnight on."""
    bands = [(band.from_hour * HOUR_S, band.usd_per_kwh.value) for band in tariff.bands]
    return bands if not bands[0][0] else [(0.0, bands[-1][1]), *bands]
