"""The guest that has instances come and go.

Once an interval it asks the policy how many there shall be, and has `ChangePlan` say which. What follows of it are
messages: a process is started by the provisioner (`StartInstances`), loads its model like one that comes back after a
loss, and joins; one that is drained is told to stop (`StopInstances`) when nothing depends on it any more. So all other
parts of the core see losses and joins, which they know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
from scheduler.core.recovery.draining import Draining
from scheduler.core.recovery.losses import Losses
from scheduler.core.scaling.changes import ChangePlan, Changes, is_leaving, ready_to_start
from scheduler.core.scaling.measures import DAY_S, Measures
from scheduler.core.scaling.placement import HOLDING, LEAVING, WANTED, Phase, PlacementBook
from scheduler.core.scaling.processes import Processes
from scheduler.core.scaling.rules import BY_OPERATOR, InstanceSlot, ScalingRules
from scheduler.core.state import SchedulerState
from scheduler.policies.failures import PolicyFailures
from scheduler.policies.scaling_view import AGGREGATED, RoleFacts, ScalingSample, ScalingView, Wanted
from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs
from scheduler.protocol.messages import (
    ArrivalsEnded,
    DrainInstances,
    FleetScaled,
    Message,
    RunEnded,
    ScaleInstances,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)

MAX_QUIET_INTERVALS: Final = 20
"""In which nobody arrives, reports, comes or goes; then the policy is not asked again before somebody reports."""

HISTORY_S: Final = 600.0


class Scaler(Guest):
    """Knows which instances there shall be. `measures` is a guest of its own, which hears reports."""

    hears = (
        ArrivalsEnded, RunEnded, WorkersLost, WorkersJoined, WorkersStarted, ScaleInstances, DrainInstances,
    )  # fmt: skip
    hears_last_ends_only = True

    def __init__(
        self,
        rules: ScalingRules,
        state: SchedulerState,
        losses: Losses,
        retry_waiting: Callable[[int], Outputs],
        processes: Processes,
    ) -> None:
        self.book: Final = PlacementBook(rules.slots, rules.absent, rules.num_npus)
        self.measures: Final = Measures(rules, self.book, state, losses)
        self._rules = rules
        self._roles: Final = rules.roles
        self._policy = None if rules.make_policy is None else rules.make_policy()
        self._table = state.table
        self._places: Final = places(self.book.slots, (state.prefill, state.decode))
        self._down = losses.down
        self._draining = Draining(state)
        self._retry_waiting = retry_waiting
        self._processes = processes
        self._samples: list[ScalingSample] = []
        self._wanted = {role: len(self.book.of_role(role, *WANTED)) for role in self._roles}
        self._sent_away: set[str] = set()
        """By an operator."""
        losses.begin_without(rules.absent)
        self._has_arrivals = True
        self._num_quiet = 0
        self._due_ns = NEVER_NS if self._policy is None else rules.interval_ns
        self._check_ns = NEVER_NS
        self.deadline_ns = self._due_ns

    @property
    def policy_failures(self) -> Mapping[str, PolicyFailures]:
        """Of a policy of one's own."""
        failures = getattr(self._policy, "failures", None)
        return {} if failures is None else {"autoscaler": failures}

    def instance_phases(self) -> Mapping[str, str]:
        """The phase of each slot."""
        return {address: phase.name.lower() for address, phase in self.book.phase.items()}

    def wanted_instances(self) -> Mapping[str, int]:
        """As decided last."""
        return self._wanted

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Whoever joins on its way out takes nothing: it is told to stop already, and would set back what it took."""
        if isinstance(message, WorkersJoined):
            for address in self._known(message):
                if is_leaving(self.book, address):
                    self._draining.begin(address)
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Instances come, go, or are commanded to."""
        outputs: list[Output] = []
        match message:
            case ScaleInstances():
                counts = dict(zip(message.roles, message.counts, strict=True))
                outputs += self._reach(now_ns, Wanted(counts, BY_OPERATOR))
            case DrainInstances():
                outputs += self._send_away(now_ns, message.addresses)
            case WorkersStarted():
                # Whoever was lost on its way out has come back for nothing; who is there anyway goes when it is done.
                back = [one for one in self._known(message) if one in self._down]
                outputs += self._stop([one for one in back if is_leaving(self.book, one)])
            case WorkersJoined():
                for address in self._known(message):
                    if self.book.phase[address] is Phase.STARTING:
                        self.book.phase[address] = Phase.SERVING
            case WorkersLost() if message.as_commanded:
                for address in self._known(message):
                    if self.book.phase[address] is Phase.STOPPING:
                        self.book.phase[address] = Phase.ABSENT
                        self._sent_away.discard(address)
                outputs += self._start(ready_to_start(self.book))
            case ArrivalsEnded():
                self._has_arrivals = False
                if not self._table.num_open:
                    self._due_ns = self._check_ns = NEVER_NS
            case RunEnded():
                self._due_ns = self._check_ns = NEVER_NS
            case _:
                pass
        self._find_deadline()
        return outputs

    def ended(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """After the last request nothing comes that it could be done for."""
        if not (self._has_arrivals or self._table.num_open):
            self.deadline_ns = self._due_ns = self._check_ns = NEVER_NS
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Look who is done, and ask the policy if its time has come."""
        outputs: list[Output] = []
        if self._check_ns <= now_ns:
            outputs += self._stop_drained(now_ns)
        if self._due_ns <= now_ns:
            self._due_ns = now_ns + self._rules.interval_ns
            outputs += self._decide(now_ns)
            self._rest_if_quiet()
        self._find_deadline()
        return outputs

    def _rest_if_quiet(self) -> None:
        """A run in which nothing happens any more is over, whoever still waits: it must not go on for a policy."""
        sample = self._samples[-1]
        is_quiet = not sample.arrived_requests and not any(
            role.num_reports or role.starting or role.draining for role in sample.roles.values()
        )
        self._num_quiet = self._num_quiet + 1 if is_quiet else 0
        if self._num_quiet >= MAX_QUIET_INTERVALS:
            self._due_ns = NEVER_NS
            self.measures.on_report = self._go_on

    def _go_on(self, now_ns: int) -> None:
        self._due_ns, self._num_quiet = now_ns + self._rules.interval_ns, 0
        self._find_deadline()

    def _find_deadline(self) -> None:
        self.deadline_ns = min(self._due_ns, self._check_ns)

    def _known(self, message: WorkersLost | WorkersJoined | WorkersStarted) -> list[str]:
        return [address for address in message.addresses if address in self.book.slots]

    def _decide(self, now_ns: int) -> Outputs:
        assert self._policy is not None
        view = self.view(now_ns)
        return self._reach(now_ns, self._policy.wanted(view))

    def view(self, now_ns: int) -> ScalingView:
        """What there is to know; ends an interval."""
        rules, book = self._rules, self.book
        self._samples.append(self.measures.sample(now_ns, self._wanted))
        begin_s = now_ns * 1e-9 - HISTORY_S
        self._samples = [sample for sample in self._samples if sample.at_s > begin_s]
        prices = [price for from_s, price in rules.usd_per_kwh if from_s < DAY_S]
        return ScalingView(
            rules.interval_ns * 1e-9,
            rules.ttft_limit_s,
            rules.tpot_limit_s,
            tuple(self._samples),
            {role: self._facts(role, num_npus) for role, num_npus in self._roles.items()},
            (min(prices), max(prices)),
            book.spare_npus,
            self._broken_npus(),
        )

    def _facts(self, role: str, num_npus: int) -> RoleFacts:
        book, least, most = self.book, *self._bounds(role)
        absent = [one for one in book.of_role(role, Phase.ABSENT) if book.is_free(one) and not self._is_cut(one)]
        there = [one for one, phase in book.phase.items() if phase in WANTED]
        while absent and not self._processes.fits([*there, *absent]):
            absent.pop()
        return RoleFacts(num_npus, least, most, len(absent))

    def _bounds(self, role: str) -> tuple[int, int]:
        num_slots = len(self.book.by_role[role])
        most = min(num_slots, self._rules.most.get(role, num_slots))
        return min(most, max(1, self._rules.least.get(role, 1))), most

    def _broken_npus(self) -> int:
        """Those that no instance has and nobody reaches."""
        book = self.book
        cut = {npu for one, slot in book.slots.items() if self._is_cut(one) for npu in slot.npus}
        if not cut:
            return 0
        held = {npu for one, slot in book.slots.items() if book.phase[one] in HOLDING for npu in slot.npus}
        return len(cut - held)

    def _reach(self, now_ns: int, decided: Wanted) -> Outputs:
        """Bounded, and as far as what is known allows."""
        for role, count in decided.instances.items():
            least, most = self._bounds(role)
            self._wanted[role] = max(least, min(most, count))
        plan = ChangePlan(self.book, self._serves, self._is_cut, self._load, self._sent_away, self._processes.fits)
        return self._carry_out(now_ns, plan.reach(self._wanted), decided.reason)

    def _send_away(self, now_ns: int, addresses: Sequence[str]) -> Outputs:
        """An operator wants these to go, of which the last of a role that serves stays; another may come in their
        place."""
        changes = Changes()
        for address in addresses:
            phase, role = self.book.phase[address], self.book.slots[address].role
            left = [one for one in self.book.of_role(role, Phase.SERVING) if one != address]
            if phase is Phase.SERVING and any(map(self._serves, left)):
                self.book.phase[address] = Phase.DRAINING
                changes.drained.append(address)
            elif phase is Phase.STARTING:
                self.book.phase[address] = Phase.STOPPING
                changes.cancelled.append(address)
            if self.book.phase[address] is Phase.DRAINING:
                self._sent_away.add(address)
        if self._policy is None:
            self._wanted = {role: len(self.book.of_role(role, *WANTED)) for role in self._roles}
        return self._carry_out(now_ns, changes, BY_OPERATOR)

    def _carry_out(self, now_ns: int, changes: Changes, reason: str) -> Outputs:
        if not changes:
            return NOTHING
        outputs: list[Output] = []
        for address in changes.drained:
            self._draining.begin(address)
        for address in changes.kept:
            self._draining.stop(address)
        if changes.kept:
            outputs += self._retry_waiting(now_ns)
        if changes.drained:
            self._check_ns = min(self._check_ns, now_ns + self._rules.drain_check_ns)
        outputs += self._stop([one for one in changes.cancelled if self.book.phase[one] is Phase.STOPPING])
        outputs += self._start(changes.started)
        said = FleetScaled(
            list(self._wanted),
            list(self._wanted.values()),
            reason,
            changes.started,
            changes.booked,
            changes.kept,
            changes.drained,
            changes.cancelled,
        )
        return [*outputs, (CORE_ADDRESS, said)]

    def _stop_drained(self, now_ns: int) -> Outputs:
        draining = [one for one, phase in self.book.phase.items() if phase is Phase.DRAINING]
        done = [one for one in draining if one not in self._down and self._draining.is_done(one)]
        self._check_ns = now_ns + self._rules.drain_check_ns if len(done) < len(draining) else NEVER_NS
        return self._stop(done)

    def _start(self, addresses: Sequence[str]) -> Outputs:
        return self._processes.start(addresses) if addresses else NOTHING

    def _stop(self, addresses: Sequence[str]) -> Outputs:
        for address in addresses:
            if self.book.phase[address] in LEAVING:
                self.book.phase[address] = Phase.STOPPING
        return self._processes.end(addresses) if addresses else NOTHING

    def _serves(self, address: str) -> bool:
        return all(index in stage.up and not stage.is_cut(index) for stage, index in self._places[address])

    def _is_cut(self, address: str) -> bool:
        return any(stage.is_cut(index) for stage, index in self._places[address])

    def _load(self, address: str) -> int:
        stage, index = self._places[address][0]  # of one that is of both, both count the same
        return stage.outstanding_tokens[index]


def places(addresses: Iterable[str], stages: Sequence[Stage]) -> dict[str, list[tuple[Stage, int]]]:
    """The stages of each, and its index there."""
    return {one: [(stage, stage.index[one]) for stage in stages if one in stage.index] for one in addresses}


def rules_of_plan(state: SchedulerState) -> ScalingRules:
    """For a fleet whose instances are all there, each on NPUs of its own, and which only an operator scales."""
    sizes: dict[str, tuple[str, int]] = {}
    for role, stage in (("prefill", state.prefill), ("decode", state.decode)):
        for instance in stage.instances:
            in_both = instance.address in sizes
            sizes[instance.address] = AGGREGATED if in_both else role, instance.num_npus
    slots: list[InstanceSlot] = []
    first_npu = 0
    for address, (role, num_npus) in sizes.items():
        slots.append(InstanceSlot(address, role, first_npu, num_npus))
        first_npu += num_npus
    return ScalingRules(slots, num_npus=first_npu)
