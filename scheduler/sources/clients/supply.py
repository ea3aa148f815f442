"""Where clients find their next request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import repeat
from typing import NamedTuple, Protocol

from scheduler.policies.classes import DEFAULT_NAME
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.messages import NO_SESSION
from scheduler.protocol.sealed_payload import seal_output_tokens
from scheduler.sources.arrivals import ArrivalBlock


class Asked(NamedTuple):
    """One request as its client has it; `key` is its row in the trace, from 0."""

    key: int
    prompt_tokens: int
    payload: bytes
    prefix: list[int]
    tenant: int
    class_name: str
    answer: int
    session: int


class Supply(Protocol):
    """Requests for the clients of each class, who are named as their gates are.

    `now_ns` may be before that of an earlier call, where a client heard late of an end: what is ready is what was then.
    """

    num_given_up: int
    """Requests that never come, as what they wait for got no whole answer."""

    @property
    def has_more(self) -> bool:
        """Whether a request is left that nobody has taken, ready or not."""
        ...

    def next_ns(self, gate_name: str, now_ns: int) -> int:
        """When the next request for a gate is ready, at most `now_ns` if it is; `NEVER_NS` if none is known."""
        ...

    def take(self, gate_name: str, now_ns: int) -> Asked:
        """The one that goes first of those that are ready; there must be one."""
        ...

    def ended(self, key: int, ended_ns: int, *, has_answer: bool) -> list[int]:
        """A request has ended, with its whole answer or without; returns sessions of which nothing more comes."""
        ...


class GateNames:
    """Which gate a request goes through: that of its class, or that of all requests.

    The class is what the row names, or else that of its tenant (`class_of_tenant`), or else `DEFAULT_NAME`.
    """

    def __init__(self, gates: Collection[str], class_of_tenant: Mapping[int, str]) -> None:
        self._gates = gates
        self._class_of_tenant = class_of_tenant

    def of(self, class_name: str, tenant: int) -> str:
        """The name of the gate. `ConfigError` if no client asks for such a request."""
        if "" in self._gates:
            return ""
        name = class_name or self._class_of_tenant.get(tenant, DEFAULT_NAME)
        if name not in self._gates:
            raise self._refusal(name)
        return name

    def check_used(self, seen: Collection[str]) -> None:
        """`ConfigError` if clients ask for a class of which the trace has no request; `seen` are gates."""
        for name in self._gates:
            if name and name not in seen:
                have = f"requests of {', '.join(sorted(seen))} only" if seen else "no requests"
                raise ConfigError(f"--concurrency {name}=N: the trace has {have}; leave {name} out")

    def _refusal(self, name: str) -> ConfigError:
        given = ",".join(f"{gate}=N" for gate in self._gates)
        problem = "requests without a class" if name == DEFAULT_NAME else f"requests of class {name!r}"
        return ConfigError(f"--concurrency {given}: no client asks for {problem}; add {name}=N, or give a number alone")


def requests_of(blocks: Iterable[ArrivalBlock], sessions: Iterable[int] | None = None) -> Iterator[Asked]:
    """Rows one by one, numbered from 0; `sessions` are those of all rows."""
    first, of_sessions = 0, repeat(NO_SESSION) if sessions is None else iter(sessions)
    for block in blocks:
        payloads, numbers = seal_output_tokens(block.output_tokens), range(first, first + len(block))
        first += len(block)
        tokens, prefixes, tenants = block.prompt_tokens, block.prefixes, block.tenants
        # The sessions come last: of what comes first, one more than there is would be taken.
        yield from map(
            Asked, numbers, tokens, payloads, prefixes, tenants, block.class_names, block.answer_blocks, of_sessions
        )
