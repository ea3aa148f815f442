"""Tokens that survive: who sends a request again, with its key, reads on where it was, whatever happened meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.http import exchange
from deploy.http.accepted import kept
from deploy.http.accepted.reading import read_accepted
from deploy.http.service import HttpService
from scheduler.protocol.messages import RequestsArrived, RunEnded
from tests.checkers.streams import Received
from tests.unit.deploy.http.held import TEXT, Client, HeldSession, read_on, settle
from tests.unit.deploy.http.served import InstantSession, make_service, served

BODY = {"prompt": "how does prefill differ from decode? " * 30, "max_tokens": 60, "ignore_eos": True}


def expected_of(body: dict[str, Any]) -> str:
    """The answer, from a service that nothing happens to."""

    async def talk(client: Client) -> str:
        async with client.post(TEXT, json=body) as answer:
            text: str = (await answer.json())["choices"][0]["text"]
            return text

    return served(talk, InstantSession())


def num_arrived(session: InstantSession) -> int:
    return sum(isinstance(message, RequestsArrived) for message in session.told)


def on(path: Path | str, session: InstantSession) -> HttpService:
    """A process that begins to serve."""
    service = make_service(accepted_path=str(path))
    service.begin(session)
    session.is_served = True
    return service


@settings(max_examples=25)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_stream_that_breaks_anywhere_is_read_on_exactly(
    tmp_path_factory: pytest.TempPathFactory, breaks: list[int], kills: list[bool]
) -> None:
    """Its connection breaks, or the process is killed; the next one has only the file."""
    path = tmp_path_factory.mktemp("survives") / "accepted"
    received = Received(expected_of(BODY))
    session = HeldSession()
    service = on(path, session)
    for at, is_killed in zip(breaks, kills, strict=False):

        async def talk(client: Client, session: HeldSession = session, at: int = at) -> int:
            return await read_on(client, session, BODY, "one", received, num_tokens=at)

        if not received.is_over:
            assert served(talk, session, service) == 200
        if is_killed:
            session = HeldSession()
            service = on(path, session)

    async def to_the_end(client: Client) -> int:
        return await read_on(client, session, BODY, "one", received)

    if not received.is_over:
        assert served(to_the_end, session, service) == 200
    received.check_whole()


def test_who_comes_again_is_not_computed_twice(tmp_path: Path) -> None:
    session, expected = HeldSession(), expected_of(BODY)
    service = on(tmp_path / "accepted", session)

    async def talk(client: Client) -> list[str]:
        first, second, third = Received(expected), Received(expected), Received(expected)
        await read_on(client, session, BODY, "one", first, num_tokens=20)
        await settle(client)
        await read_on(client, session, BODY, "one", second, num_tokens=30)  # from the start again
        await read_on(client, session, BODY, "one", first)
        await read_on(client, session, BODY, "one", third)  # after its end
        for received in (first, third):
            received.check_whole()
        async with client.post(TEXT, json=BODY, headers={"Idempotency-Key": "other"}) as answer:
            return [(await answer.json())["choices"][0]["text"], second.text]

    async def moved(client: Client) -> list[str]:
        asked = asyncio.create_task(talk(client))
        while not asked.done():
            await asyncio.sleep(0)
            session.go(5)
        return await asked

    whole, begun = served(moved, session, service)
    assert whole == expected
    assert expected.startswith(begun)
    assert num_arrived(session) == 2
    assert session.withdrawn == []


def test_all_that_was_accepted_is_finished_by_the_next_process_and_no_more(tmp_path: Path) -> None:
    path, session = tmp_path / "accepted", HeldSession()
    service = on(path, session)

    async def talk(client: Client) -> bytes:
        bodies = [{**BODY, "seed": number, "stream": bool(number % 2)} for number in range(6)]
        asked = [asyncio.create_task(client.post(TEXT, json=body)) for body in bodies]
        while num_arrived(session) < 6:
            await asyncio.sleep(0.001)
        file = path.read_bytes()  # as a killed process leaves it: it has heard of no client that is gone
        for task in asked:
            task.cancel()
        return file

    path.write_bytes(served(talk, session, service))
    before = [known.accepted.request for known in read_accepted(path).known.values()]
    session = InstantSession()
    on(path, session)
    arrived = [message for message in session.told if isinstance(message, RequestsArrived)]
    assert [(one.prompt_tokens, one.prefixes) for one in arrived] == [
        ([request.prompt_tokens], [request.prefix]) for request in before
    ]
    assert session.core.table.num_open == 0
    assert list(session.core.table.output_tokens[:6]) == [60] * 6
    assert read_accepted(path).known == {}


def test_blocks_of_prompts_do_not_get_the_numbers_of_those_before(tmp_path: Path) -> None:
    path, session = tmp_path / "accepted", HeldSession()
    service, prompts = on(path, session), [{**BODY, "prompt": text * 400} for text in ("one and ", "another ")]
    received = [Received(expected_of(body)) for body in prompts]

    async def talk(client: Client, number: int, session: HeldSession) -> None:
        await read_on(client, session, prompts[number], f"{number}", received[number], num_tokens=1)

    served(lambda client: talk(client, 0, session), session, service)
    later = HeldSession()
    service = on(path, later)
    served(lambda client: talk(client, 1, later), later, service)
    first, second = [one.prefixes[0] for one in later.told if isinstance(one, RequestsArrived)]
    assert first
    assert second
    assert not set(first) & set(second)


def test_no_prompt_no_key_and_no_answer_is_in_the_file(tmp_path: Path) -> None:
    path, session = tmp_path / "accepted", InstantSession()
    service = on(path, session)

    async def talk(client: Client) -> str:
        headers = {"Idempotency-Key": "a-key-to-come-again", "Authorization": "Bearer a-key-of-the-service"}
        async with client.post(TEXT, json=BODY, headers=headers) as answer:
            return (await answer.json())["choices"][0]["text"]

    answer = served(talk, session, service)
    data = path.read_bytes()
    assert b"cmpl-" in data
    for secret in ("how does", "a-key", answer[:12]):
        assert secret.encode() not in data


@pytest.mark.parametrize(
    ("headers", "more", "status", "code"),
    [
        ({"Idempotency-Key": "one"}, {"max_tokens": 61}, 422, "idempotency_key_reused"),
        ({"Idempotency-Key": "one", "X-Tenant": "7"}, {}, 422, "idempotency_key_reused"),
        ({"Idempotency-Key": "one", "Last-Event-ID": "61"}, {}, 400, "invalid_header"),
        ({"Idempotency-Key": "one", "Last-Event-ID": "-1"}, {}, 400, "invalid_header"),
        ({"Idempotency-Key": "one", "Last-Event-ID": "5"}, {"stream": False}, 400, "invalid_header"),
        ({"Idempotency-Key": "k" * 256}, {}, 400, "invalid_header"),
        ({"Idempotency-Key": "two", "Last-Event-ID": "5"}, {}, 404, "answer_not_kept"),
        ({"Last-Event-ID": "5"}, {}, 400, "invalid_header"),
        ({"Idempotency-Key": "one", "X-API-Key": "another"}, {"max_tokens": 61}, 200, ""),
    ],
)
def test_what_cannot_be_meant_is_said(headers: dict[str, str], more: dict[str, Any], status: int, code: str) -> None:
    session = InstantSession()

    async def talk(client: Client) -> tuple[int, str]:
        body = {**BODY, "stream": True}
        async with client.post(TEXT, json=body, headers={"Idempotency-Key": "one"}) as answer:
            assert answer.status == 200
        async with client.post(TEXT, json={**body, **more}, headers=headers) as answer:
            error = {} if answer.status == 200 else (await answer.json())["error"]
            return answer.status, error.get("code", "")

    assert served(talk, session) == (status, code)


def test_a_request_with_a_key_is_withdrawn_when_nobody_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "RETURN_S", 0.05)
    session = HeldSession()

    async def talk(client: Client) -> list[int]:
        await read_on(client, session, BODY, "one", Received(expected), num_tokens=5)
        async with asyncio.timeout(10):
            while not session.withdrawn:
                await asyncio.sleep(0.01)
        received = Received(expected)
        await read_on(client, session, BODY, "one", received)  # and who does after that has it computed anew
        received.check_whole()
        return session.withdrawn

    expected = expected_of(BODY)
    assert served(talk, session) == [0]
    assert num_arrived(session) == 2


def test_outcomes_are_kept_in_bounded_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kept, "MAX_KEPT", 3)
    path, session = tmp_path / "accepted", InstantSession()
    service = on(path, session)

    async def talk(client: Client) -> None:
        for number in range(8):
            async with client.post(TEXT, json=BODY, headers={"Idempotency-Key": f"{number}"}) as answer:
                assert answer.status == 200

    served(talk, session, service)
    assert len(read_accepted(path).known) == 3


def test_an_answer_that_a_replay_broke_off_is_read_on_after_it(tmp_path: Path) -> None:
    received = Received(expected_of(BODY))
    session, later = HeldSession(), HeldSession()
    service = on(tmp_path / "accepted", session)

    async def talk(client: Client) -> list[int]:
        reading = asyncio.create_task(read_on(client, session, BODY, "one", received))
        while received.num_tokens < 10:
            await asyncio.sleep(0)
        service.end()
        statuses = [await reading, await read_on(client, session, BODY, "one", received)]
        assert received.errors == ["interrupted"]
        service.begin(later)
        return [*statuses, await read_on(client, later, BODY, "one", received)]

    assert served(talk, session, service) == [200, 503, 200]
    received.check_whole()


def test_a_session_that_fails_costs_time_only(tmp_path: Path) -> None:
    received = [Received(expected_of({**BODY, "seed": seed})) for seed in (1, 2)]
    session, later = HeldSession(), HeldSession()
    service = on(tmp_path / "accepted", session)

    async def talk(client: Client) -> list[int]:
        asked = [
            asyncio.create_task(read_on(client, session, {**BODY, "seed": 1}, "one", received[0])),
            asyncio.create_task(read_on(client, session, {**BODY, "seed": 2}, "", received[1])),
        ]
        while min(one.num_tokens for one in received) < 10:
            await asyncio.sleep(0)
        session.tell(RunEnded(interrupted=True))  # the core ends all that is open
        service.end(goes_on=True)
        service.begin(later)
        while not all(task.done() for task in asked):
            await asyncio.sleep(0)
            later.go(7)
        return [task.result() for task in asked]

    assert served(talk, session, service) == [200, 200]
    for one in received:
        one.check_whole()


def test_while_the_service_is_stopped_open_streams_go_on_and_no_new_one_comes() -> None:
    received = Received(expected_of(BODY))
    session = HeldSession()
    service = session.service

    async def talk(client: Client) -> tuple[list[int], list[int]]:
        reading = asyncio.create_task(read_on(client, session, BODY, "one", received, num_tokens=30))
        while received.num_tokens < 10:
            await asyncio.sleep(0)
        left = [service.stop_taking()]
        async with client.get("/ready") as ready, client.post(TEXT, json=BODY) as refused:
            statuses = [ready.status, refused.status, int(refused.headers["Retry-After"])]
        await reading
        statuses.append(await read_on(client, session, BODY, "one", received))  # it was accepted before
        left.append(service.stop_taking())
        return statuses, left

    assert served(talk, session) == ([503, 503, 5, 200], [1, 0])
    received.check_whole()


def test_a_damaged_file_is_told_and_served_from_when_it_is_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "LOOK_S", 0.0)
    path, session = tmp_path / "accepted", InstantSession()
    path.write_bytes(b"nothing of ours")
    service = on(path, session)

    async def talk(client: Client) -> tuple[int, str, int]:
        async with client.get("/ready") as ready:
            line = (await ready.json())["error"]["message"]
            status = ready.status
        path.unlink()
        async with client.post(TEXT, json=BODY) as answer:
            return status, line, answer.status

    status, line, after = served(talk, session, service)
    assert (status, after) == (503, 200)
    assert "accepted: byte 0" in line
