"""What must come of traffic through each router, told as a line of a table."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, Final
from urllib.request import urlopen

from tests.routers.processes import SERVE, Engine, engines, router
from tests.routers.traffic import (
    BLOCK_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    SHARED_TOKENS,
    Answered,
    PromptOf,
    ids_prompt,
    text_prompt,
    turn,
)

NUM_ENGINES: Final = 4
GROUPS: Final = range(7)
TURNS: Final = 4
NOTICE_S: Final = 60.0
MODEL_PLAN: Final = ("--plan", "1x16a", "--cache", "local")


def metric(engine: Engine, name: str) -> float:
    """Of a family of vLLM's names, the sum of its series, as a router reads them."""
    with urlopen(f"{engine.url}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    found = re.findall(rf"^vllm:{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)
    assert found, name
    return sum(map(float, found))


def converse(base: str, prompt_of: PromptOf = text_prompt) -> list[Answered]:
    """Turn after turn of all groups."""
    answered: list[Answered] = []
    for number in range(TURNS):
        answered += asyncio.run(turn(base, GROUPS, number, prompt_of))
    assert [one for one in answered if one.status != 200] == []
    assert {one.output_tokens for one in answered} == {OUTPUT_TOKENS}
    return answered


def hit_share(answered: Sequence[Answered]) -> float:
    """Of the prefix tokens that a group has sent before, those read from a cache."""
    again = [one for one in answered if one.turn]
    return sum(one.cached_tokens for one in again) / (SHARED_TOKENS * len(again))


def spread(served: Sequence[Engine]) -> list[int]:
    """Requests that each engine finished."""
    return [int(metric(one, "request_success_total")) for one in served]


def round_robin(folder: Path) -> str:
    """Each engine gets its part; who repeats a prefix meets it by chance."""
    with (
        engines(NUM_ENGINES, folder) as served,
        router("sglang-router", served, folder, "--policy", "round_robin") as base,
    ):
        share = hit_share(converse(base))
        finished = spread(served)
    assert finished == [len(GROUPS) * TURNS // NUM_ENGINES] * NUM_ENGINES
    return f"requests {finished}, {share:.0%} of repeated prefixes cached"


def cache_aware(folder: Path) -> str:
    """A repeated prefix lands on the engine that has it, and is read there."""
    with (
        engines(NUM_ENGINES, folder) as served,
        router("sglang-router", served, folder, "--policy", "cache_aware") as base,
    ):
        answered = converse(base)
        finished, hits = spread(served), sum(metric(one, "prefix_cache_hits_total") for one in served)
    share = hit_share(answered)
    assert share == 1.0, share
    assert hits == sum(one.cached_tokens for one in answered)
    return f"requests {finished}, {share:.0%} of repeated prefixes cached" + told_again(served)


def killed(folder: Path) -> str:
    """An engine that dies is routed around: who asks before its router has noticed may be told so, and nobody after."""
    options = ("--policy", "cache_aware", "--health-check-interval-secs", "1", "--health-failure-threshold", "1")
    with engines(NUM_ENGINES, folder) as served, router("sglang-router", served, folder, *options) as base:
        converse(base)
        served[0].kill()
        at_once = asyncio.run(turn(base, GROUPS, TURNS, text_prompt))
        wait_until_known(base, NUM_ENGINES - 1)
        before = spread(served[1:])
        converse(base)
        after = spread(served[1:])
    num_taken = sum(after) - sum(before)
    assert num_taken == len(GROUPS) * TURNS
    told = Counter(one.status for one in at_once)
    return (
        f"one of four killed: of {len(at_once)} requests at once {told[200]} answered and {len(at_once) - told[200]} "
        f"refused; once it was noticed {num_taken} of {num_taken} answered, by the other three"
    )


def wait_until_known(base: str, num_healthy: int) -> None:
    """Until the router knows so many engines to be well."""
    deadline_s, workers = monotonic() + NOTICE_S, []
    while monotonic() < deadline_s:
        with urlopen(f"{base}/workers", timeout=20) as answer:
            workers = json.load(answer)["workers"]
        if sum(one["is_healthy"] for one in workers) == num_healthy:
            return
        sleep(0.2)
    raise AssertionError(f"the router knows of {workers}")


def kv_aware(folder: Path) -> str:
    """A router that knows by KV events alone which engine has a prefix."""
    with engines(NUM_ENGINES, folder) as served:
        options = [
            "--policy",
            "kv_aware",
            "--kv-event-block-size",
            str(BLOCK_TOKENS),
            "--kv-event-model",
            MODEL,
        ]
        for one in served:
            options += ["--kv-event-source", f"{one.url}={one.events}"]
            options += ["--kv-event-replay-source", f"{one.url}={one.replay}"]
        with router("vllm-router", served, folder, *options) as base:
            answered = converse(base, ids_prompt)
            finished = spread(served)
    share = hit_share(answered)
    assert share == 1.0, share
    return f"requests {finished}, {share:.0%} of repeated prefixes cached"


def told_again(served: Sequence[Engine]) -> str:
    """Medians that each engine told at its end, beside those of a replay of what it recorded."""
    lines = [""]
    for one in served:
        found = re.search(r"TTFT p50 (\S+) ms, TPOT p50 (\S+) ms", one.said)
        assert found, one.said
        ttft_ms, tpot_ms = (float(text) for text in found.groups())
        summary = replayed(one.record)
        again = [summary[name]["p50"] * 1e3 for name in ("ttft_s", "tpot_s")]
        # To what is told of them.
        assert abs(again[0] - ttft_ms) < 0.01, (again, ttft_ms)
        assert abs(again[1] - tpot_ms) < 0.01, (again, tpot_ms)
        lines.append(
            f"    {one.record.name}: TTFT p50 {ttft_ms:.2f} ms served, {again[0]:.2f} replayed; "
            f"TPOT p50 {tpot_ms:.2f} ms served, {again[1]:.2f} replayed"
        )
    return "\n".join(lines)


def replayed(record: Path) -> Any:
    """The summary of a replay on the virtual clock."""
    command = [sys.executable, "-c", SERVE, "replay", str(record), "--tokens-per-id", str(BLOCK_TOKENS)]
    command += ["--time-unit", "ms", *MODEL_PLAN, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


PROOFS: Final = {
    "sglang-router round_robin": round_robin,
    "sglang-router cache_aware": cache_aware,
    "sglang-router, an engine dies": killed,
    "vllm-router kv_aware": kv_aware,
}


def run_all(chosen: Sequence[str]) -> None:
    """Those whose names have one of these words in them, all if there are none; each in a folder of its own."""
    for name, prove in PROOFS.items():
        if chosen and not any(word in name for word in chosen):
            continue
        with TemporaryDirectory(prefix="engines-") as folder:
            sys.stdout.write(f"{name}: {prove(Path(folder))}\n")
            sys.stdout.flush()
