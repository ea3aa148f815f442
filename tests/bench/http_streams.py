"""How late tokens leave the HTTP service of a cluster that is up: python -m tests.bench.http_streams URL [STREAMS].

Asks for streams with timings: each event tells the emulated time at which its tokens were due, and how late they left
the service. Clocks of client and service differ by a constant, which is found as the least of what an event took, so
that the client's own lateness can be told as well.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

import aiohttp
import numpy as np

STREAMS: Final = 128
TOKENS: Final = 400
STAGGER_S: Final = 0.005


async def read_stream(
    session: aiohttp.ClientSession, url: str, number: int, num_tokens: int = TOKENS, begin_s: float | None = None
) -> list[tuple[float, float, float, int]]:
    """(received on this clock, due in emulated time, late at the service, tokens), in s, of each event."""
    body = {"prompt": f"{number} " * 40, "max_tokens": num_tokens, "ignore_eos": True, "stream": True, "timings": True}
    await asyncio.sleep(number * STAGGER_S if begin_s is None else begin_s)
    rows: list[tuple[float, float, float, int]] = []
    async with session.post(f"{url}/v1/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            now_s = time.monotonic()
            if not line.startswith(b"data: {"):
                continue
            event: dict[str, Any] = json.loads(line[6:])
            if event["choices"][0]["finish_reason"] is None:
                timings, text = event["timings"], event["choices"][0]["text"]
                rows.append((now_s, timings["at_s"], timings["late_s"], len(text) // 4))
    assert sum(row[3] for row in rows) == num_tokens
    return rows


async def measure(url: str, num_streams: int) -> dict[str, float]:
    """Lateness in ms, and rates, of all streams together."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        told = await asyncio.gather(*(read_stream(session, url, number) for number in range(num_streams)))
    rows = np.array([row for rows in told for row in rows])
    received_s, due_s, late_s = rows[:, 0], rows[:, 1], rows[:, 2]
    client_ms = 1e3 * (received_s - due_s - np.min(received_s - due_s - late_s))
    service_ms = 1e3 * late_s
    span_s = float(due_s.max() - due_s.min())
    return {
        "streams": num_streams,
        "tokens_per_s_and_stream": TOKENS / float(np.median([rows[-1][1] - rows[0][1] for rows in told])),
        "events_per_s": len(rows) / span_s,
        "service_p50_ms": float(np.percentile(service_ms, 50)),
        "service_p99_ms": float(np.percentile(service_ms, 99)),
        "service_max_ms": float(service_ms.max()),
        "client_p50_ms": float(np.percentile(client_ms, 50)),
        "client_p99_ms": float(np.percentile(client_ms, 99)),
    }


def main() -> None:
    """The command."""
    url = sys.argv[1]
    num_streams = int(sys.argv[2]) if len(sys.argv) > 2 else STREAMS
    for name, value in asyncio.run(measure(url, num_streams)).items():
        print(f"{name:<26} {value:10.2f}")


if __name__ == "__main__":
    main()
