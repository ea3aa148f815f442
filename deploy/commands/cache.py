"""`supernode cache curve TRACE` and `supernode cache reuse`."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Final

import typer
from msgspec.structs import replace

from deploy.run.cache_reuse import PLANES, reuse_rows
from deploy.settings.load import load_settings
from deploy.settings.options import TRACE_OPTIONS, Config, Json, for_run, with_options
from deploy.settings.shipped_examples import find_input
from deploy.system.blueprint import Blueprint
from deploy.terminal.output import say, tell
from scheduler.core.config import CacheMode
from scheduler.protocol.errors import ConfigError, InputError
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from workers.cache.clairvoyant import clairvoyant_hits
from workers.cache.curve import Prompt, stack_distance_hits, store_hits

app = typer.Typer(help="What a prefix cache of some size would find in a trace, and what reuse is worth.")

MAX_PROMPT_TOKENS: Final = 65_536

MAX_SSD_OVER_DRAM: Final = 10_000

REUSE_SETTINGS: Final = {"plan": "1x16p+1x160d+48c", "prefill_tokens_per_npu": 16_384}
"""One instance, and the batches of the published measurement."""

CAPACITIES_TB: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 25.0)
"""Of the whole pool."""


@app.command()
@with_options(rows=TRACE_OPTIONS)
def curve(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="A trace file or example.")],
    rows: TraceOptions,
    config: Config = None,
    ssd: Annotated[float, typer.Option(metavar="X", help="SSD behind the DRAM, as a multiple of it.")] = 2.0,
    oracle: Annotated[bool, typer.Option("--oracle", help="Also what no policy can find more than.")] = False,
    json: Json = False,
) -> int:
    """Hit rate against capacity: the pool; one list, and the plan's servers each on its own, by stack distances; the
    pool with SSD. With --oracle, beside them what the best possible choice of blocks would find in the DRAM."""
    if not 0 <= ssd <= MAX_SSD_OVER_DRAM:
        raise ConfigError(f"--ssd is {ssd:g}; give a multiple of the DRAM from 0 to {MAX_SSD_OVER_DRAM:,}")
    settings = load_settings(config, {})
    path = find_input(trace)
    opened = open_trace(path, options=for_run(rows, settings, path))
    sizes = Blueprint(settings, opened.block_tokens).pool_sizes()
    block_bytes = settings.cache.bytes_per_server / sizes.dram_tokens * sizes.block_tokens
    prompts: list[Prompt] = [
        row
        for block in opened.blocks
        for row in zip(block.prefixes, block.tenants, block.prompt_tokens, strict=True)
        if row[0]
    ]
    for line in opened.skipped.lines():
        tell(line)
    if not prompts:
        raise InputError(f"{opened.name}: no prompt has block ids, so none shares anything; say --assume-shared 0.5")
    per_servers = [
        int(terabytes * 1e12 / block_bytes * sizes.block_tokens / sizes.num_servers) for terabytes in CAPACITIES_TB
    ]
    tokens = [per_server * sizes.num_servers for per_server in per_servers]
    lines: list[dict[str, float]] = []
    alone = stack_distance_hits(prompts, sizes, tokens, sizes.num_servers)
    for terabytes, per_server, ideal, servers in zip(
        CAPACITIES_TB, per_servers, stack_distance_hits(prompts, sizes, tokens), alone, strict=True
    ):
        pool = store_hits(prompts, replace(sizes, dram_tokens=per_server, ssd_tokens=0))
        tiered = store_hits(prompts, replace(sizes, dram_tokens=per_server, ssd_tokens=int(ssd * per_server)))
        lines.append(
            {
                "capacity_tb": terabytes,
                "pool": pool.rate,
                "one_list": ideal.rate,
                "each_alone": servers.rate,
                "with_ssd": tiered.rate,
                "from_ssd": tiered.ssd / tiered.looked_up if tiered.looked_up else 0.0,
            }
        )
    if oracle:
        for line, best in zip(lines, clairvoyant_hits(prompts, sizes, tokens), strict=True):
            line["oracle"] = best.rate
    if json:
        document = {"trace": opened.name, "servers": sizes.num_servers, "ssd_over_dram": ssd, "rows": lines}
        say(json_module.dumps(document) + "\n")
        return 0
    say(
        f"{opened.name}: {len(prompts):,} prompts, {sizes.num_servers} servers, SSD {ssd:g} times the DRAM; by tokens\n"
    )
    columns = list(lines[0])[1:]
    say(f"{'DRAM':>8}" + "".join(f" {name.replace('_', ' ').replace('ssd', 'SSD'):>10}" for name in columns) + "\n")
    for row in lines:
        say(f"{row['capacity_tb']:>5g} TB" + "".join(f" {100 * row[name]:>8.2f} %" for name in columns) + "\n")
    return 0


@app.command()
def reuse(
    config: Config = None,
    prompt_tokens: Annotated[int, typer.Option(metavar="N", help="Of each prompt, in blocks of 512.")] = 4096,
    json: Json = False,
) -> int:
    """TTFT and prefill throughput by how much of each prompt is cached, with the pool on UB and on VPC."""
    if prompt_tokens % BLOCK_TOKENS or not BLOCK_TOKENS <= prompt_tokens <= MAX_PROMPT_TOKENS:
        raise ConfigError(
            f"--prompt-tokens is {prompt_tokens}; give a multiple of {BLOCK_TOKENS} up to {MAX_PROMPT_TOKENS:,}"
        )
    settings = load_settings(config, {}, REUSE_SETTINGS)
    if settings.cache.mode is not CacheMode.POOL:
        raise ConfigError(f"cache is {settings.cache.mode.value}; planes are compared with cache: pool")
    rows: list[dict[str, object]] = []
    plan = settings.hardware.plan.text
    if not json:
        say(f"plan {plan}, prompts of {prompt_tokens:,} tokens\n")
        say(f"{'reuse':>7} {'TTFT, ub':>12} {'TTFT, vpc':>12} {'tok/s/NPU, ub':>14} {'tok/s/NPU, vpc':>14}\n")
    for row in reuse_rows(settings, prompt_tokens):
        rows.append({"reuse": row.reuse, "ttft_s": row.ttft_s, "tokens_per_s_per_npu": row.tokens_per_s})
        if not json:
            times = "".join(f" {1e3 * row.ttft_s[plane]:>9.1f} ms" for plane in PLANES)
            rates = "".join(f" {row.tokens_per_s[plane]:>14,.0f}" for plane in PLANES)
            say(f"{100 * row.reuse:>5.1f} %{times}{rates}\n")
    if json:
        say(json_module.dumps({"plan": plan, "prompt_tokens": prompt_tokens, "rows": rows}) + "\n")
    return 0
