"""A power cap on all instances: who was told which budget, and who keeps it.

What counts against the cap for an instance is the higher of the budget that it was told and the one that it keeps. A
higher budget is told only when there is room for it, so the cap holds at every instant, however late messages are.

Where instances come and go, one that is not there counts with what its NPUs draw empty, and one that is to start with
its floor, from before its process is told to: until there is room for that it waits, and those who have more than their
share give. Whoever was lost is brought back by its runtime, and counts as if it were there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
from scheduler.core.scaling.processes import ended, started
from scheduler.policies.power import PoweredInstance, PowerNeed, share_watts
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PowerBudgetSet,
    PrefillStepped,
    RunEnded,
    SetPowerBudget,
    UsageReported,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)

TICK_NS: Final = 1_000_000_000
"""Budgets of those at work are weighed anew this long after something was heard."""

_MEMORY: Final = 0.5
"""Weight of the latest report in what is remembered of the pace of an instance."""


class PowerCap(Struct, frozen=True):
    """`budget_w` is for all NPUs of the instances together; instances begin at their floors, prefill first, those of
    both stages last. Those of them that are `absent` at first are not there.

    The limits say which latency counts as slow.
    """

    budget_w: int
    prefill: Sequence[PoweredInstance]
    decode: Sequence[PoweredInstance]
    ttft_limit_s: float
    tpot_limit_s: float
    aggregated: Sequence[PoweredInstance] = ()
    absent: frozenset[str] = frozenset()


class _Account(Struct):
    """Of one instance. `told_w` and `kept_w` differ until it confirms; until then it is told nothing else.

    `is_there`: it has a process, or is lost and will have one again; `is_up`: it can be told anything.
    """

    registered: Final[PoweredInstance]
    told_w: int
    kept_w: int
    is_there: bool = True
    is_up: bool = True
    prefill_pace_s: float = 0.0
    """Seconds a token while busy."""
    decode_pace_s: float = 0.0
    """Seconds a token of each sequence."""
    kv_tokens: int = 0
    """Of its sequences, as it reported last."""

    @property
    def may_be_told(self) -> bool:
        return self.is_up and self.told_w == self.kept_w

    @property
    def counted_w(self) -> int:
        return max(self.told_w, self.kept_w) if self.is_there else self.registered.empty_w

    @property
    def start_w(self) -> int:
        """What it takes to start."""
        return self.registered.floor_w - self.registered.empty_w


class PowerBudgets(Guest):
    """Deals out the budget; what instances are told goes out first, so that their work is done with it.

    As `Processes` it has them started when there are watts for them.
    """

    goes_first = True

    def __init__(self, cap: PowerCap, prefill: Stage, decode: Stage) -> None:
        self.deadline_ns = NEVER_NS
        self._cap = cap
        self._prefill = prefill
        self._decode = decode
        self._accounts = [
            _Account(one, one.floor_w, one.floor_w, one.address not in cap.absent, one.address not in cap.absent)
            for one in (*cap.prefill, *cap.decode, *cap.aggregated)
        ]
        self._by_address = {account.registered.address: account for account in self._accounts}
        self._wanted_w = [account.told_w for account in self._accounts]
        self._is_working: list[bool] = [False] * len(self._accounts)
        self._starting: dict[str, _Account] = {}
        """Who is to start and has not been told, as there are no watts for it yet."""

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Returns the budgets that change."""
        if isinstance(message, PowerBudgetSet):
            return self._confirmed(message)
        if isinstance(message, PrefillStepped | DecodeStepped):
            self._note_pace(message)
        elif isinstance(message, WorkersLost | WorkersStarted | WorkersJoined):
            self._reset(message)
        elif isinstance(message, UsageReported | RunEnded):
            # Nothing is done for these, and after a run nothing is to fall due.
            return NOTHING
        is_working = self._who_works()
        if not any(is_working):
            self.deadline_ns = NEVER_NS
        elif self.deadline_ns == NEVER_NS:
            self.deadline_ns = now_ns + TICK_NS
        if is_working == self._is_working:
            return NOTHING
        return self._share(is_working, is_tick=isinstance(message, WorkersJoined))

    def wake(self, now_ns: int) -> Outputs:
        """Weigh all anew; the next time is a while after the next message."""
        self.deadline_ns = NEVER_NS
        return self._share(self._who_works(), is_tick=True)

    def fits(self, addresses: Collection[str]) -> bool:
        """Whether all of these could be there together, at their floors."""
        floors_w = sum(self._by_address[address].start_w for address in addresses)
        return floors_w <= self._cap.budget_w - sum(account.registered.empty_w for account in self._accounts)

    def start(self, addresses: Sequence[str]) -> Outputs:
        """Those for whom there are watts at once; the others when there are."""
        self._starting.update((address, self._by_address[address]) for address in addresses)
        return self._share(self._who_works(), is_tick=True)

    def end(self, addresses: Sequence[str]) -> Outputs:
        """They draw until they have ended."""
        for address in addresses:
            self._starting.pop(address, None)
        return ended(addresses)

    def _confirmed(self, message: PowerBudgetSet) -> Outputs:
        account = self._by_address[message.instance]
        account.kept_w = message.budget_w
        # Who could not be told to give when somebody was to start can be now.
        return self._share(self._who_works(), is_tick=True) if self._starting else self._raise()

    def _share(self, is_working: list[bool], *, is_tick: bool) -> Outputs:
        """Lower who is idle, on a tick all who have more than their share; then raise as far as there is room."""
        self._is_working = is_working
        self._wanted_w = self._shares(is_working)
        outputs: list[Output] = []
        for account, wanted_w, works in zip(self._accounts, self._wanted_w, is_working, strict=True):
            if wanted_w < account.told_w and account.may_be_told and (is_tick or not works):
                outputs.append(_tell(account, wanted_w))
        return [*outputs, *self._raise()]

    def _shares(self, is_working: list[bool]) -> list[int]:
        """What each is to have, who is to start its floor."""
        starting = self._starting
        here = [i for i, one in enumerate(self._accounts) if one.is_there or one.registered.address in starting]
        needs = [
            PowerNeed(registered.floor_w, registered.peak_w, self._pressure(index) if is_working[index] else None)
            for index in here
            for registered in (self._accounts[index].registered,)
        ]
        wanted_w = [account.registered.empty_w for account in self._accounts]
        empty_w = sum(wanted_w) - sum(wanted_w[index] for index in here)
        for index, watts in zip(here, share_watts(needs, self._cap.budget_w - empty_w), strict=True):
            wanted_w[index] = watts
        return wanted_w

    def _raise(self) -> Outputs:
        """Those who are to start come first."""
        room_w = self._cap.budget_w - sum(account.counted_w for account in self._accounts)
        can_start: list[str] = []
        for address, account in list(self._starting.items()):
            if account.start_w <= room_w or account.is_there:
                room_w -= 0 if account.is_there else account.start_w
                account.is_there = True
                del self._starting[address]
                can_start.append(address)
        if self._starting:
            return started(can_start)
        outputs: list[Output] = []
        for account, wanted_w, works in zip(self._accounts, self._wanted_w, self._is_working, strict=True):
            more_w = min(wanted_w - account.told_w, room_w)
            if works and account.may_be_told and more_w > 0:
                outputs.append(_tell(account, account.told_w + more_w))
                room_w -= more_w
        return [*started(can_start), *outputs]

    def _who_works(self) -> list[bool]:
        of_prefill = self._prefill.outstanding_requests
        if self._cap.aggregated:
            of_prefill = of_prefill[: len(self._cap.prefill)]
        counts = (*of_prefill, *self._decode.outstanding_requests)
        return [count > 0 for count in counts]

    def _pressure(self, index: int) -> float:
        """Prefill: how long what waits will take; decode: the time between tokens; each over its limit. Of an instance
        of both the one that is worse."""
        account, cap = self._accounts[index], self._cap
        if index < len(cap.prefill):
            return self._prefill.outstanding_tokens[index] * account.prefill_pace_s / cap.ttft_limit_s
        pressure = account.decode_pace_s / cap.tpot_limit_s
        if index < len(cap.prefill) + len(cap.decode):
            return pressure
        waiting = self._decode.outstanding_tokens[index - len(cap.prefill)] - account.kv_tokens
        return max(pressure, waiting * account.prefill_pace_s / cap.ttft_limit_s)

    def _note_pace(self, message: PrefillStepped | DecodeStepped) -> None:
        account = self._by_address[message.instance]
        if isinstance(message, PrefillStepped):
            # The report of its steps accounts for the time where an instance of both has told of these as well.
            if message.computed_tokens and message.usage.busy_ns:
                pace_s = message.usage.busy_ns * 1e-9 / message.computed_tokens
                account.prefill_pace_s = _remembered(account.prefill_pace_s, pace_s)
            return
        account.kv_tokens = message.kv_tokens
        if message.mean_tokens:
            pace_s = message.steps_ns * 1e-9 / message.mean_tokens
            account.decode_pace_s = _remembered(account.decode_pace_s, pace_s)

    def _reset(self, message: WorkersLost | WorkersStarted | WorkersJoined) -> None:
        """Who is gone draws nothing, or what empty NPUs do; who comes back begins at its floor."""
        for address in message.addresses:
            account = self._by_address.get(address)
            if account is None:
                continue
            if isinstance(message, WorkersLost):
                account.is_there = account.is_there and not message.as_commanded
                account.is_up = False
                account.told_w = account.kept_w = account.registered.floor_w
            else:
                account.is_there = True
                account.is_up = account.is_up or isinstance(message, WorkersJoined)
        # Whoever works among them is told anew.
        self._is_working = []


def _remembered(before_s: float, pace_s: float) -> float:
    return pace_s if not before_s else (1 - _MEMORY) * before_s + _MEMORY * pace_s


def _tell(account: _Account, budget_w: int) -> tuple[str, Message]:
    account.told_w = budget_w
    return account.registered.address, SetPowerBudget(budget_w)
