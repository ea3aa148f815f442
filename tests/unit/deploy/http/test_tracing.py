"""Spans of requests, as a receiver of OTLP gets them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.http.tracing import Tracing
from scheduler.protocol.errors import ConfigError
from scheduler.runtime.clock import wall_now_ns
from tests.unit.deploy.http.served import MODEL, InstantSession, make_service, served

Client = TestClient[Any, Any]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STAGES = ["queue", "prefill", "kv_transfer", "decode"]


class Receiver:
    """Takes spans by OTLP/HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []

    async def start(self) -> str:
        """Its URL."""
        application = web.Application()
        application.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/traces"

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            self.resources.append(attributes_of(resource.resource))
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")


def attributes_of(holder: Any) -> dict[str, Any]:
    """Of a span or resource; lists as lists."""
    found: dict[str, Any] = {}
    for one in holder.attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = [each.string_value for each in value.values] if kind == "array_value" else value
    return found


def traced(talk: Callable[[Client], Awaitable[Any]], session: InstantSession | None = None) -> Receiver:
    """What a receiver gets of what is said to a service."""
    receiver = Receiver()

    async def run() -> None:
        url = await receiver.start()
        service = make_service(traces_url=url)
        one = session or InstantSession()

        def talk_to_it() -> None:
            served(talk, one, service)
            assert service._tracing is not None
            service._tracing.close()

        await asyncio.to_thread(talk_to_it)
        await receiver.stop()

    asyncio.run(run())
    return receiver


def ask(body: dict[str, Any], path: str = "/v1/chat/completions", **headers: str) -> Callable[[Client], Awaitable[Any]]:
    """One request, read to its end."""

    async def talk(client: Client) -> None:
        async with client.post(path, json=body, headers=headers) as answer:
            await answer.read()

    return talk


CHAT = {"messages": [{"role": "user", "content": "why?"}], "max_tokens": 12, "ignore_eos": True}


@pytest.mark.parametrize("streams", [True, False])
def test_a_request_is_a_span_and_its_stages_are_spans_within_it(streams: bool) -> None:
    before_ns = wall_now_ns()
    receiver = traced(ask({**CHAT, "stream": streams}, traceparent=PARENT))
    spans = {span.name: span for span in receiver.spans}
    assert len(spans) == len(receiver.spans) == 1 + len(STAGES)
    server = spans[f"chat {MODEL}"]
    assert server.kind == server.SPAN_KIND_SERVER
    assert server.trace_id.hex() == PARENT.split("-")[1]
    assert server.parent_span_id.hex() == PARENT.split("-")[2]
    told = attributes_of(server)
    assert told.pop("gen_ai.response.id").startswith("chatcmpl-")
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "supernode",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.request.stream": streams,
        "gen_ai.request.max_tokens": 12,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
    }
    at_ns = spans["queue"].start_time_unix_nano
    assert before_ns < server.start_time_unix_nano <= at_ns < wall_now_ns()
    for name in STAGES:  # one after another, in emulated time, which this session does not wait for
        stage = spans[name]
        assert (stage.trace_id, stage.parent_span_id) == (server.trace_id, server.span_id)
        assert stage.start_time_unix_nano == at_ns
        at_ns = stage.end_time_unix_nano
    assert spans["decode"].end_time_unix_nano - spans["decode"].start_time_unix_nano > 10_000_000
    assert receiver.resources[0]["service.name"] == "supernode"


def test_stages_are_as_long_as_timings_tell() -> None:
    times: dict[str, float] = {}

    async def talk(client: Client) -> None:
        async with client.post("/v1/completions", json={"prompt": "why?", "max_tokens": 9, "timings": True}) as answer:
            times.update((await answer.json())["timings"])

    spans = {span.name: span for span in traced(talk).spans}
    for name in STAGES:
        length_s = (spans[name].end_time_unix_nano - spans[name].start_time_unix_nano) / 1e9
        assert length_s == pytest.approx(times[f"{name}_s"], abs=1e-6)  # the wall's ns do not fit into a float
    assert f"text_completion {MODEL}" in spans


def test_who_says_that_a_trace_is_not_sampled_gets_none() -> None:
    assert not traced(ask(CHAT, traceparent=PARENT[:-1] + "0")).spans


@pytest.mark.parametrize(
    "parent", ["", "00-0-0-01", f"{PARENT}-more", "ff" + PARENT[2:], PARENT.replace("b7ad", "zzzz")]
)
def test_a_context_that_cannot_be_read_begins_a_trace(parent: str) -> None:
    [server] = [span for span in traced(ask(CHAT, traceparent=parent)).spans if span.name.startswith("chat")]
    assert not server.parent_span_id
    assert len(server.trace_id) == 16


def test_a_client_that_goes_is_an_error() -> None:
    async def talk(client: Client) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), client.post("/v1/chat/completions", json=CHAT):
                pass
        await asyncio.sleep(0.2)

    [server] = traced(talk, InstantSession(stands=True)).spans
    assert server.status.code == server.status.STATUS_CODE_ERROR
    assert attributes_of(server)["error.type"] == "cancelled"


def test_nothing_is_made_where_nobody_asked() -> None:
    assert make_service()._tracing is None


def test_without_the_packages_the_fix_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"pip install 'supernode-serve\[otel\]'"):
        Tracing("http://127.0.0.1:4318/v1/traces", "1")
