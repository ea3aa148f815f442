"""A gateway of a small system on the virtual clock: callers at given times, and what each is told."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Accepts requests at their times, as an HTTP service would at the times at which they come in, and withdraws some.

    Keys are given in the order of `requests`; `leaves` are (time, key), of requests that were accepted before.
    """

    address = "callers"
    priority = Priority.SOURCE

    def __init__(
        self, source: GatewaySource, requests: list[tuple[int, ClientRequest]], leaves: list[tuple[int, int]]
    ) -> None:
        self._source = source
        acts: list[tuple[int, ClientRequest | int]] = [*requests, *leaves]
        self._acts = sorted(acts, key=lambda act: act[0])[::-1]
        self.deadline_ns = self._acts[-1][0]

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """The end of the run."""
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """The next request, or the next client that leaves."""
        _, act = self._acts.pop()
        self.deadline_ns = self._acts[-1][0] if self._acts else NEVER_NS
        ended = [] if self._acts else [(CORE_ADDRESS, ArrivalsEnded())]
        if isinstance(act, ClientRequest):
            return [(CORE_ADDRESS, self._source.accept(act)[1]), *ended]
        withdrawn = self._source.withdraw(act)
        return ended if withdrawn is None else [(CORE_ADDRESS, withdrawn), *ended]


class SmallGateway:
    """Runs callers of `small_spec` to their end; every second one wants its tokens if `wants_tokens` is None.

    `stays_ns`: how long clients of these keys wait before they are gone.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        wants_tokens: bool | None = True,
        guest: Guest | None = None,
        stays_ns: Mapping[int, int] | None = None,
    ) -> None:
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
        leaves = [(requests[key][0] + stay_ns, key) for key, stay_ns in (stays_ns or {}).items()]
        callers = Callers(self.source, requests, leaves)
        VirtualRuntime([callers, self.source, self.core, *workers], CORE_ADDRESS).run()


def spec_of(**more: Any) -> dict[str, Any]:
    """Requests and parts."""
    return small_spec(**more)
