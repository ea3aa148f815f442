"""The optical modules of a supernode, link by link, and the line rate that is taken for one of them."""

from __future__ import annotations

from typing import Any

from deploy.hardware.quantities import count
from deploy.terminal.table import table
from scheduler.protocol.errors import ConfigError
from sim_hw.clusters.supernode import Supernode
from sim_hw.network.topologies import MODULE_BITS_PER_S, build_topology
from sim_hw.network.topology import MODULES_PER_LINK, ModuleAccount


def module_account(supernode: Supernode, module: str) -> ModuleAccount:
    """Counted over all links; `ConfigError`, with the numbers, if these do not add up or the module is unknown."""
    try:
        return build_topology(supernode, module).module_account()
    except ValueError as error:
        raise ConfigError(str(error)) from None


def module_section(account: ModuleAccount, module: str) -> str:
    """For the page of a supernode."""
    rows = [
        (f"  {plane.upper()}", count(number), f"on {number // MODULES_PER_LINK:,} links, one at each end", "")
        for plane, number in account.by_plane.items()
        if number
    ]
    for name, rate in MODULE_BITS_PER_S.items():
        taken = "taken" if name == module else f"--optical-module {name}"
        rows.append((f"  {name}", _bits_per_s(rate.value), taken, rate.source))
    together = _bits_per_s(account.total * account.bits_per_s.value)
    rows.append(("  together", together, f"of {account.total:,} modules", ""))
    return "Optical modules, by the links of the topology\n" + table(rows)


def _bits_per_s(rate: float) -> str:
    return f"{rate / 1e9:,.0f} Gbit/s"


def module_document(account: ModuleAccount, module: str) -> dict[str, Any]:
    """The same as plain values."""
    by_plane = {plane.value: number for plane, number in account.by_plane.items()}
    rates = {name: rate.value for name, rate in MODULE_BITS_PER_S.items()}
    return {"by_plane": by_plane, "module": module, "bits_per_s": account.bits_per_s.value, "known_bits_per_s": rates}
