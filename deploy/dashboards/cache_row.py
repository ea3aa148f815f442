"""The row of the cache pool: what it found, holds, stored and had to let go."""

from __future__ import annotations

from deploy.dashboards.boards.shared import TOKENS_PER_S
from deploy.dashboards.panels import Query, Row, lines
from deploy.dashboards.promql import rate, wall_rate

_POOL = "supernode_cache_pool"
_DRAM = '{tier="dram"}'


def cache_row() -> Row:
    """All pools of the cluster together."""
    return Row(
        "Cache pool",
        (
            lines(
                "Found in the pool",
                "Share of the prompt tokens asked about in the window, by tier, whether used by prefill or not.",
                "percentunit",
                Query(
                    f"{wall_rate(f'{_POOL}_found_tokens_total', 'tier')} / "
                    f"scalar({wall_rate(f'{_POOL}_asked_tokens_total')})",
                    "{{tier}}",
                ),
                highest=1,
            ),
            lines(
                "Held by the pool",
                "Tokens of KV that the servers hold, as a share of what those that are up can.",
                "percentunit",
                Query(
                    f"sum by (tier) ({_POOL}_held_tokens) / sum by (tier) ({_POOL}_capacity_tokens) >= 0", "{{tier}}"
                ),
            ),
            lines("Servers of the pool", "Cache servers that are up.", "short", Query(f"sum({_POOL}_servers)", "up")),
            lines(
                "Stored in the pool",
                "Prompt tokens per emulated second whose KV was to be stored, and those of blocks that were new.",
                TOKENS_PER_S,
                Query(rate(f"{_POOL}_offered_tokens_total"), "offered"),
                Query(rate(f"{_POOL}_stored_tokens_total"), "new"),
            ),
            lines(
                "Bytes from and to the pool",
                "Bytes per emulated second by memory and plane. What is read from SSD goes on from DRAM.",
                "Bps",
                Query(f"{rate(f'{_POOL}_read_bytes_total', 'tier, plane')} > 0", "from {{tier}} over {{plane}}"),
                Query(f"{rate(f'{_POOL}_written_bytes_total', 'tier, plane')} > 0", "to {{tier}} over {{plane}}"),
            ),
            lines(
                "Bytes held by the pool",
                "What the tokens of KV that the servers hold take of their memories.",
                "decbytes",
                Query(f"sum by (tier) ({_POOL}_held_bytes)", "{{tier}}"),
            ),
            lines(
                "Blocks that left the pool",
                "Blocks per emulated second that made room, were lost with a server, or moved to another.",
                "si:/s",
                Query(rate(f"{_POOL}_evicted_blocks_total", "tier"), "evicted, {{tier}}"),
                Query(rate(f"{_POOL}_lost_blocks_total"), "lost"),
                Query(rate(f"{_POOL}_moved_blocks_total"), "moved"),
            ),
            lines(
                "Age of what left DRAM",
                "Mean time since its last use of a block that left DRAM in the window; 0 while none does.",
                "s",
                Query(
                    f"{wall_rate(f'{_POOL}_evicted_age_seconds_total')} / "
                    f"clamp_min({wall_rate(f'{_POOL}_evicted_blocks_total', where=_DRAM)}, 1e-9)",
                    "mean",
                ),
            ),
        ),
    )
