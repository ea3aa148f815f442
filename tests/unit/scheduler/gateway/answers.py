"""A gateway of a small system on the virtual clock: callers at given times, and what each is told."""

from __future__ import annotations

from typing import Any

from scheduler.core.guest import Guest
from scheduler.core.scheduler import Scheduler
from scheduler.gateway.gateway_source import ClientRequest, GatewaySource
from scheduler.gateway.token_streams import TokenStreams
from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import ArrivalsEnded, Message
from scheduler.runtime.virtual import VirtualRuntime
from tests.small_system import BLOCK_TOKENS, WORKERS, make_core, make_worker, small_spec


class Heard:
    """What clients are told: (tokens in all, time) by key, and the rows of the table by key when they end."""

    def __init__(self) -> None:
        self.steps: dict[int, list[tuple[int, int]]] = {}
        self.rows: dict[int, int] = {}

    def produced(self, key: int, num_tokens: int, at_ns: int) -> None:
        """Nothing comes after the end, nothing twice, and time does not go back."""
        assert key not in self.rows
        steps = self.steps.setdefault(key, [])
        assert num_tokens > (steps[-1][0] if steps else 0)
        assert not steps or at_ns >= steps[-1][1]
        steps.append((num_tokens, at_ns))

    def ended(self, key: int, request_id: int) -> None:
        """Once."""
        assert key not in self.rows
        self.rows[key] = request_id


class Callers(TimingFlags):
    """Accepts requests at their times, as an HTTP service would at the times at which they come in."""

    address = "callers"
    priority = Priority.SOURCE

    def __init__(self, source: GatewaySource, requests: list[tuple[int, ClientRequest]]) -> None:
        self._source = source
        self._requests = requests[::-1]
        self.deadline_ns = requests[0][0]

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """The end of the run."""
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """The next request."""
        _, request = self._requests.pop()
        arrived = (CORE_ADDRESS, self._source.accept(request)[1])
        if self._requests:
            self.deadline_ns = self._requests[-1][0]
            return (arrived,)
        self.deadline_ns = NEVER_NS
        return (arrived, (CORE_ADDRESS, ArrivalsEnded()))


class SmallGateway:
    """Runs callers of `small_spec` to their end; every second one wants its tokens if `wants_tokens` is None."""

    def __init__(self, spec: dict[str, Any], *, wants_tokens: bool | None = True, guest: Guest | None = None) -> None:
        self.source = GatewaySource(BLOCK_TOKENS)
        self.heard = Heard()
        self.core: Scheduler = make_core(spec)
        self.core.add_guest(TokenStreams(self.core.table, self.source, self.heard))
        if guest is not None:
            self.core.add_guest(guest)
        requests = [
            (
                at_ns,
                ClientRequest(
                    prompt, output, prefix, wants_tokens=number % 2 == 0 if wants_tokens is None else wants_tokens
                ),
            )
            for number, (at_ns, prompt, output, prefix) in enumerate(spec["rows"])
        ]
        workers = [make_worker(spec, address) for address in WORKERS]
        callers = Callers(self.source, requests)
        VirtualRuntime([callers, self.source, self.core, *workers], CORE_ADDRESS).run()


def spec_of(**more: Any) -> dict[str, Any]:
    """Requests and parts."""
    return small_spec(**more)
