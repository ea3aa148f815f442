"""`supernode cache curve TRACE`."""

from __future__ import annotations

import json as json_module
from dataclasses import replace
from typing import Annotated, Final

import typer

from deploy.blueprint import Blueprint
from deploy.commands.options import Config, Json
from deploy.config import load_config
from deploy.output import say
from deploy.shipped_examples import find_input
from scheduler.gateway.readers.options import TraceOptions
from scheduler.gateway.readers.registry import open_trace
from workers.cache.curve import Prompt, stack_distance_hits, store_hits

app = typer.Typer(help="What a prefix cache of some size would find in a trace.")

CAPACITIES_TB: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 25.0)
"""Of the whole pool."""


@app.callback()
def cache() -> None:
    """Keeps `curve` a command of its own."""


@app.command()
def curve(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace file or example.")],
    config: Config = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first N requests.")] = None,
    superpose: Annotated[int, typer.Option(metavar="N", help="Lay N shifted copies over each other.")] = 1,
    ssd: Annotated[float, typer.Option(metavar="X", help="SSD behind the DRAM, as a multiple of it.")] = 2.0,
    json: Json = False,
) -> int:
    """Hit rate against capacity: one list, as the pool is; the plan's servers, each on its own; the pool with SSD."""
    settings = load_config(config, {})
    opened = open_trace(find_input(trace), options=TraceOptions(limit=limit, superpose=superpose, seed=settings.seed))
    sizes = Blueprint(settings, opened.block_tokens).pool_sizes()
    block_bytes = settings.cache_bytes_per_server / sizes.dram_tokens * sizes.block_tokens
    prompts: list[Prompt] = [
        row
        for block in opened.blocks
        for row in zip(block.prefixes, block.namespaces, block.prompt_tokens, strict=True)
        if row[0]
    ]
    tokens = [int(terabytes * 1e12 / block_bytes * sizes.block_tokens) for terabytes in CAPACITIES_TB]
    rows: list[dict[str, float]] = []
    alone = stack_distance_hits(prompts, sizes, tokens, sizes.num_servers)
    for terabytes, capacity, ideal, servers in zip(
        CAPACITIES_TB, tokens, stack_distance_hits(prompts, sizes, tokens), alone, strict=True
    ):
        per_server = capacity // sizes.num_servers
        tiered = store_hits(prompts, replace(sizes, dram_tokens=per_server, ssd_tokens=int(ssd * per_server)))
        rows.append(
            {
                "capacity_tb": terabytes,
                "one_list": ideal.rate,
                "each_alone": servers.rate,
                "with_ssd": tiered.rate,
                "from_ssd": tiered.ssd / tiered.looked_up if tiered.looked_up else 0.0,
            }
        )
    if json:
        document = {"trace": opened.name, "servers": sizes.num_servers, "ssd_over_dram": ssd, "rows": rows}
        say(json_module.dumps(document) + "\n")
        return 0
    say(
        f"{opened.name}: {len(prompts):,} prompts, {sizes.num_servers} servers, SSD {ssd:g} times the DRAM; by tokens\n"
    )
    say(f"{'DRAM':>8} {'one list':>10} {'each alone':>10} {'with SSD':>10} {'from SSD':>10}\n")
    for row in rows:
        shares = (row["one_list"], row["each_alone"], row["with_ssd"], row["from_ssd"])
        say(f"{row['capacity_tb']:>5g} TB" + "".join(f" {100 * share:>8.2f} %" for share in shares) + "\n")
    return 0
