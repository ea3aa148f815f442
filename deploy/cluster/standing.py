"""Find this user's standing cluster, if there is one, without importing Ray."""

from __future__ import annotations

from collections import Counter
from typing import Final

from deploy.cluster.runtime_folder import locate_runtime_folder
from deploy.cluster.state import ClusterState, read_state, standing
from deploy.settings.settings import Settings
from deploy.terminal.output import tell
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.sources.arrivals import BLOCK_TOKENS

FIXED: Final = ("cluster", "model", "plan")
"""Settings that the actors of a standing cluster were made for; all others may differ from run to run."""


def find_cluster() -> ClusterState | None:
    """The standing cluster, None if there is none. One that crashed is named and passed over."""
    state = read_state(locate_runtime_folder())
    match standing(state):
        case "up":
            return state
        case "starting" | "stopping" as phase:
            raise ClusterError(f"the cluster is {phase}; try again when 'supernode status' says that it is up or down")
        case "foreign":
            raise ClusterError(state.line if state else "")
        case "crashed":
            tell("the cluster that was up has crashed ('supernode down' clears it away); running on a private one")
        case "down":
            pass
    return None


def cluster_that_is_up() -> ClusterState:
    """The standing cluster, for what needs one; `ClusterError` if there is none."""
    state = read_state(locate_runtime_folder())
    stands = standing(state)
    if state is None or stands == "down":
        raise ClusterError("no cluster is up; 'supernode up --detach' brings one up")
    if stands == "foreign":
        raise ClusterError(state.line)
    if stands != "up":
        raise ClusterError(f"the cluster has crashed or is {stands}; see 'supernode status'")
    return state


def refuse_other_fleet(cluster: ClusterState, settings: Settings) -> None:
    """`ConfigError` if a run asks for other instances than the cluster has."""
    for name in FIXED:
        wanted, there = settings.flat[name], cluster.config.get(name)
        if wanted != there:
            raise ConfigError(
                f"--{name} {wanted}: the cluster that is up has {there}; leave it out, "
                f"or run 'supernode down' and then 'supernode up --{name} {wanted}'"
            )
    if settings.scaling.is_on:
        _refuse_other_slots(cluster, settings)


def _refuse_other_slots(cluster: ClusterState, settings: Settings) -> None:
    """An autoscaler may start no instance for which the cluster was not brought up."""
    from deploy.system.blueprint import Blueprint

    wanted, there = (
        Counter(spec.role.value for spec in Blueprint(one, BLOCK_TOKENS).instances)
        for one in (settings, Settings.from_plain(cluster.config))
    )
    if wanted <= there:
        return
    name, most = settings.scaling.autoscaler.spec, ",".join(f"{role}={count}" for role, count in there.items())
    raise ConfigError(
        f"--autoscaler {name}: the cluster that is up has room for {most}; give that as --autoscaler-max, "
        f"or run 'supernode down' and then 'supernode up --autoscaler {name}'"
    )
