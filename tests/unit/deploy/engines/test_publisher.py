"""KV events over real sockets: a subscriber hears each batch in order, and may ask for those that it missed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio
from msgspec import msgpack

from deploy.engines import publisher
from deploy.engines.publisher import KvEventsSpec, load_zmq, parse_endpoint, shift_port
from deploy.engines.served import ServedEngine
from scheduler.protocol.errors import ConfigError
from tests.unit.deploy.engines.engines import Client, complete, spec, with_engine

DEADLINE_S = 20.0
PROMPT = "abcd" * 300  # 300 tokens by the estimate: two whole blocks


async def be_heard(client: Client, socket: Any) -> int:
    """Have batches published until the subscriber hears of them, as those before its connection are lost to it;
    returns the number of the next."""
    number = num_heard = 0
    while not await socket.poll(20):
        number += 1
        await complete(client, f"{number:04}" * 128)
    while await socket.poll(200):
        _, last, _ = await socket.recv_multipart()
        num_heard = int.from_bytes(last) + 1
    return num_heard


def test_a_subscriber_hears_what_the_cache_took_and_dropped(tmp_path: Path) -> None:
    events = KvEventsSpec(f"ipc://{tmp_path}/events", f"ipc://{tmp_path}/replay", "kv@engine")

    async def talk(client: Client, _: ServedEngine) -> tuple[int, list[list[bytes]], list[list[bytes]]]:
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as socket:
            socket.subscribe(b"kv")
            socket.connect(events.endpoint)
            first, heard = await be_heard(client, socket), list[list[bytes]]()
            await complete(client, PROMPT)
            heard.append(await asyncio.wait_for(socket.recv_multipart(), DEADLINE_S))
            await complete(client, PROMPT)  # nothing is new
            async with client.post("/reset_prefix_cache") as answer:
                assert (await answer.json())["success"]
            heard.append(await asyncio.wait_for(socket.recv_multipart(), DEADLINE_S))
            with context.socket(zmq.DEALER) as asking:
                asking.connect(events.replay)
                await asking.send_multipart((b"", (first + 1).to_bytes(8)))
                again = [await asyncio.wait_for(asking.recv_multipart(), DEADLINE_S) for _ in range(2)]
            return first, heard, again

    number, heard, again = with_engine(talk, spec(kv_events=events))
    assert [one[:2] for one in heard] == [[b"kv@engine", (number + at).to_bytes(8)] for at in range(2)]
    (first, second) = (msgpack.decode(payload) for _, _, payload in heard)
    (stored,) = first[1]
    assert stored["type"] == "BlockStored"
    assert (stored["parent_block_hash"], stored["block_size"]) == (None, 128)
    assert (len(stored["block_hashes"]), len(stored["token_ids"])) == (2, 256)
    assert set(stored["token_ids"]) == {int.from_bytes(b"abcd", "little")}
    assert second[1] == [{"type": "AllBlocksCleared"}]
    assert again == [[b"", *heard[1][1:]], [b"", (-1).to_bytes(8, signed=True), b""]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.1:5557", "give tcp://HOST:PORT"),
        ("tcp://127.0.0.1", "give tcp://HOST:PORT"),
        ("tcp://127.0.0.1:x", "give tcp://HOST:PORT"),
        ("ipc://", "give tcp://HOST:PORT"),
        ("tcp://*:5557", "without a key"),
        ("tcp://0.0.0.0:5557", "without a key"),
    ],
)
def test_endpoints_that_cannot_be_or_that_anybody_reaches(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_endpoint("--kv-events", text)


def test_who_listens_elsewhere_is_connected_to_and_replays_stay_here() -> None:
    assert parse_endpoint("--kv-events", "tcp://router:5557") == "tcp://router:5557"
    with pytest.raises(ConfigError, match="without a key"):
        parse_endpoint("--kv-replay", "tcp://router:5557", binds=True)


def test_engines_count_up() -> None:
    assert [shift_port("tcp://[::1]:5557", number) for number in (0, 2)] == ["tcp://[::1]:5557", "tcp://[::1]:5559"]
    assert shift_port("ipc://x", 1) == "ipc://x.1"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(publisher, "import_module", fail)
    with pytest.raises(ConfigError, match=r"pip install 'supernode-serve\[engines\]'"):
        load_zmq()
