"""What a request costs by handler: `python -m tests.bench.handlers TRACE [FLAGS OF REPLAY]`.

A replay on the virtual clock is run with a clock read around each call of each component; what reading costs (some
0.1 us a call) is in the figures.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from time import perf_counter_ns
from typing import Final
from unittest.mock import patch

from deploy.cli import main
from deploy.run import replay
from scheduler.core.scheduler import Scheduler
from scheduler.protocol.component import Around, Component, Outputs
from scheduler.protocol.messages import Message
from scheduler.runtime.virtual import VirtualRuntime

WAKE: Final = "wake"


@dataclass(slots=True)
class Calls:
    """How often something was called, for how long in all, and how often it had nothing to say."""

    number: int = 0
    num_silent: int = 0
    total_ns: int = 0


@dataclass(slots=True)
class Profile:
    """Calls by (role, type of message or `WAKE`), of a run of so many requests that took so long."""

    calls: dict[tuple[str, str], Calls] = field(default_factory=dict[tuple[str, str], Calls])
    run_ns: int = 0
    num_requests: int = 0

    def of(self, role: str, what: str) -> Calls:
        """Those of one kind, none as yet if there were none."""
        return self.calls.setdefault((role, what), Calls())


class Timed(Around):
    """A component around a component, which counts and times what that is called for."""

    def __init__(self, inner: Component, profile: Profile) -> None:
        super().__init__(inner)
        self._role = inner.address.rstrip("0123456789").rstrip("-")
        self._profile = profile
        self._by_kind: dict[type, Calls] = {}
        self._wakes = profile.of(self._role, WAKE)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Pass one message on."""
        calls = self._by_kind.get(type(message))
        if calls is None:
            calls = self._by_kind[type(message)] = self._profile.of(self._role, type(message).__name__)
        began_ns = perf_counter_ns()
        outputs = self.inner.handle(now_ns, message)
        calls.total_ns += perf_counter_ns() - began_ns
        calls.number += 1
        calls.num_silent += not outputs
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        """Pass the wake on."""
        began_ns = perf_counter_ns()
        outputs = self.inner.wake(now_ns)
        self._wakes.total_ns += perf_counter_ns() - began_ns
        self._wakes.number += 1
        self._wakes.num_silent += not outputs
        return outputs


class TimedRuntime(VirtualRuntime):
    """A virtual runtime whose components are timed."""

    def __init__(self, components: Sequence[Component], core_address: str, profile: Profile) -> None:
        super().__init__([Timed(one, profile) for one in components], core_address)
        self._profile = profile
        self._core = next(one for one in components if isinstance(one, Scheduler))

    def run(self) -> bool:
        """Run, and note how long it took and how many requests came."""
        began_ns = perf_counter_ns()
        is_stopped = super().run()
        self._profile.run_ns = perf_counter_ns() - began_ns
        self._profile.num_requests = self._core.table.num_requests
        return is_stopped


def profile_of(command: Sequence[str]) -> Profile:
    """The profile of a replay; `command` is its trace and flags."""
    profile = Profile()

    def timed(components: Sequence[Component], core_address: str) -> VirtualRuntime:
        return TimedRuntime(components, core_address, profile)

    with patch.object(replay, "VirtualRuntime", timed), redirect_stdout(StringIO()):
        code = main(["replay", *command, "--json"])
    if code:
        sys.exit(code)
    return profile


def lines(profile: Profile) -> list[str]:
    """A table by handler, the dearest first, then what the loop between them takes."""
    requests = profile.num_requests
    rows = sorted(profile.calls.items(), key=lambda row: -row[1].total_ns)
    told = [f"{'handler':<36} {'calls':>7} {'silent':>7} {'us':>7}   of each request; us a call"]
    for (role, what), calls in rows:
        if calls.number * 1000 >= requests:  # not what is said once in a run
            us = calls.total_ns / 1000
            counts = f"{calls.number / requests:>7.2f} {calls.num_silent / requests:>7.2f} {us / requests:>7.2f}"
            told.append(f"{f'{role}: {what}':<36} {counts} {us / calls.number:>7.2f}")
    within_ns = sum(calls.total_ns for _, calls in rows)
    wakes = sum(calls.number for (_, what), calls in rows if what == WAKE)
    messages = sum(calls.number for _, calls in rows) - wakes
    told.append(f"{'the loop itself':<36} {'':>15} {(profile.run_ns - within_ns) / 1000 / requests:>7.2f}")
    told.append(f"{'all':<36} {'':>15} {profile.run_ns / 1000 / requests:>7.2f}")
    told.append(f"{messages / requests:.2f} messages and {wakes / requests:.2f} wakes a request, {requests} requests")
    return told


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(profile_of(sys.argv[1:]))) + "\n")
