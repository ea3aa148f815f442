"""What prefills that begin take from a prefix cache: what a cache hit is, live and at the end of a run."""

from __future__ import annotations

from scheduler.core.request_table import RequestTable
from scheduler.protocol.messages import PrefillStepped


def begun_tokens(table: RequestTable, message: PrefillStepped) -> tuple[int, int]:
    """Prompt tokens of the prefills that begin with this message, and those of them that are not computed because a
    prefix cache has them. Instances with a cache of their own tell their hits; of a pool's the table knows, from which
    the core has taken what did not come in time."""
    begun = message.started_ids
    prompt_tokens, cached_tokens = table.prompt_tokens, table.cached_tokens
    hits = message.started_cached_tokens or [cached_tokens[i] for i in begun]
    return sum([prompt_tokens[i] for i in begun]), sum(hits)
