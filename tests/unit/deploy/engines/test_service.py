"""What a router asks of an engine: each route, over real components in real time."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.engines import service
from deploy.engines.engine import EngineState
from deploy.engines.served import ServedEngine
from tests.unit.deploy.engines.engines import MODEL, Client, complete, spec, with_engine
from tests.unit.deploy.http.test_tracing import Receiver

PROMPT = "the same words again and again; " * 64  # 512 tokens by the estimate: four whole blocks

COUNTED = (
    "prompt_tokens_total",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    "request_success_total",
    "generation_tokens_total",
    "time_to_first_token_seconds_count",
    "e2e_request_latency_seconds_count",
)


async def get(client: Client, path: str) -> Any:
    async with client.get(path) as answer:
        assert answer.status == 200
        return await answer.json()


async def metric(client: Client, name: str) -> float:
    """The sum of a family's series."""
    async with client.get("/metrics") as answer:
        text = await answer.text()
    values = re.findall(rf'^vllm:{name}\{{model_name="{MODEL}",engine="\d+"[^}}]*\}} (\S+)$', text, re.MULTILINE)
    assert values, name
    return sum(map(float, values))


def test_a_repeated_prefix_is_read_from_the_cache_and_counted() -> None:
    async def talk(client: Client, _: ServedEngine) -> tuple[Any, Any, dict[str, float]]:
        first, second = await complete(client, PROMPT), await complete(client, PROMPT + "and so on")
        names = (
            "prompt_tokens_total",
            "prefix_cache_queries_total",
            "prefix_cache_hits_total",
            "request_success_total",
        )
        more = ("generation_tokens_total", "time_to_first_token_seconds_count", "e2e_request_latency_seconds_count")
        return first, second, {name: await metric(client, name) for name in (*names, *more)}

    first, second, counted = with_engine(talk)
    assert first["model"] == MODEL
    cached = [one["usage"]["prompt_tokens_details"]["cached_tokens"] for one in (first, second)]
    assert cached == [0, 512]
    prompt_tokens = sum(one["usage"]["prompt_tokens"] for one in (first, second))
    assert counted == {
        "prompt_tokens_total": prompt_tokens,
        "prefix_cache_queries_total": prompt_tokens,
        "prefix_cache_hits_total": 512,
        "request_success_total": 2,
        "generation_tokens_total": 8,
        "time_to_first_token_seconds_count": 2,
        "e2e_request_latency_seconds_count": 2,
    }


def test_gauges_tell_of_open_requests() -> None:
    async def talk(client: Client, _: ServedEngine) -> tuple[float, float, Any, float]:
        asked = asyncio.create_task(complete(client, max_tokens=100_000))
        while not await metric(client, "kv_cache_usage_perc"):
            await asyncio.sleep(0.005)
        running, usage, load = await metric(client, "num_requests_running"), 0.0, await get(client, "/load")
        usage = await metric(client, "kv_cache_usage_perc")
        asked.cancel()
        while (await get(client, "/load"))["server_load"]:
            await asyncio.sleep(0.005)
        return running, usage, load, await metric(client, "num_requests_running")

    running, usage, load, after = with_engine(talk)
    assert (running, load, after) == (1, {"server_load": 1}, 0)
    assert 0 < usage < 1


@pytest.mark.parametrize("path", ["/health", "/ping", "/health_generate"])
def test_health_has_no_body(path: str) -> None:
    async def talk(client: Client, one: ServedEngine) -> list[tuple[int, bytes]]:
        seen: list[tuple[int, bytes]] = []
        for state in EngineState:
            one.engine.state = state
            async with client.get(path) as answer:
                seen.append((answer.status, await answer.read()))
        return seen

    assert with_engine(talk) == [(200, b""), (200, b""), (503, b"")]


@pytest.mark.parametrize("path", ["/server_info", "/get_server_info", "/model_info", "/get_model_info"])
def test_a_router_learns_what_is_served(path: str) -> None:
    info = with_engine(lambda client, _: get(client, path))
    assert (info["served_model_name"], info["model_path"]) == (MODEL, MODEL)


def test_models_are_those_of_the_name_that_was_given() -> None:
    models = with_engine(lambda client, _: get(client, "/v1/models"))
    assert [one["id"] for one in models["data"]] == [MODEL]


def test_the_prefix_cache_can_be_emptied() -> None:
    async def talk(client: Client, _: ServedEngine) -> list[Any]:
        seen: list[Any] = []
        for path in ("/reset_prefix_cache", "/flush_cache"):
            await complete(client, PROMPT)
            async with client.post(path) as answer:
                seen.append(await answer.json())
            again = await complete(client, PROMPT)
            seen.append(again["usage"]["prompt_tokens_details"]["cached_tokens"])
        return seen

    assert with_engine(talk) == [{"success": True}, 0, {"success": True}, 0]


def test_one_that_sleeps_takes_no_requests_and_forgets_its_cache() -> None:
    async def talk(client: Client, _: ServedEngine) -> list[Any]:
        await complete(client, PROMPT)
        seen: list[Any] = []
        for path in ("/sleep?level=1", "/wake_up"):
            async with client.post(path) as answer:
                assert answer.status == 200
            seen.append((await get(client, "/is_sleeping"))["is_sleeping"])
            async with client.post("/v1/completions", json={"prompt": PROMPT, "max_tokens": 1}) as answer:
                document = await answer.json()
                cached = document.get("usage", {}).get("prompt_tokens_details")
                seen.append((answer.status, answer.headers.get("Retry-After"), cached))
        return seen

    assert with_engine(talk) == [True, (503, "1", None), False, (200, None, {"cached_tokens": 0})]


def test_only_what_keeps_the_weights_is_offered_of_sleep() -> None:
    async def talk(client: Client, _: ServedEngine) -> int:
        async with client.post("/sleep?level=2") as answer:
            return answer.status

    assert with_engine(talk) == 400


def test_one_that_ends_sends_clients_elsewhere() -> None:
    async def talk(client: Client, one: ServedEngine) -> tuple[int, str]:
        one.engine.state = EngineState.ENDING
        async with client.post("/v1/completions", json={"prompt": "x"}) as answer:
            return answer.status, answer.headers["Retry-After"]

    assert with_engine(talk, spec()) == (503, "1")


@pytest.mark.parametrize("is_patient", [True, False])
def test_sleep_waits_for_open_requests(is_patient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_patient:
        monkeypatch.setattr(service, "MAX_SLEEP_WAIT_S", 0.01)

    async def talk(client: Client, one: ServedEngine) -> tuple[int, bool]:
        asked = asyncio.create_task(complete(client, max_tokens=2_000 if is_patient else 100_000))
        while not one.engine.num_open:
            await asyncio.sleep(0.001)
        async with client.post("/sleep") as answer:
            status, is_open = answer.status, bool(one.engine.num_open)
        asked.cancel()
        assert one.engine.state is (EngineState.ASLEEP if is_patient else EngineState.SERVING)
        return status, is_open

    assert with_engine(talk) == ((200, False) if is_patient else (503, True))


def test_its_requests_are_traced_where_somebody_asks_for_it() -> None:
    receiver = Receiver()

    async def talk(client: Client, _: ServedEngine) -> None:
        await complete(client)

    async def run() -> None:
        http = replace(spec().http, traces_url=await receiver.start())
        await asyncio.to_thread(with_engine, talk, spec(http=http))
        await receiver.stop()

    asyncio.run(run())
    assert [span.name for span in receiver.spans][-1] == f"text_completion {MODEL}"
    assert len(receiver.spans) == 5
