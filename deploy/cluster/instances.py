"""Instances of a standing cluster that an operator has come and go: what `supernode drain` and `scale` do and say."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from deploy.cluster.standing import cluster_that_is_up
from deploy.cluster.state import ClusterState
from deploy.settings.settings import Settings
from deploy.system.commanded import instance_roles, known_instances, possible_counts
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.runtime.clock import monotonic_s, pause_s

POLL_S: Final = 0.2

HEARD_S: Final = 2.0
"""Wall seconds within which the core has heard a command."""

SERVING, ABSENT = "serving", "absent"

Phases = Mapping[str, str]

Ask = Callable[..., dict[str, str]]


def drain(addresses: Sequence[str], wait_s: float) -> Phases:
    """Have these leave, and wait until they have; `ConfigError` for a name that is no instance, or for the last of its
    stage, `ClusterError` if one has not left in time."""
    state = cluster_that_is_up()
    settings = Settings.from_plain(state.config)
    names, addresses = instance_roles(settings), known_instances(settings, addresses)

    def is_heard(phases: Phases) -> bool:
        return all(phases.get(address) != SERVING for address in addresses)

    def have_left(phases: Phases) -> bool:
        return all(phases.get(address) == ABSENT for address in addresses)

    with _asking(state) as ask:
        ask("drain", addresses=list(addresses))
        phases = _until(ask, is_heard, HEARD_S)
        if is_heard(phases):
            phases = _until(ask, have_left, wait_s)
    if left := [address for address in addresses if phases.get(address) == SERVING]:
        raise ConfigError(
            f"{left[0]}: nobody else serves as {names[left[0]]}, so it stays; have another start first, by "
            f"'supernode scale {names[left[0]]}=N', or repair one"
        )
    slow = [address for address in addresses if phases.get(address) != ABSENT]
    if slow:
        raise ClusterError(
            f"{', '.join(slow)}: still {phases.get(slow[0])} after {wait_s:g} s, and leaves when its requests have "
            "ended; 'supernode status' tells how the cluster stands"
        )
    return phases


def scale(counts: Mapping[str, int], wait_s: float) -> Phases:
    """Have so many instances of each role, and wait until they serve; `ConfigError` for more than there is room for."""
    state = cluster_that_is_up()
    settings = Settings.from_plain(state.config)
    roles, counts = instance_roles(settings), possible_counts(settings, counts)

    def is_reached(phases: Phases) -> bool:
        by_role = {role: [phases.get(one, "") for one, its in roles.items() if its == role] for role in counts}
        return all(
            by_role[role].count(SERVING) == count and by_role[role].count(ABSENT) == len(by_role[role]) - count
            for role, count in counts.items()
        )

    with _asking(state) as ask:
        ask("scale", counts=dict(counts))
        phases = _until(ask, is_reached, wait_s)
    if not is_reached(phases):
        others = ", ".join(f"{one} is {at}" for one, at in phases.items() if at not in (SERVING, ABSENT))
        raise ClusterError(f"not yet after {wait_s:g} s: {others or 'not all serve'}; it goes on by itself")
    return phases


def text(phases: Phases) -> str:
    """For a person, ending in a newline."""
    by_phase: dict[str, list[str]] = {}
    for address, phase in phases.items():
        by_phase.setdefault(phase, []).append(address)
    return "".join(f"{phase}: {', '.join(addresses)}\n" for phase, addresses in by_phase.items())


def _until(ask: Ask, holds: Callable[[Phases], bool], wait_s: float) -> Phases:
    end_s = monotonic_s() + wait_s
    phases: Phases = ask("instances")
    while not holds(phases) and monotonic_s() < end_s:
        pause_s(POLL_S)
        phases = ask("instances")
    return phases


@contextmanager
def _asking(state: ClusterState) -> Generator[Ask]:
    """Calls of the control plane, by name."""
    # Ray takes a second to import, and a misspelt name should be told at once.
    from deploy.cluster.attach import asking

    with asking(state) as ask:
        yield ask
