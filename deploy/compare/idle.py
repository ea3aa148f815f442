"""Why a variant attains the SLO at no rate: which limits its requests miss when nothing else is in their way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from msgspec import Struct, to_builtins

from deploy.hardware.quantities import quantity
from deploy.settings.settings import Settings
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo, meets


class Misses(Struct, frozen=True):
    """Requests of one run that missed each limit of the run, whatever their class has; `unfinished` met none.

    `prompt_tokens`: no request with a longer prompt met the limit on TTFT; None where all did.
    """

    requests: int
    ttft: int
    tpot: int
    e2e: int
    unfinished: int
    prompt_tokens: int | None


def count_misses(slo: Slo, records: Records) -> Misses:
    """Limit by limit; a request that misses several counts in each."""
    finished = records.is_finished

    def missed(limits: Slo) -> int:
        return int(np.count_nonzero(finished & ~meets(limits, records)))

    slow = finished & ~meets(Slo(ttft_s=slo.ttft_s), records)
    quick = records.prompt_tokens[finished & ~slow]
    return Misses(
        requests=records.num_requests,
        ttft=int(np.count_nonzero(slow)),
        tpot=missed(Slo(tpot_s=slo.tpot_s)),
        e2e=missed(Slo(e2e_s=slo.e2e_s)),
        unfinished=int(np.count_nonzero(~finished)),
        prompt_tokens=(int(quick.max()) if len(quick) else 0) if slow.any() else None,
    )


def idle_lines(misses: Misses, settings: Settings) -> list[str]:
    """What fails at a rate at which nothing waits, and what would help; a line for each limit that is missed."""
    slo, lines = settings.requests.slo or Slo(), list[str]()
    supernodes = settings.hardware.plan.supernodes
    prefill_npus = _sizes(size for one in supernodes for size in (*one.prefill_npus, *one.aggregated_npus))
    decode_npus = _sizes(size for one in supernodes for size in (*one.decode_npus, *one.aggregated_npus))
    of_all = f"of {misses.requests:,} requests"
    if misses.ttft and slo.ttft_s is not None:
        limit = quantity(slo.ttft_s, "s")
        lines.append(
            f"{misses.ttft:,} {of_all} need more than {limit} to the first token even when nothing waits: no prompt "
            f"above {misses.prompt_tokens:,} tokens is quicker on {prefill_npus} NPUs; larger prefill instances help"
        )
    if misses.tpot and slo.tpot_s is not None:
        lines.append(
            f"{misses.tpot:,} {of_all} have a TPOT above {quantity(slo.tpot_s, 's')} even when nothing waits, on "
            f"{decode_npus} NPUs; larger decode instances help"
        )
    if misses.e2e and slo.e2e_s is not None:
        lines.append(
            f"{misses.e2e:,} {of_all} take longer than {quantity(slo.e2e_s, 's')} in all even when nothing waits: "
            "their outputs are too long for that limit"
        )
    if misses.unfinished:
        lines.append(f"{misses.unfinished:,} {of_all} do not finish at all (rejected, failed or timed out)")
    return lines or ["requests miss the limits of their classes even when nothing waits"]


def idle_document(misses: Misses, settings: Settings) -> dict[str, Any]:
    """The same as plain values."""
    return {**to_builtins(misses), "reasons": idle_lines(misses, settings)}


def _sizes(npus: Iterable[int]) -> str:
    """NPUs of the instances of a stage, such as 16 or 16 to 32."""
    sizes = sorted(set(npus))
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
