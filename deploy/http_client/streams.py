"""One request over HTTP: sent as `POST /v1/completions` with token ids, its answer read as events come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct, field

from deploy.http_client.front import Answered, Asked
from deploy.http_client.token_ids import prompt_ids
from scheduler.core.request_table import NOT_YET
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.finish import FINISHED, FinishReason
from scheduler.protocol.messages import NO_SESSION
from scheduler.runtime.clock import Clock, wall_now_ns

PATH: Final = "/v1/completions"
CONNECT_S: Final = 30.0
SILENT_S: Final = 600.0
"""Wall seconds without a byte of an answer after which a request is given up."""

NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1e9

_REASONS: Final[Mapping[str, FinishReason]] = {
    **{reason.name.lower(): reason for reason in FinishReason},
    "busy": FinishReason.OVERLOAD,
    "context_length_exceeded": FinishReason.TOO_LONG,
}
"""By the code of an error; whatever else goes wrong has interrupted the request."""


class _Choice(Struct):
    text: str = ""


class _CachedTokens(Struct):
    cached_tokens: int = 0


class _Usage(Struct):
    completion_tokens: int = 0
    prompt_tokens_details: _CachedTokens | None = None


class _Timings(Struct):
    late_s: float | None = None


class _Error(Struct):
    message: str = ""
    code: str | None = None


class _Event(Struct):
    """Fields that are not named here are skipped."""

    choices: list[_Choice] = field(default_factory=list[_Choice])
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: _Error | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode
_encode: Final = msgspec.json.Encoder().encode


class Served(Struct, frozen=True):
    """What a service says of itself: its model, and the classes that requests may ask for."""

    model: str
    class_names: tuple[str, ...] = ()


def sending_trace() -> aiohttp.TraceConfig:
    """Calls the `trace_request_ctx` of a request when its body is written: what goes before, to make the body and to
    connect, is the client's and not the service's, and in a burst each request would wait for that of all others."""

    async def on_written(_: aiohttp.ClientSession, context: Any, __: aiohttp.TraceRequestChunkSentParams) -> None:
        context.trace_request_ctx()

    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(on_written)
    return trace


class ServiceStreams:
    """Sends requests to one service, of which `served` is known; `headers` are those of all of them. `session` has a
    `sending_trace`: a request was sent when it is written to a connection that is there. `unlisted` counts requests by
    the name of their class where the service has none of that name, and is not told of it."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, served: Served, headers: Mapping[str, str], clock: Clock
    ) -> None:
        self.unlisted: Final = dict[str, int]()
        self._session = session
        self._url = f"{url}{PATH}"
        self._served = served
        self._headers = headers
        self._clock = clock
        self._run = wall_now_ns() // NS_PER_MS

    async def send(self, asked: Asked, answer: Answered) -> None:
        """Send one and note in `answer` what comes of it, to its end. `ConfigError` if the service lets nobody in."""
        body, headers = self._body(asked), self._headers_of(asked)

        def note_sent() -> None:
            if answer.sent_ns == NOT_YET:
                answer.sent_ns = self._clock.now_ns()

        posted = self._session.post(self._url, data=body, headers=headers, trace_request_ctx=note_sent)
        try:
            async with posted as response:
                if response.status == 200:
                    await self._read(response, asked, answer)
                else:
                    _refused(answer, response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            answer.problem = f"the connection was lost ({type(error).__name__})"
        has_all = answer.reason in FINISHED
        answer.ended_ns = answer.last_ns if has_all else self._clock.now_ns()

    def _body(self, asked: Asked) -> bytes:
        ids = prompt_ids(asked.prefix, asked.prompt_tokens, asked.block_tokens, asked.request_id, self._run)
        body: dict[str, Any] = {
            "model": self._served.model,
            "prompt": ids,
            "max_tokens": max(1, asked.output_tokens),
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "timings": True,
        }
        return _encode(body)

    def _headers_of(self, asked: Asked) -> dict[str, str]:
        headers = {**self._headers, "Content-Type": "application/json", "X-Tenant": str(asked.tenant)}
        if asked.class_name in self._served.class_names:
            headers["X-Request-Class"] = asked.class_name
        elif asked.class_name:
            self.unlisted[asked.class_name] = self.unlisted.get(asked.class_name, 0) + 1
        if asked.session != NO_SESSION:
            headers["X-Session-Id"] = str(asked.session)
        return headers

    async def _read(self, response: aiohttp.ClientResponse, asked: Asked, answer: Answered) -> None:
        rest = b""
        async for data in response.content.iter_any():
            now_ns = self._clock.now_ns()
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                if event.startswith(b"data: {"):
                    _take(answer, _decode(event[6:]), now_ns)
        if answer.reason is FinishReason.STOP and answer.output_tokens < asked.output_tokens:
            answer.reason = FinishReason.LENGTH
        elif answer.reason is FinishReason.INTERRUPTED and not answer.problem:
            answer.problem = "the stream ended without its usage"


def _take(answer: Answered, event: _Event, now_ns: int) -> None:
    """Note what one event tells, when it came in."""
    if event.error is not None:
        answer.reason = _REASONS.get(event.error.code or "", FinishReason.INTERRUPTED)
        answer.problem = event.error.message
        return
    if event.usage is not None:
        details = event.usage.prompt_tokens_details
        answer.reason = FinishReason.STOP
        answer.output_tokens = event.usage.completion_tokens
        answer.cached_tokens = 0 if details is None else details.cached_tokens
    if not (event.choices and event.choices[0].text):
        return
    if answer.first_ns == NOT_YET:
        answer.first_ns = now_ns
    else:
        answer.gaps_ns.append(now_ns - answer.last_ns)
    answer.last_ns = now_ns
    answer.output_tokens += 1  # until the usage tells; of an answer that is cut off, at least so many
    if event.timings is not None and event.timings.late_s is not None:
        answer.late_ns.append(round(event.timings.late_s * _NS_PER_S))


def _refused(answer: Answered, status: int, data: bytes) -> None:
    error = _error_of(data)
    if status == 401:
        raise ConfigError("the service lets in who has a key: put it into SUPERNODE_HTTP_KEY")
    answer.reason = _REASONS.get(error.code or "", FinishReason.INTERRUPTED)
    answer.problem = f"{status}: {error.message}"


def _error_of(data: bytes) -> _Error:
    try:
        return _decode(data).error or _Error("no reason was given")
    except msgspec.DecodeError:
        return _Error("an answer that is no JSON")
