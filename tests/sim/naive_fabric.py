"""The fabric of the naive simulation: every flow for itself, in whole bytes and nanoseconds."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.case import Case
from tests.sim.naive_request import Request
from tests.sim.naive_world import Actor, World

Then = Callable[[list[Request]], None] | None
"""Who waits for a flow, if anybody does."""


class Flow:
    """Bytes on their way."""

    def __init__(self, done_ns: int, num_bytes: int, then: Then, requests: list[Request]) -> None:
        self.done_ns = done_ns
        self.num_bytes = num_bytes
        self.then = then
        self.requests = requests
        self.is_told = False


class Fabric(Actor):
    """Moves tokens; rates are whole bytes a nanosecond, chosen so that every time is a whole number.

    Nobody waits for a write to the cache, so none keeps the run from ending.
    """

    priority = 1

    def __init__(self, world: World, case: Case) -> None:
        super().__init__(world)
        self.case = case
        self.flows: list[Flow] = []

    def transfer(self, prefill: int, tokens: list[int], open_ns: int, then: Then, requests: list[Request]) -> None:
        """Tell `then` about the requests when the last byte has arrived."""
        case = self.case
        hidden_ns = self.world.now_ns - open_ns
        longest = self._flow_ns(max(tokens), case.stream_bytes_per_ns, hidden_ns)
        together = self._flow_ns(sum(tokens), case.total_bytes_per_ns, hidden_ns)
        done_ns = self.world.now_ns + case.latency_ns + 100 * prefill + max(longest, together)
        self.flows.append(Flow(done_ns, sum(tokens) * case.bytes_per_token, then, requests))
        self._await_next()

    def _flow_ns(self, tokens: int, bytes_per_ns: int, hidden_ns: int) -> int:
        amount = tokens * self.case.bytes_per_token
        last_layer = amount // self.case.num_layers
        assert last_layer * self.case.num_layers == amount
        exposed = amount - min(amount - last_layer, hidden_ns * bytes_per_ns)
        assert exposed % bytes_per_ns == 0
        return exposed // bytes_per_ns

    def _await_next(self) -> None:
        self.due_ns = min((flow.done_ns for flow in self.flows if flow.then and not flow.is_told), default=None)

    def fall_due(self) -> None:
        """What has arrived by now, the earlier started first."""
        for flow in self.flows:
            if flow.then and not flow.is_told and flow.done_ns == self.world.now_ns:
                flow.is_told = True
                self.world.say(flow.then, flow.requests)
        self._await_next()
