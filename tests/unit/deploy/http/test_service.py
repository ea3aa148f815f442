"""What clients are answered: over real components, with nothing but the wall clock taken away."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession
from aiohttp.test_utils import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.http import event_stream
from deploy.http.errors import HttpError
from deploy.http.routes import ROUTES
from deploy.http.service import MAX_BODY_BYTES
from tests.unit.deploy.http.served import CONTEXT_TOKENS, MODEL, InstantSession, make_service, served

Client = TestClient[Any, Any]
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
KEY = "a-key-of-enough-characters"


def ask(
    path: str, body: Any, session: InstantSession | None = None, *, tenant: str = "", timings: str = ""
) -> tuple[int, Any]:
    """Status and JSON of one request."""
    headers = {"X-Tenant": tenant, "X-Timings": timings}

    async def talk(client: Client) -> tuple[int, Any]:
        async with client.post(path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    return served(talk, session or InstantSession())


def stream_of(path: str, body: dict[str, Any], session: InstantSession | None = None) -> list[Any]:
    """The events of a stream, without the last, which must be `[DONE]`."""

    async def talk(client: Client) -> str:
        async with client.post(path, json={**body, "stream": True}) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            return await answer.text()

    events = served(talk, session or InstantSession()).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def messages(text: str = "hello") -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_conversation_is_answered_whole() -> None:
    status, answer = ask(CHAT, {"model": MODEL, "messages": messages(), "max_tokens": 9, "ignore_eos": True})
    assert status == 200
    assert answer["object"] == "chat.completion"
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert len(choice["message"]["content"]) == 4 * 9
    assert choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 9
    assert usage["total_tokens"] == usage["prompt_tokens"] + 9
    assert "timings" not in answer


@pytest.mark.parametrize("seed", range(5))
def test_a_stream_says_the_same_as_a_whole_answer(seed: int) -> None:
    body = {"messages": messages(), "max_completion_tokens": 60, "seed": seed, "stop": "sea"}
    whole = ask(CHAT, body)[1]
    *events, last = stream_of(CHAT, {**body, "stream_options": {"include_usage": True}})
    deltas = [event["choices"][0]["delta"] for event in events]
    assert deltas[0]["role"] == "assistant"
    assert all("role" not in delta for delta in deltas[1:])
    text = "".join(delta.get("content", "") for delta in deltas)
    assert text == whole["choices"][0]["message"]["content"]
    reasons = [event["choices"][0]["finish_reason"] for event in events]
    assert reasons == [None] * (len(events) - 1) + [whole["choices"][0]["finish_reason"]]
    assert all(event["usage"] is None for event in events)
    assert last["choices"] == []
    assert last["usage"] == whole["usage"]
    assert len({event["id"] for event in [*events, last]}) == 1


def test_a_repeated_prefix_is_read_from_the_cache() -> None:
    session = InstantSession()
    long = "all that was said before. " * 100
    first = ask(TEXT, {"prompt": long, "max_tokens": 2}, session)[1]["usage"]
    again = ask(TEXT, {"prompt": long + "and one thing more", "max_tokens": 2}, session)[1]["usage"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    whole_blocks = first["prompt_tokens"] // 128 * 128
    assert again["prompt_tokens_details"]["cached_tokens"] == whole_blocks


def test_another_tenant_finds_nothing_in_the_cache() -> None:
    session = InstantSession()
    body = {"prompt": "all that was said before. " * 100, "max_tokens": 2}
    cached = [
        ask(TEXT, body, session, tenant=tenant)[1]["usage"]["prompt_tokens_details"]["cached_tokens"]
        for tenant in ("red", "blue", "red")
    ]
    assert cached[0] == cached[1] == 0
    assert cached[2] > 0


def test_timings_are_told_on_demand_and_add_up() -> None:
    body = {"prompt": "hello", "max_tokens": 20, "ignore_eos": True}
    for timed in (ask(TEXT, {**body, "timings": True})[1], ask(TEXT, body, timings="1")[1]):
        times = timed["timings"]
        stages = ("queue_s", "prefill_s", "kv_transfer_s", "decode_s")
        assert sum(times[stage] for stage in stages) == pytest.approx(times["e2e_s"], abs=1e-8)
        assert times["ttft_s"] == pytest.approx(times["queue_s"] + times["prefill_s"], abs=1e-8)


def test_events_tell_when_their_tokens_were_due() -> None:
    events = stream_of(TEXT, {"prompt": "hello", "max_tokens": 20, "ignore_eos": True, "timings": True})
    due_s = [event["timings"]["at_s"] for event in events[:-1]]
    assert due_s == sorted(set(due_s))
    assert due_s[-1] - due_s[0] == pytest.approx(19 * events[-1]["timings"]["tpot_s"], abs=1e-6)


def test_one_token_is_an_answer() -> None:
    *events, end = stream_of(TEXT, {"prompt": "hello", "max_tokens": 1})
    assert len(events) == 1
    assert end["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (CHAT, {"messages": messages(), "model": "gpt-4"}, 404, "model"),
        (CHAT, {"messages": messages(), "n": 2}, 400, "n"),
        (CHAT, {"messages": []}, 422, "messages"),
        (CHAT, {}, 422, "messages"),
        (CHAT, {"messages": messages(), "max_tokens": "9"}, 422, "max_tokens"),
        (CHAT, {"messages": messages(), "max_tokens": 0}, 422, "max_tokens"),
        (CHAT, {"messages": messages(), "stream": 1}, 422, "stream"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages"),
        (TEXT, {"prompt": ["a", "b"]}, 400, "prompt"),
        (TEXT, {"prompt": 3}, 422, "prompt"),
        (TEXT, {"prompt": "a" * 4 * CONTEXT_TOKENS}, 400, "prompt"),
        (TEXT, {"prompt": "a", "max_tokens": CONTEXT_TOKENS}, 400, "max_tokens"),
        ("/tokenize", {}, 422, "prompt"),
    ],
)
def test_what_cannot_be_served_names_its_field(path: str, body: Any, status: int, param: str) -> None:
    got, answer = ask(path, body)
    assert (got, answer["error"]["param"]) == (status, param)
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "data", "kind", "status"),
    [
        ("GET", "/nowhere", b"", "", 404),
        ("PUT", "/v1/models", b"", "", 405),
        ("POST", TEXT, b"{}", "text/plain", 415),
        ("POST", TEXT, b'{"prompt": ', "application/json", 400),
        ("POST", TEXT, b"\xff\xfe", "application/json", 400),
        ("POST", TEXT, b"[" * 100_000, "application/json", 400),
        ("POST", TEXT, b'{"prompt": "' + b"a" * MAX_BODY_BYTES + b'"}', "application/json", 413),
    ],
)
def test_what_cannot_be_read_is_an_error_object(method: str, path: str, data: bytes, kind: str, status: int) -> None:
    async def talk(client: Client) -> tuple[int, Any]:
        headers = {"Content-Type": kind} if kind else {}
        async with client.request(method, path, data=BytesIO(data), headers=headers) as answer:
            return answer.status, await answer.json()

    got, answer = served(talk, InstantSession())
    assert got == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_a_body_is_bounded_after_decompression() -> None:
    bomb = gzip.compress(b'{"prompt": "' + b"a" * 50 * MAX_BODY_BYTES)
    assert len(bomb) < MAX_BODY_BYTES

    async def talk(client: Client) -> int:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        async with client.post(TEXT, data=bomb, headers=headers) as answer:
            return answer.status

    assert served(talk, InstantSession()) in (400, 413)


def test_fields_of_others_are_ignored() -> None:
    status, _ = ask(CHAT, {"messages": messages(), "max_tokens": 2, "temperature": 0.7, "top_k": [], "user": None})
    assert status == 200


def test_while_no_session_serves_clients_are_told_why_and_when_to_come_again() -> None:
    async def talk(client: Client) -> tuple[int, str, Any, int, int]:
        ready, health = await client.get("/ready"), await client.get("/health")
        async with client.post(TEXT, json={"prompt": "a"}) as answer:
            return answer.status, answer.headers["Retry-After"], await answer.json(), ready.status, health.status

    status, retry_after, answer, ready, health = served(talk)
    assert (status, retry_after, ready, health) == (503, "5", 503, 200)
    assert "a replay runs on this cluster" in answer["error"]["message"]


def test_only_those_with_a_key_are_let_in() -> None:
    digest = sha256(KEY.encode()).hexdigest()

    async def talk(client: Client) -> list[int]:
        tried = ({}, {"Authorization": "Bearer no"}, {"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY})
        statuses: list[int] = []
        for headers in tried:
            async with client.get("/v1/models", headers=headers) as answer:
                statuses.append(answer.status)
                assert KEY not in await answer.text()
        async with client.get("/health") as answer, client.get("/metrics") as closed:
            return [*statuses, answer.status, closed.status]

    service = make_service(key_digests=(digest,))
    assert served(talk, InstantSession(), service) == [401, 401, 200, 200, 200, 401]


@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_leaves_takes_its_request_with_it(streams: bool) -> None:
    session = InstantSession(stands=True)

    async def talk(client: Client) -> None:
        body = {"prompt": "a", "stream": streams}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), client.post(TEXT, json=body):
                pass
        async with asyncio.timeout(10):
            while not session.withdrawn:
                await asyncio.sleep(0.01)

    served(talk, session)
    assert session.withdrawn == [0]


def test_a_client_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "SLOW_S", 0.2)
    body = json.dumps({"prompt": "a", "max_tokens": 5000, "ignore_eos": True, "stream": True}).encode()
    head = f"POST {TEXT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    async def talk(client: Client) -> int:
        loop, got = asyncio.get_running_loop(), 0
        with socket.socket() as quiet:
            quiet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            quiet.setblocking(False)
            await loop.sock_connect(quiet, (client.host, client.port))
            await loop.sock_sendall(quiet, head.encode() + body)
            await asyncio.sleep(1.0)
            with suppress(ConnectionError):
                async with asyncio.timeout(20):
                    while piece := await loop.sock_recv(quiet, 65536):
                        got += len(piece)
            return got

    whole = len("".join(map(json.dumps, stream_of(TEXT, json.loads(body)))))
    assert served(talk, InstantSession()) < whole


def test_when_the_session_ends_who_waits_is_told() -> None:
    session, service = InstantSession(stands=True), make_service()

    async def talk(client: Client) -> tuple[int, Any]:
        asked = asyncio.create_task(client.post(TEXT, json={"prompt": "a", "stream": True}))
        while not session.told:
            await asyncio.sleep(0.01)
        service.end()
        async with await asked as answer:
            return answer.status, await answer.json()

    status, answer = served(talk, session, service)
    assert status == 503
    assert answer["error"]["code"] == "interrupted"


def test_the_document_is_of_what_is_served() -> None:
    async def talk(client: Client) -> Any:
        async with client.get("/openapi.json") as answer:
            return await answer.json()

    document = served(talk)
    routes = {(r.method, r.resource.canonical) for r in make_service().application().router.routes() if r.resource}
    told = {(method.upper(), path) for path, one in document["paths"].items() for method in one}
    assert (
        told == {(method, path) for method, path in routes if method != "HEAD"} == {(r.method, r.path) for r in ROUTES}
    )
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])


def test_metrics_are_those_of_the_exporter() -> None:
    async def talk(client: Client) -> str:
        async with client.get("/metrics") as answer:
            return await answer.text()

    assert served(talk) == "/metrics\n"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ["prompt", "messages", "model", "max_tokens", "max_completion_tokens", "min_tokens", "stream", "stop", "n", "seed",
     "ignore_eos", "stream_options", "timings"]
)  # fmt: skip
MALFORMED = {200, 400, 404, 413, 422}


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from([CHAT, TEXT, "/tokenize"]),
    body=st.dictionaries(fields, values, max_size=6) | values,
    is_good_otherwise=st.booleans(),
)
def test_no_body_is_an_error_of_ours(path: str, body: Any, is_good_otherwise: bool) -> None:
    if is_good_otherwise and isinstance(body, dict):
        body = {"prompt": "a", "messages": messages(), "max_tokens": 3, **body}

    async def talk(client: Client) -> tuple[int, str]:
        data = json.dumps(body).encode()
        async with client.post(path, data=data, headers={"Content-Type": "application/json"}) as answer:
            return answer.status, await answer.text()

    status, text = served(talk, InstantSession())
    assert status in MALFORMED, text
    assert "Traceback" not in text


def test_an_error_says_when_to_come_again_in_whole_seconds() -> None:
    assert HttpError(503, "later", retry_after_s=0.2).response().headers["Retry-After"] == "1"


def test_a_service_that_ends_tells_who_still_waits_and_listens_no_more() -> None:
    session = InstantSession(stands=True)
    service = make_service(port=0)

    async def run() -> tuple[int, str, bool]:
        url = f"http://{await service.start()}{TEXT}"
        service.begin(session)
        async with ClientSession() as client:
            asked = asyncio.create_task(client.post(url, json={"prompt": "a"}))
            while not session.told:
                await asyncio.sleep(0.01)
            assert service.stop_taking() == 1
            await service.close()
            async with await asked as answer:
                code = (await answer.json())["error"]["code"]
            with pytest.raises(ClientConnectionError):
                await client.post(url, json={"prompt": "a"})
            return answer.status, code, service.stop_taking() == 0

    assert asyncio.run(run()) == (503, "interrupted", True)
