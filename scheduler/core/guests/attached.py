"""Which guests a configuration asks for, in the order in which they listen."""

from __future__ import annotations

from typing import Protocol

from scheduler.core.guest import Guest
from scheduler.core.guests.admission_queue import AdmissionQueue
from scheduler.core.guests.parking import Parking
from scheduler.core.guests.power_budgets import PowerBudgets
from scheduler.core.guests.time_outs import TimeOuts
from scheduler.core.prefills import Prefills
from scheduler.core.recovery.losses import Losses
from scheduler.core.reservations import Reservations
from scheduler.core.routing.stages import Routing
from scheduler.core.state import SchedulerState
from scheduler.policies.flow_control import FlowControl


class Host(Protocol):
    """Whoever guests listen to."""

    state: SchedulerState
    routing: Routing

    def add_guest(self, guest: Guest) -> None:
        """From now on this guest listens."""
        ...


def attach_guests(
    host: Host, prefills: Prefills, losses: Losses, reservations: Reservations, flow_control: FlowControl
) -> None:
    """Whoever learns from reports hears them first. Requests that can go are sent before budgets and parking are
    weighed, as both go by who has work."""
    state, config = host.state, host.state.config
    for learner in host.routing.guests:
        host.add_guest(learner)
    if not flow_control.is_plain:
        queue = prefills.queue = AdmissionQueue(state, prefills, host.routing, flow_control)
        if any(rules.timeout_ns for rules in flow_control.by_class):
            host.add_guest(TimeOuts(state, prefills, queue, losses, reservations, flow_control))
        host.add_guest(queue)
    if config.power is not None:
        host.add_guest(PowerBudgets(config.power, state.prefill, state.decode))
    if config.parking is not None:
        host.add_guest(Parking(config.parking, (state.prefill, state.decode), state.table))
