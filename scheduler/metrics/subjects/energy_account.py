"""What a live system and all that feeds it draw, part by part, worked out while it runs.

Instances account for their time one after the other, each when it reports, so that the power of the fleet is known up
to the earliest end of their last accounts; so far, and no further, other parts are accounted for. Accounts beyond are
*pending*: packed rows, of which a settlement takes those that it has reached. One that reaches beyond the settled
instant is left, and is cut there the next time. When a session has ended all is settled, and the sums are those of
`outcome.energy.energy_use`.

While an instance is not there its NPUs draw what empty ones do, whoever has them then: where instances share NPUs this
counts some several times, and the curves take so many away. It has no accounts that could be waited for.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, Floats, Ints, Rows
from scheduler.metrics.facility import RestingNpu
from scheduler.metrics.layout import Layout, LiveInstance
from scheduler.metrics.subject import Account, Handlers, Session
from scheduler.metrics.subjects.instances import STRETCH_WALL_S
from scheduler.protocol.addresses import pool_addresses
from scheduler.protocol.messages import DecodeStepped, PrefillStepped, Usage, UsageReported, WorkersLost

COST_SERIES: Final = tuple((side, kind) for side in ("input", "output") for kind in ("capital", "electricity"))
"""The order of `EnergyTotals.usd`."""

ABSENT: Final = "absent"
NOT_THERE: Final = (ABSENT, "booked")
"""Phases of an instance that has no NPUs."""

MAX_PENDING_BYTES: Final = 24 << 20
"""A million accounts that wait for that of one instance; then they wait no longer, and what it drew meanwhile counts
for its NPUs alone."""

_pack_account: Final = struct.Struct("<qqd").pack
_ACCOUNT_ROW: Final = np.dtype([("start_ns", "<i8"), ("end_ns", "<i8"), ("watts", "<f8")])


class EnergyTotals(Struct, frozen=True):
    """`watts` by part (NPUs, those of the curves, building), means of the last stretch of at least a wall second;
    `joules` by part, of NPUs by phase, and `usd` by `COST_SERIES`, since the system came up. `cap_w`: the power cap at
    the feeds, 0 without one.

    The sum over parts, less the building, is drawn at the feeds; with it, at the meter.
    """

    watts: tuple[float, ...] = (0.0, 0.0)
    joules: tuple[float, ...] = (0.0,) * 4
    usd: tuple[float, ...] = (0.0,) * len(COST_SERIES)
    cap_w: float = 0.0
    settled_s: float = 0.0
    """For how long other parts than NPUs, and dollars, are accounted for."""


def npu_phases(layout: Layout) -> tuple[str, ...]:
    """What NPUs of a layout do."""
    has_aggregated = any(one.role == "aggregated" for one in layout.instances)
    return ("prefill", "decode", *(("aggregated",) if has_aggregated else ()), "idle")


class NpuEnergy:
    """Joules of the NPUs of one instance; `end_ns` is the end of its last account in this session.

    An idle instance draws the same at all times, so its joules tell themselves from those of work. `mixed_j`: of an
    aggregated instance, those of accounts in which anything of prompts was computed. `is_gone`: it was not there when
    it was last heard of; `empty_j` is what its NPUs drew while it was not.
    """

    def __init__(self, instance: LiveInstance, resting: RestingNpu, pending: bytearray) -> None:
        self.role: Final = instance.role
        self.is_planned: Final = instance.is_planned
        self.is_gone = not instance.is_planned
        self.empty_j = 0.0
        self._empty_w = resting.idle_w * instance.num_npus
        self.active_j = 0.0
        self.idle_j = 0.0
        self.mixed_j = 0.0
        self.end_ns = 0
        self._idle_w = resting.waiting_w * instance.num_npus
        self._pending = pending

    def add(self, usage: Usage) -> None:
        """Take an account."""
        span_ns = usage.end_ns - usage.start_ns
        if self.is_gone:
            self.be_empty(usage.start_ns)
            self.is_gone = False
        self.end_ns = usage.end_ns
        if span_ns > 0:
            self._pending += _pack_account(usage.start_ns, usage.end_ns, usage.joules / (span_ns / NS_PER_S))
        # Neither may fall by the rounding of the other: a counter that falls has begun anew.
        idle_j = min(usage.joules, self._idle_w * (span_ns - usage.busy_ns) / NS_PER_S)
        self.idle_j += idle_j
        self.active_j += usage.joules - idle_j

    def be_empty(self, until_ns: int) -> None:
        """It was not there since its last account."""
        span_ns = until_ns - self.end_ns
        if span_ns <= 0:
            return
        self._pending += _pack_account(self.end_ns, until_ns, self._empty_w)
        self.empty_j += self._empty_w * span_ns / NS_PER_S
        self.end_ns = until_ns


class EnergyAccount(Account[EnergyTotals]):
    """Of all instances of a layout, and of what else draws power for them.

    `_parts_j` and what is like it has shape (num_parts,), in the order of `FacilityCurves.part_w`.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        curves = self._curves = layout.curves
        self._roles = npu_phases(layout)[:-1]
        self._pending = bytearray()
        pools = pool_addresses(len(layout.supernodes))
        self._npus = {
            one.address: NpuEnergy(one, curves.resting_in(pools[one.supernode]), self._pending)
            for one in layout.instances
        }
        self._settled_ns = 0
        self._settled_s = 0.0
        self._spare_j = 0.0
        self._parts_j = np.zeros(len(curves.part_w))
        self._usd = np.zeros(4)
        self._charged_j = np.zeros(3)
        self._cap_w = 0.0
        self._fleet_j = 0.0
        self._mark_s = 0.0
        self._mark_j = np.zeros(1 + len(curves.part_w))
        self._watts = np.zeros(1 + len(curves.part_w))
        self._stretch_s = 0.0

    def handlers(self) -> Handlers:
        """Every report has an account of its instance, the last before it goes, too."""
        reports = PrefillStepped, DecodeStepped, UsageReported
        return {**dict.fromkeys(reports, self._on_report), WorkersLost: self._on_workers_lost}

    def _on_report(self, _session: Session, message: PrefillStepped | DecodeStepped | UsageReported) -> None:
        account = self._npus[message.instance]
        account.add(message.usage)
        if account.role == "aggregated" and isinstance(message, PrefillStepped):
            account.mixed_j += message.usage.joules

    def _on_workers_lost(self, _session: Session, message: WorkersLost) -> None:
        if message.as_commanded:
            for address in message.addresses:
                self._npus[address].is_gone = True

    def begin(self, session: Session) -> None:
        """Nothing of its time is accounted for."""
        self._stretch_s = STRETCH_WALL_S * session.speed
        self._cap_w = session.power_cap_w
        self._settled_ns = 0
        for account in self._npus.values():
            account.end_ns, account.is_gone = 0, not account.is_planned

    def end(self, session: Session) -> None:
        """It is over; whoever gave no last account draws nothing since the one before."""
        until_ns = max((account.end_ns for account in self._npus.values()), default=0)
        for account in self._gone(session):
            account.be_empty(until_ns)
        self._settle(until_ns)
        self._pending.clear()

    def totals(self, session: Session | None) -> EnergyTotals:
        """As they stand."""
        gone = [] if session is None else self._gone(session)
        ends_ns = [account.end_ns for account in self._npus.values() if account not in gone]
        until_ns = max(ends_ns) if len(self._pending) > MAX_PENDING_BYTES else min(ends_ns, default=0)
        for account in gone:
            account.be_empty(until_ns)
        self._settle(until_ns)
        share = self._curves.building_share
        feeds_w, accounts = float(self._watts.sum()), self._npus.values()
        idle_j = sum(account.idle_j + account.empty_j for account in accounts) + self._spare_j
        npu_j = (*(sum(a.active_j for a in accounts if a.role == role) for role in self._roles), idle_j)
        parts_j = self._parts_j.tolist()
        return EnergyTotals(
            (*self._watts.tolist(), share * feeds_w),
            (*npu_j, *parts_j, share * (sum(npu_j) + sum(parts_j))),
            tuple(self._usd.tolist()),
            self._cap_w,
            self._settled_s,
        )

    def _gone(self, session: Session) -> list[NpuEnergy]:
        """Those that have not been started again, or have no part in this session: one that starts accounts from then
        on, and is waited for."""
        if session.fleet is None or not any(account.is_gone for account in self._npus.values()):
            return []
        phases = session.fleet.instance_phases()
        return [one for address, one in self._npus.items() if one.is_gone and phases.get(address, ABSENT) in NOT_THERE]

    def _settle(self, until_ns: int) -> None:
        """Account for other parts until an instant to which the fleet's power is known."""
        if until_ns <= self._settled_ns:
            return
        curves, rows = self._curves, np.frombuffer(self._pending, _ACCOUNT_ROW)
        fleet_w, lengths_s = fleet_power_between(rows, self._settled_ns, until_ns)
        left = rows[rows["end_ns"] > until_ns].tobytes()
        del rows  # nothing may look at what is written to
        self._pending[:] = left
        npu_w = fleet_w + curves.spare_npu_w
        self._parts_j += [
            float(np.dot(np.interp(npu_w, curves.npu_w, part_w), lengths_s)) for part_w in curves.part_w.values()
        ]
        span_s, self._settled_ns = (until_ns - self._settled_ns) / NS_PER_S, until_ns
        self._settled_s += span_s
        self._spare_j += curves.spare_npu_w * span_s
        self._fleet_j += float(np.dot(fleet_w, lengths_s))
        self._charge(span_s)
        self._measure()

    def _charge(self, span_s: float) -> None:
        """Price what was drawn, and the time, of a span that has just been settled."""
        prices, curves, accounts = self.layout.prices, self._curves, self._npus.values()
        by_role = [sum(a.active_j + a.idle_j for a in accounts if a.role == role) for role in ("prefill", "decode")]
        if "aggregated" in self._roles:
            both = [a for a in accounts if a.role == "aggregated"]
            by_role[0] += sum(a.mixed_j for a in both)
            by_role[1] += sum(a.active_j + a.idle_j - a.mixed_j for a in both)
        empty_j = sum(a.empty_j for a in accounts)
        drawn_j = np.array([*by_role, empty_j + self._spare_j + float(self._parts_j.sum())])
        prefill_j, decode_j, other_j = (drawn_j - self._charged_j).tolist()
        self._charged_j = drawn_j
        usd_per_j = (1.0 + curves.building_share) * prices.usd_per_joule(self._settled_ns / NS_PER_S - span_s / 2)
        capital_usd, share = prices.capital_usd_per_s * span_s, prices.input_share
        self._usd += [
            share * capital_usd,
            usd_per_j * (prefill_j + share * other_j),
            (1.0 - share) * capital_usd,
            usd_per_j * (decode_j + (1.0 - share) * other_j),
        ]

    def _measure(self) -> None:
        """Power since the last mark, if that is a stretch ago."""
        span_s = self._settled_s - self._mark_s
        if span_s < self._stretch_s:
            return
        joules = np.array([self._fleet_j + self._spare_j, *self._parts_j.tolist()])
        self._watts = (joules - self._mark_j) / span_s
        self._mark_s, self._mark_j = self._settled_s, joules


def fleet_power_between(rows: Rows, from_ns: int, until_ns: int) -> tuple[Floats, Floats]:
    """Power of the fleet between two instants, as (watts, seconds): shape (num_spans,) each, constant in each span.

    `rows` are of `_ACCOUNT_ROW`, in any order; what is drawn is the sum over the accounts of an instant, in a gap
    nothing.
    """
    start_ns, end_ns = (np.clip(rows[name], from_ns, until_ns) for name in ("start_ns", "end_ns"))
    # `np.unique` loads numpy.ma when it is first called, for 10 to 30 ms in which no token leaves a service.
    instants: Ints = np.sort(np.concatenate([start_ns, end_ns, np.array([from_ns, until_ns])]))
    instants = instants[np.diff(instants, prepend=-1) > 0]
    num, watts = len(instants), rows["watts"]
    changes = np.zeros(num)
    np.add.at(changes, np.searchsorted(instants, start_ns), watts)
    np.subtract.at(changes, np.searchsorted(instants, end_ns), watts)
    return np.cumsum(changes)[:-1], np.diff(instants) / NS_PER_S
