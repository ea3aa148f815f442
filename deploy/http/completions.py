"""One completion from its body to its answer: what it asks for, its place in the session, what comes of it."""

from __future__ import annotations

from itertools import count
from typing import Final

from aiohttp import web

from deploy.http.answers import Answer, make_answer
from deploy.http.bodies import ChatBody, CompletionBody, GenerationBody
from deploy.http.callers import Caller, caller_of
from deploy.http.errors import HttpError
from deploy.http.event_stream import write_stream
from deploy.http.exchange import Exchange, Ticket
from deploy.http.outcomes import finish_reason, refusal
from deploy.http.prompts import BlockNumbers, Prompt
from deploy.http.replies import CHAT, TEXT, Events, Reply, Shape, whole
from deploy.http.spec import HttpSpec
from deploy.http.text_tokens import TextTokens, prompt_of
from deploy.http.tracing import RequestTrace, Tracing
from scheduler.gateway.gateway_source import ClientRequest
from scheduler.runtime.clock import NS_PER_S, wall_now_ns


class Completions:
    """Answers both kinds of completions; `exchange` must be open, `tokens` are those of its texts. Requests are traced
    if there is a `tracing`."""

    def __init__(self, spec: HttpSpec, exchange: Exchange, tokens: TextTokens, tracing: Tracing | None = None) -> None:
        self._spec: Final = spec
        self._exchange: Final = exchange
        self._tokens: Final = tokens
        self._tracing: Final = tracing
        self._blocks: Final = BlockNumbers()
        self._numbers: Final = count()
        # So that ids of one service are not those of the one before it.
        self._born: Final = f"{wall_now_ns():x}"

    async def chat(self, request: web.Request, body: ChatBody) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        self._check(body)
        return await self._answer(request, body, await prompt_of(self._tokens, body), CHAT)

    async def text(self, request: web.Request, body: CompletionBody) -> web.StreamResponse:
        """POST /v1/completions."""
        self._check(body)
        return await self._answer(request, body, await prompt_of(self._tokens, body), TEXT)

    def _check(self, body: GenerationBody) -> None:
        if body.model is not None and body.model != self._spec.model:
            line = f"no such model: {body.model:.100}; served: {self._spec.model}"
            raise HttpError(404, line, "model_not_found", param="model")
        if body.n not in (None, 1):
            raise HttpError(400, f"n: {body.n} answers in one request; give 1", "unsupported", param="n")

    async def _answer(
        self, request: web.Request, body: GenerationBody, prompt: Prompt, shape: Shape
    ) -> web.StreamResponse:
        began_ns = wall_now_ns()
        caller = caller_of(request.headers)
        answer = make_answer(prompt, body, self._room(prompt, body), self._spec.seed, self._tokens.words)
        number = next(self._numbers)
        request_id = f"{shape.id_prefix}{self._born}-{number}"
        reply = Reply(request_id, wall_now_ns() // NS_PER_S, self._spec.model, prompt.num_tokens)
        timings = bool(body.timings) or caller.wants_timings
        ticket = self._submit(prompt, answer, caller, wants_tokens=bool(body.stream))
        arrived_ns = wall_now_ns()
        try:
            if body.stream:
                events = Events(reply, shape, includes_usage=body.includes_usage, timings=timings)
                return await write_stream(request, ticket, answer, events, self._exchange)
            outcome = await ticket.ended()
            if (error := refusal(outcome)) is not None:
                raise error
            text = answer.text(0, outcome.output_tokens)
            document = whole(reply, shape, text, finish_reason(outcome, answer), outcome, timings=timings)
            return web.json_response(document)
        finally:
            self._exchange.leave(ticket)
            if self._tracing is not None:
                traced = RequestTrace(
                    shape.operation,
                    request.path,
                    reply.request_id,
                    self._spec.model,
                    began_ns,
                    arrived_ns,
                    prompt.num_tokens,
                    body.most_tokens,
                    bool(body.stream),
                )
                reason = "" if ticket.outcome is None else finish_reason(ticket.outcome, answer)
                self._tracing.record(request.headers, traced, ticket.outcome, reason)

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

    def _submit(self, prompt: Prompt, answer: Answer, caller: Caller, *, wants_tokens: bool) -> Ticket:
        request = ClientRequest(
            prompt.num_tokens,
            answer.num_tokens,
            self._blocks.prefix(prompt),
            caller.tenant,
            caller.class_name,
            caller.session,
            wants_tokens,
        )
        return self._exchange.submit(request)
