"""One completion from its body to its answer: what it asks for, its place in the session, what comes of it."""

from __future__ import annotations

from itertools import count
from typing import Final

from aiohttp import web

from deploy.http.accepted.records import Accepted
from deploy.http.accepted.resume import LAST_EVENT_HEADER, fingerprint, resumption_of
from deploy.http.answers import Answer, make_answer
from deploy.http.bodies import ChatBody, CompletionBody, GenerationBody
from deploy.http.callers import Caller, caller_of
from deploy.http.errors import HttpError
from deploy.http.event_stream import write_stream
from deploy.http.exchange import Exchange
from deploy.http.listening.body_reading import since_receipt_s
from deploy.http.outcomes import finish_reason, refusal
from deploy.http.prompts import Prompt
from deploy.http.replies import CHAT, TEXT, Events, Reply, Shape, whole
from deploy.http.spec import HttpSpec
from deploy.http.text_tokens import TextTokens, prompt_of
from deploy.http.tracing import RequestTrace, Tracing
from scheduler.gateway.gateway_source import ClientRequest
from scheduler.runtime.clock import NS_PER_S, monotonic_s, wall_now_ns


class Completions:
    """Answers both kinds of completions; `exchange` must be open, `tokens` are those of its texts. Requests are traced
    if there is a `tracing`."""

    def __init__(self, spec: HttpSpec, exchange: Exchange, tokens: TextTokens, tracing: Tracing | None = None) -> None:
        self._spec: Final = spec
        self._exchange: Final = exchange
        self._tokens: Final = tokens
        self._tracing: Final = tracing
        self._numbers: Final = count()
        # So that ids of one service are not those of the one before it.
        self._born: Final = f"{wall_now_ns():x}"
        # The first answer imports what draws it, a tenth of a second that no client should wait for.
        make_answer(Prompt("text", b""), CompletionBody(prompt="", max_tokens=1), 1, spec.seed)

    async def chat(self, request: web.Request, body: ChatBody) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        self._check(body)
        return await self._answer(request, body, CHAT)

    async def text(self, request: web.Request, body: CompletionBody) -> web.StreamResponse:
        """POST /v1/completions."""
        self._check(body)
        return await self._answer(request, body, TEXT)

    def _check(self, body: GenerationBody) -> None:
        if body.model is not None and body.model != self._spec.model:
            line = f"no such model: {body.model:.100}; served: {self._spec.model}"
            raise HttpError(404, line, "model_not_found", param="model")
        if body.n not in (None, 1):
            raise HttpError(400, f"n: {body.n} answers in one request; give 1", "unsupported", param="n")

    async def _answer(self, request: web.Request, body: ChatBody | CompletionBody, shape: Shape) -> web.StreamResponse:
        # It arrives when its last byte has come in: what is done here to read it is no part of what is emulated.
        received_s = monotonic_s() - since_receipt_s(request)
        prompt = await prompt_of(self._tokens, body)
        caller = caller_of(request.headers, self._spec.class_names)
        resumption = resumption_of(request.headers, streams=bool(body.stream))
        answer = make_answer(prompt, body, self._room(prompt, body), self._spec.seed, self._tokens.words)
        if resumption.num_tokens > answer.num_tokens:
            line = f"{LAST_EVENT_HEADER} is {resumption.num_tokens}, and the answer has {answer.num_tokens} tokens"
            raise HttpError(400, line, "invalid_header")
        asked = self._request(prompt, answer, caller, wants_tokens=bool(body.stream))
        digest = fingerprint(shape.kind, caller[:3], body.model_dump_json()) if resumption.key else b""
        request_id = f"{shape.id_prefix}{self._born}-{next(self._numbers)}"
        made = Accepted(request_id, wall_now_ns() // NS_PER_S, resumption.key, digest, asked)
        ago_s = monotonic_s() - received_s
        reader = self._exchange.take(made, resumption.num_tokens, ago_s)
        accepted = reader.ticket.accepted
        received_ns = wall_now_ns() - int(ago_s * NS_PER_S)
        # One that came before had its stages then.
        arrived_ns = received_ns if accepted is made else None
        try:
            reply = Reply(accepted.request_id, accepted.created_s, self._spec.model, prompt.num_tokens)
            timings = bool(body.timings) or caller.wants_timings
            if body.stream:
                events = Events(
                    reply,
                    shape,
                    includes_usage=body.includes_usage,
                    timings=timings,
                    ids=bool(resumption.key),
                    is_resumed=resumption.num_tokens > 0,
                )
                return await write_stream(request, reader, answer, events, self._exchange)
            outcome = await reader.ended()
            if (error := refusal(outcome)) is not None:
                raise error
            text = answer.text(0, outcome.output_tokens)
            document = whole(reply, shape, text, finish_reason(outcome, answer), outcome, timings=timings)
            return web.json_response(document)
        finally:
            self._exchange.leave(reader)
            if self._tracing is not None:
                model, route, streams = self._spec.model, request.path, bool(body.stream)
                head = shape.operation, route, accepted.request_id, model, received_ns, arrived_ns
                traced = RequestTrace(*head, prompt.num_tokens, body.most_tokens, streams)
                reason = "" if reader.outcome is None else finish_reason(reader.outcome, answer)
                self._tracing.record(request.headers, traced, reader.outcome, reason)

    def _room(self, prompt: Prompt, body: GenerationBody) -> int:
        """Tokens that an answer may have; `HttpError` 400 if the model's context has not as much as was asked for."""
        most = self._spec.max_context_tokens
        room, asked = most - prompt.num_tokens, body.most_tokens or 1
        if asked > room:
            line = (
                f"the context of the model is {most:,} tokens; the prompt has {prompt.num_tokens:,} and the answer may "
                f"have {asked:,}; make one of them shorter"
            )
            raise HttpError(400, line, "context_length_exceeded", param="max_tokens" if room > 0 else "prompt")
        return room

    def _request(self, prompt: Prompt, answer: Answer, caller: Caller, *, wants_tokens: bool) -> ClientRequest:
        return ClientRequest(
            prompt.num_tokens,
            answer.num_tokens,
            self._exchange.blocks.prefix(prompt),
            caller.tenant,
            caller.class_name,
            caller.session,
            wants_tokens,
        )
