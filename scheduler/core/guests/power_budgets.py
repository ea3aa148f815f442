"""A power cap on all instances: who was told which budget, and who keeps it.

What counts against the cap for an instance is the higher of the budget that it was told and the one that it keeps. A
higher budget is told only when there is room for it, so the cap holds at every instant, however late messages are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
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
)

TICK_NS: Final = 1_000_000_000
"""Budgets of those at work are weighed anew this long after something was heard."""

_MEMORY: Final = 0.5
"""Weight of the latest report in what is remembered of the pace of an instance."""


class PowerCap(Struct, frozen=True):
    """`budget_w` is for all NPUs of the instances together; instances begin at their floors, prefill first.

    The limits say which latency counts as slow.
    """

    budget_w: int
    prefill: Sequence[PoweredInstance]
    decode: Sequence[PoweredInstance]
    ttft_limit_s: float
    tpot_limit_s: float


class _Account(Struct):
    """Of one instance. `told_w` and `kept_w` differ until it confirms; until then it is told nothing else."""

    registered: Final[PoweredInstance]
    told_w: int
    kept_w: int
    pace_s: float = 0.0
    """Of prefill seconds a token while busy, of decode seconds a token of each sequence."""
    is_up: bool = True

    @property
    def may_be_told(self) -> bool:
        return self.is_up and self.told_w == self.kept_w

    @property
    def counted_w(self) -> int:
        return max(self.told_w, self.kept_w)


class PowerBudgets(Guest):
    """Deals out the budget; what instances are told goes out first, so that their work is done with it."""

    goes_first = True

    def __init__(self, cap: PowerCap, prefill: Stage, decode: Stage) -> None:
        self.deadline_ns = NEVER_NS
        self._cap = cap
        self._prefill = prefill
        self._decode = decode
        self._accounts = [_Account(one, one.floor_w, one.floor_w) for one in (*cap.prefill, *cap.decode)]
        self._by_address = {account.registered.address: account for account in self._accounts}
        self._wanted_w = [account.told_w for account in self._accounts]
        self._is_working: list[bool] = [False] * len(self._accounts)

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Returns the budgets that change."""
        if isinstance(message, PowerBudgetSet):
            return self._confirmed(message)
        if isinstance(message, PrefillStepped | DecodeStepped):
            self._note_pace(message)
        elif isinstance(message, WorkersLost | WorkersJoined):
            self._reset(message.addresses, is_up=isinstance(message, WorkersJoined))
        elif isinstance(message, UsageReported | RunEnded):
            # Nothing is done for these, and after a run nothing is to fall due.
            return NOTHING
        is_working = self._who_works()
        if not any(is_working):
            self.deadline_ns = NEVER_NS
        elif self.deadline_ns == NEVER_NS:
            self.deadline_ns = now_ns + TICK_NS
        return NOTHING if is_working == self._is_working else self._share(is_working, is_tick=False)

    def wake(self, now_ns: int) -> Outputs:
        """Weigh all anew; the next time is a while after the next message."""
        self.deadline_ns = NEVER_NS
        return self._share(self._who_works(), is_tick=True)

    def _confirmed(self, message: PowerBudgetSet) -> Outputs:
        account = self._by_address[message.instance]
        account.kept_w = message.budget_w
        return self._raise()

    def _share(self, is_working: list[bool], *, is_tick: bool) -> Outputs:
        """Lower who is idle, on a tick all who have more than their share; then raise as far as there is room."""
        self._is_working = is_working
        needs = [
            PowerNeed(account.registered.floor_w, account.registered.peak_w, self._pressure(index) if works else None)
            for index, (account, works) in enumerate(zip(self._accounts, is_working, strict=True))
        ]
        self._wanted_w = share_watts(needs, self._cap.budget_w)
        outputs: list[Output] = []
        for account, wanted_w, works in zip(self._accounts, self._wanted_w, is_working, strict=True):
            if wanted_w < account.told_w and account.may_be_told and (is_tick or not works):
                outputs.append(_tell(account, wanted_w))
        return [*outputs, *self._raise()]

    def _raise(self) -> Outputs:
        room_w = self._cap.budget_w - sum(account.counted_w for account in self._accounts)
        outputs: list[Output] = []
        for account, wanted_w, works in zip(self._accounts, self._wanted_w, self._is_working, strict=True):
            more_w = min(wanted_w - account.told_w, room_w)
            if works and account.may_be_told and more_w > 0:
                outputs.append(_tell(account, account.told_w + more_w))
                room_w -= more_w
        return outputs

    def _who_works(self) -> list[bool]:
        counts = (*self._prefill.outstanding_requests, *self._decode.outstanding_requests)
        return [count > 0 for count in counts]

    def _pressure(self, index: int) -> float:
        """Prefill: how long what waits will take; decode: the time between tokens; each over its limit."""
        pace_s, num_prefill = self._accounts[index].pace_s, len(self._cap.prefill)
        if index < num_prefill:
            return self._prefill.outstanding_tokens[index] * pace_s / self._cap.ttft_limit_s
        return pace_s / self._cap.tpot_limit_s

    def _note_pace(self, message: PrefillStepped | DecodeStepped) -> None:
        account = self._by_address[message.instance]
        if isinstance(message, PrefillStepped):
            tokens, length_ns = message.computed_tokens, message.usage.busy_ns
        else:
            tokens, length_ns = message.mean_tokens, message.steps_ns
        if tokens:
            pace_s = length_ns * 1e-9 / tokens
            account.pace_s = pace_s if not account.pace_s else (1 - _MEMORY) * account.pace_s + _MEMORY * pace_s

    def _reset(self, addresses: Collection[str], *, is_up: bool) -> None:
        """Who is gone draws nothing; who comes back begins at its floor."""
        for address in addresses:
            account = self._by_address.get(address)
            if account is not None:
                account.is_up = is_up
                account.told_w = account.kept_w = account.registered.floor_w
        # Whoever works among them is told anew.
        self._is_working = []


def _tell(account: _Account, budget_w: int) -> tuple[str, Message]:
    account.told_w = budget_w
    return account.registered.address, SetPowerBudget(budget_w)
