"""How many streams, and how many requests a second, the HTTP service takes before its tokens are late.

On a cluster of its own, without MTP, so that a step brings one token to each stream: 24 to 45 a second. Load is doubled
until the 99th percentile of lateness, as the service tells it, passes `LATE_MS`. Clients and service share the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp
import numpy as np

from tests.bench.http_streams import measure, read_stream

LATE_MS: Final = 20.0
STREAMS: Final = (32, 64, 128, 256, 512, 1024)
REQUESTS_PER_S: Final = (25, 50, 100, 200, 400, 800)
RATE_S: Final = 5.0
SHORT_TOKENS: Final = 4
PLAN: Final = "2x16p+1x16d+2c"

Step = tuple[int, float]
"""A load, and the 99th percentile of lateness in ms under it."""


@contextmanager
def served(supernode: str) -> Generator[str]:
    """The address of a service while the body runs; its cluster has a runtime folder of its own."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "bench.yaml"
        config.write_text("mtp: false\n")
        environment = os.environ | {"SUPERNODE_RUNTIME_DIR": f"{folder}/run"}

        def run(*arguments: str) -> str:
            command = [supernode, *arguments]
            return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout

        listening = ("--metrics-port", "0", "--http", "127.0.0.1:0")
        run("up", "--detach", "--plan", PLAN, "--config", str(config), *listening)
        try:
            yield f"http://{json.loads(run('status', '--json'))['cluster']['http_address']}"
        finally:
            run("down")


async def late_at_rate_ms(url: str, requests_per_s: int) -> float:
    """The 99th percentile of lateness of short streams that come at a rate."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        num_requests = int(RATE_S * requests_per_s)
        told = await asyncio.gather(
            *(read_stream(session, url, n, SHORT_TOKENS, n / requests_per_s) for n in range(num_requests))
        )
    return 1e3 * float(np.percentile([row[2] for rows in told for row in rows], 99))


def late_with_streams_ms(url: str, num_streams: int) -> float:
    """The same of so many long streams at once."""
    return asyncio.run(measure(url, num_streams))["service_p99_ms"]


def climb(loads: Sequence[int], late_ms: Callable[[int], float]) -> tuple[int, list[Step]]:
    """The largest load before the first that makes tokens late, 0 if there is none, and all steps that were taken."""
    steps: list[Step] = []
    for load in loads:
        steps.append((load, late_ms(load)))
        if steps[-1][1] > LATE_MS:
            break
    return max((load for load, late in steps if late <= LATE_MS), default=0), steps


def http_capacity(supernode: str) -> dict[str, tuple[int, list[Step]]]:
    """By what is counted: streams at once, and short requests a second."""
    with served(supernode) as url:
        return {
            "streams": climb(STREAMS, lambda num: late_with_streams_ms(url, num)),
            "requests a second": climb(REQUESTS_PER_S, lambda rate: asyncio.run(late_at_rate_ms(url, rate))),
        }
