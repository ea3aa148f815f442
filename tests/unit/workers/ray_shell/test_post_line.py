"""The line from a host to the control plane: each envelope whole and once, in order, and a break is told."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator

import pytest
import uvloop

from workers.ray_shell.post_line import PostBox, PostLine

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets are Linux's")

ENVELOPES = [b"", b"one", bytes(range(256)) * 4096, b"last"]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Ray runs actors on uvloop, which has its own mind about Unix sockets."""
    with asyncio.Runner(loop_factory=request.param) as one:
        yield one


async def connected(box: PostBox) -> PostLine:
    await box.open()
    line = await PostLine.connect(box.name)
    assert line is not None
    return line


def test_envelopes_come_whole_and_in_order(runner: asyncio.Runner) -> None:
    async def run() -> list[bytes]:
        taken = list[bytes]()
        box = PostBox(taken.append)
        line = await connected(box)
        for envelope in ENVELOPES:
            await line.post(envelope)
        alone = len(taken)
        await asyncio.gather(*(line.post(envelope) for envelope in ENVELOPES))
        line.close()
        await box.close()
        return [*taken[:alone], *taken[alone:]]

    assert runner.run(run()) == ENVELOPES * 2


def test_a_post_returns_only_when_its_envelope_was_taken(runner: asyncio.Runner) -> None:
    async def run() -> None:
        taken = list[bytes]()
        box = PostBox(taken.append)
        line = await connected(box)
        await line.post(b"one")
        assert taken == [b"one"]
        line.close()
        await box.close()

    runner.run(run())


def test_a_break_is_told_to_who_waits_and_to_who_comes_after(runner: asyncio.Runner) -> None:
    def refuse(_: bytes) -> None:
        raise ValueError("what takes envelopes has a defect")

    def say_nothing(*_: object) -> None:
        """Of the defect."""

    async def run() -> None:
        box = PostBox(refuse)
        line = await connected(box)
        asyncio.get_running_loop().set_exception_handler(say_nothing)
        with pytest.raises(ConnectionError):
            await line.post(b"one")
        with pytest.raises(ConnectionError):
            await line.post(b"two")
        await box.close()

    runner.run(run())


def test_nobody_is_there_under_another_name(runner: asyncio.Runner) -> None:
    async def run() -> None:
        assert await PostLine.connect("") is None
        assert await PostLine.connect("supernode-nobody") is None
        box = PostBox(list[bytes]().append)
        line = await connected(box)
        await line.post(b"one")
        line.close()
        name = box.name
        await box.close()
        assert not box.name
        assert await PostLine.connect(name) is None

    runner.run(run())


def test_another_user_is_hung_up_on(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        box = PostBox(list[bytes]().append)
        await box.open()
        mine = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: mine + 1)
        line = await PostLine.connect(box.name)
        assert line is not None
        with pytest.raises(ConnectionError):
            await line.post(b"one")
        await box.close()

    runner.run(run())


def test_the_name_is_no_file(runner: asyncio.Runner) -> None:
    async def run() -> None:
        box = PostBox(list[bytes]().append)
        await box.open()
        assert not os.path.exists(box.name)
        assert not os.path.exists(f"/tmp/{box.name}")
        with socket.socket(socket.AF_UNIX) as other, pytest.raises(OSError, match="in use"):
            other.bind(f"\0{box.name}")
        await box.close()

    runner.run(run())
