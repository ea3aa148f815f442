"""`supernode hw show | power | list`: what is known of the hardware, with sources."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from msgspec import to_builtins

from deploy.hardware.hardware_page import chip_page, hardware_list, supernode_page
from deploy.hardware.lookup import load_hardware
from deploy.hardware.module_page import module_account, module_document, module_section
from deploy.settings.options import Config
from deploy.terminal.output import say
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.sheet import CHIPS
from sim_hw.clusters.sheet import CLUSTERS
from sim_hw.clusters.supernode import Supernode
from sim_hw.clusters.totals import totals
from sim_hw.description import describe
from sim_hw.sources import SOURCES

app = typer.Typer(help="Show chips and supernodes, every figure with its source.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Chip or cluster, or a .yaml file of one.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Module = Annotated[str, typer.Option(metavar="NAME", help="Line rate taken for an optical module: 400G or 800G.")]
AsYaml = Annotated[bool, typer.Option("--yaml", help="As the YAML file that --cluster takes, to start one's own from.")]


@app.command()
def show(name: Name, as_json: AsJson = False, as_yaml: AsYaml = False, optical_module: Module = "400G") -> None:
    """Every figure of a chip or cluster with value, source and confidence, and the totals."""
    if as_json and as_yaml:
        raise ConfigError("--json and --yaml: only one form can be printed; leave one out")
    entry = load_hardware(name)
    if as_yaml:
        from yaml import safe_dump

        say(safe_dump(describe(entry), sort_keys=False, allow_unicode=True, width=120))
    elif as_json:
        kind = "cluster" if isinstance(entry, Supernode) else "chip"
        derived = _derived(entry, optical_module) if isinstance(entry, Supernode) else None
        _say_json({"kind": kind, "entry": describe(entry), "derived": derived, "sources": dict(SOURCES)})
    elif isinstance(entry, Supernode):
        modules = module_section(module_account(entry, optical_module), optical_module)
        say(supernode_page(entry, totals(entry), [modules, *_claimed(entry)]))
    else:
        say(chip_page(entry))


@app.command()
def power(
    name: Name,
    config: Config = None,
    site: Annotated[str | None, typer.Option(metavar="NAME", help="Where it stands: PUE, electricity price.")] = None,
    pue: Annotated[
        float | None, typer.Option(metavar="X", help="Energy at the meter over energy at the feeds.")
    ] = None,
    phase: Annotated[
        str | None, typer.Option(metavar="PHASE", help="What NPUs are busy with: prefill, decode.")
    ] = None,
    batch: Annotated[int | None, typer.Option(metavar="N", help="Requests of a decode service of 8 NPUs.")] = None,
    as_json: AsJson = False,
) -> None:
    """The electrical tree of a cluster, provisioned, busy and idle, part by part; of a chip, its draw by phase."""
    from deploy.hardware.power_answer import chip_power_answer, published_ratios, supernode_power
    from deploy.hardware.power_page import chip_power_page, supernode_power_page
    from deploy.hardware.power_settings import power_settings

    settings = power_settings(config, site, pue, phase, batch)
    entry = load_hardware(name)
    if isinstance(entry, Supernode):
        tree, answer = supernode_power(entry, settings)
        page = supernode_power_page(tree, answer, published_ratios(entry))
    else:
        answer = chip_power_answer(entry)
        page = chip_power_page(entry.title, answer)
    if as_json:
        _say_json({**answer, "sources": dict(SOURCES)})
    else:
        say(page)


@app.command("list")
def list_known(as_json: AsJson = False) -> None:
    """The chips and clusters that are built in."""
    if as_json:
        _say_json({"clusters": CLUSTERS.names(), "chips": CHIPS.names()})
    else:
        say(hardware_list([sheet.supernode for sheet in CLUSTERS], [sheet.chip for sheet in CHIPS]))


def _claimed(supernode: Supernode) -> list[str]:
    """What the press said of it, beside the catalog."""
    from deploy.hardware.validation_page import claims_table
    from sim_hw.validation.claims import claims

    found = claims(supernode.name)
    return [f"Claimed by the press\n{claims_table(found)}"] if found else []


def _derived(supernode: Supernode, module: str) -> dict[str, Any]:
    from sim_hw.validation.claims import claims

    modules = module_document(module_account(supernode, module), module)
    claimed = to_builtins(claims(supernode.name))
    return {**to_builtins(totals(supernode)), "optical_module_account": modules, "claims": claimed}


def _say_json(document: Any) -> None:
    say(json.dumps(document, indent=2) + "\n")
