"""Chaos over HTTP: clients that know what each stream must contain, while processes of the cluster are killed and hang.

A client with a key sends its request again until it has the whole answer, and says each time how much it has. One
without a key counts as cut off if its connection breaks.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from deploy.http.answers import make_answer
from deploy.http.bodies import CompletionBody
from deploy.http.prompts import Prompt
from tests.checkers.streams import Received
from tests.live.standing import Standing

PATH = "/v1/completions"
AGAIN_S = 0.3
"""After which a client comes again if nobody tells it when."""

QUIET_S = 60.0
"""Without a byte; longer than any restart takes."""

CONTEXT_TOKENS = 100_000
"""More than any request here has."""


@dataclass(frozen=True)
class Storm:
    """What happens: for so many seconds a worker is killed every few, one hangs, and the control plane is killed once.

    A share of `keyed_share` of `num_clients` can come again; each asks anew when it has its answer, until it is over.
    """

    duration_s: float
    kill_every_s: float
    control_plane_at_s: float
    hang_at_s: float
    num_clients: int
    keyed_share: float = 0.75
    longest_tokens: int = 150
    seed: int = 1


@dataclass
class Seen:
    """What clients saw: answers that were whole, by how often they were sent again; and what else there was."""

    whole: Counter[int] = field(default_factory=Counter[int])
    whole_without_key: int = 0
    cut_off: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    errors: Counter[str] = field(default_factory=Counter[str])
    killed: list[str] = field(default_factory=list[str])

    def text(self) -> str:
        """For a person."""
        again = ", ".join(f"{count:,} after {times} more" for times, count in sorted(self.whole.items()) if times)
        return (
            f"{sum(self.whole.values()):,} answers with a key whole ({again or 'none sent again'}); "
            f"{self.whole_without_key:,} without a key whole, {self.cut_off} cut off; refused: {dict(self.refused)}; "
            f"errors in streams: {dict(self.errors)}; killed: {', '.join(self.killed)}"
        )


class Chaos:
    """`run` has the clients ask while the storm goes, then waits until each has its answer."""

    def __init__(self, standing: Standing, storm: Storm, model_seed: int) -> None:
        self.seen = Seen()
        self._standing = standing
        self._storm = storm
        self._model_seed = model_seed
        self._url = f"http://{standing.state().http_address}{PATH}"
        self._random = Random(storm.seed)
        self._is_over = False
        self._has_lost_control = False

    async def run(self) -> None:
        """AssertionError at the first token that is wrong, and for a request that was lost."""
        timeout = ClientTimeout(total=None, sock_read=QUIET_S)
        async with ClientSession(timeout=timeout) as http, asyncio.TaskGroup() as tasks:
            num_keyed = round(self._storm.num_clients * self._storm.keyed_share)
            for number in range(self._storm.num_clients):
                tasks.create_task(self._client(http, number, has_key=number < num_keyed))
            tasks.create_task(self._storm_on(http))

    async def _storm_on(self, http: ClientSession) -> None:
        storm, loop = self._storm, asyncio.get_running_loop()
        began_s = loop.time()
        acts = [
            (storm.hang_at_s, signal.SIGSTOP, "HostActor"),
            (storm.control_plane_at_s, signal.SIGKILL, "ControlPlane"),
        ]
        num_kills = int(storm.duration_s / storm.kill_every_s)
        acts += [(storm.kill_every_s * (1 + i), signal.SIGKILL, "HostActor") for i in range(num_kills)]
        for at_s, number, kind in sorted(acts):
            await asyncio.sleep(began_s + at_s - loop.time())
            if number is signal.SIGSTOP:  # a host that hangs while a session begins is given a minute
                await self._until_ready(http)
            await self._strike(number, kind)
        await asyncio.sleep(max(0.0, began_s + storm.duration_s - loop.time()))
        self._is_over = True

    async def _until_ready(self, http: ClientSession) -> None:
        while True:
            with suppress(ClientError):
                async with http.get(self._url.replace(PATH, "/ready")) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(AGAIN_S)

    async def _strike(self, number: signal.Signals, kind: str) -> None:
        found = await asyncio.to_thread(self._standing.find, lambda line: line.startswith(f"ray::{kind}"))
        if found:
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(found), number)
                self.seen.killed.append(f"{kind} ({number.name})")
                self._has_lost_control = self._has_lost_control or kind == "ControlPlane"

    async def _client(self, http: ClientSession, number: int, *, has_key: bool) -> None:
        turn = 0
        while not self._is_over:
            body, expected = self.ask_for(number, turn)
            await self._ask(http, body, Received(expected), f"{number}-{turn}" if has_key else "")
            turn += 1

    def ask_for(self, number: int, turn: int, num_tokens: int = 0) -> tuple[dict[str, Any], str]:
        """A request, and its answer, of some length if none is given."""
        tokens = num_tokens or self._random.randint(1, self._storm.longest_tokens)
        prompt = f"request {number} of {turn}. " * (1 + turn % 40)
        asked = {"prompt": prompt, "max_tokens": tokens, "seed": turn}
        body = CompletionBody.model_validate({**asked, "ignore_eos": True})
        answer = make_answer(Prompt("text", prompt.encode()), body, CONTEXT_TOKENS, self._model_seed)
        return {**asked, "ignore_eos": True, "stream": True}, answer.text(0, answer.num_tokens)

    async def _ask(self, http: ClientSession, body: dict[str, Any], received: Received, key: str) -> None:
        times = 0
        while not received.is_over:
            again_s, was_accepted = await self._send(http, body, received, key)
            if was_accepted and not key and not received.is_over:
                assert self._has_lost_control, f"lost without a key: {received.errors}"
                self.seen.cut_off += 1
                return
            if not received.is_over:
                times += was_accepted
                await asyncio.sleep(again_s)
        received.check_whole()
        if key:
            self.seen.whole[times] += 1
        else:
            self.seen.whole_without_key += 1
        self.seen.errors.update(received.errors)

    async def _send(
        self, http: ClientSession, body: dict[str, Any], received: Received, key: str
    ) -> tuple[float, bool]:
        """Read on as far as it goes; returns when to come again, and whether the request was accepted."""
        headers = {"Idempotency-Key": key} if key else {}
        if received.num_tokens and key:
            headers["Last-Event-ID"] = str(received.num_tokens)
        accepted = False
        try:
            async with http.post(self._url, json=body, headers=headers) as answer:
                accepted = answer.status == 200
                if not accepted:
                    error = (await answer.json())["error"]
                    assert answer.status in (429, 503), error
                    self.seen.refused[error["code"]] += 1
                    return float(answer.headers["Retry-After"]), False
                async for line in answer.content:
                    received.take(line.decode().rstrip("\n"))
        except (ClientError, ConnectionError) as error:
            self.seen.refused[type(error).__name__] += 1
        return AGAIN_S, accepted
