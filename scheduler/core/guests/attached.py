"""Which guests a configuration asks for, in the order in which they listen.

Each is imported where it is asked for: most runs have none, and all of them together are a tenth of the core to import.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scheduler.core.config import CacheMode
from scheduler.core.guest import Guest
from scheduler.core.prefills import Prefills
from scheduler.core.recovery.losses import Losses
from scheduler.core.recovery.recovery import Recovery
from scheduler.core.reservations import Reservations
from scheduler.core.routing.stages import Routing
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import Transfers
from scheduler.policies.flow_control import FlowControl

if TYPE_CHECKING:
    from scheduler.core.guests.power_budgets import PowerBudgets
    from scheduler.core.scaling.scaler import Scaler


def guests_of(
    state: SchedulerState,
    routing: Routing,
    transfers: Transfers,
    prefills: Prefills,
    losses: Losses,
    reservations: Reservations,
    recovery: Recovery,
    flow_control: FlowControl,
) -> Iterator[Guest]:
    """Whoever learns from reports hears them first. Requests that can go are sent before budgets and parking are
    weighed, as both go by who has work."""
    config = state.config
    yield from routing.guests
    if config.keeps_answers and config.cache_mode is not CacheMode.NONE:
        from scheduler.core.guests.kept_answers import KeptAnswers

        yield KeptAnswers(state, routing, transfers)
    if config.has_cache_policy:
        from scheduler.core.guests.cached_sessions import CachedSessions, CachePolicies

        yield CachePolicies()
        if config.tells_sessions:
            yield CachedSessions(state, transfers)
    if not flow_control.is_plain:
        from scheduler.core.guests.admission_queue import AdmissionQueue

        queue = prefills.queue = AdmissionQueue(state, prefills, routing, flow_control)
        if any(rules.timeout_ns for rules in flow_control.by_class):
            from scheduler.core.guests.early_ends import EarlyEnds
            from scheduler.core.guests.time_outs import TimeOuts

            early_ends = EarlyEnds(state, prefills, losses, reservations)
            yield early_ends
            yield TimeOuts(state.table, early_ends, flow_control)
        yield queue
    budgets: PowerBudgets | None = None
    if config.power is not None:
        from scheduler.core.guests.power_budgets import PowerBudgets

        budgets = PowerBudgets(config.power, state.prefill, state.decode)
        yield budgets
    if config.parking is not None:
        from scheduler.core.guests.parking import Parking

        yield Parking(config.parking, (state.prefill, state.decode), state.table)
    if config.scaling is not None:
        from scheduler.core.scaling.processes import FreeProcesses
        from scheduler.core.scaling.scaler import Scaler

        recovery.loads.begin_without(config.scaling.absent)
        scaler = Scaler(config.scaling, state, losses, recovery.retry_waiting, budgets or FreeProcesses())
        if config.scaling.make_policy is not None:
            yield scaler.measures
        yield scaler


def scaler_by_hand(state: SchedulerState, losses: Losses, recovery: Recovery, guests: Sequence[Guest]) -> Scaler:
    """The guest that an operator asks for who has instances come and go, beside those who listen already."""
    from scheduler.core.guests.power_budgets import PowerBudgets
    from scheduler.core.scaling.processes import FreeProcesses
    from scheduler.core.scaling.scaler import Scaler, rules_of_plan

    budgets = next((guest for guest in guests if isinstance(guest, PowerBudgets)), None)
    return Scaler(rules_of_plan(state), state, losses, recovery.retry_waiting, budgets or FreeProcesses())
