"""The HTTP service: listens, lets in who may come in, and answers each route of the table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any, ClassVar, Final

from aiohttp import web

from deploy.http.bodies import ChatBody, CompletionBody, TokenizeBody, parse_body
from deploy.http.completions import Completions
from deploy.http.errors import HttpError, errors_as_objects
from deploy.http.exchange import STOPPING, Exchange, Serving
from deploy.http.keys import KeyRing
from deploy.http.listening.body_reading import read_body
from deploy.http.listening.connections import Watch
from deploy.http.listening.server import Runner
from deploy.http.prompts import BlockNumbers, chat_text
from deploy.http.routes import ROUTES, Handler, Route, openapi_document
from deploy.http.spec import HttpSpec, address_text
from deploy.http.text_tokens import text_tokens
from deploy.http.tracing import Tracing
from deploy.live.shown import Page
from scheduler.protocol.errors import ClusterError

MAX_BODY_BYTES: Final = 4 * 2**20
"""Of a body, also after decompression: the text of a million tokens."""

CLOSE_S: Final = 2.0
"""Wall seconds that clients have to read their last event when the service ends."""

DISTRIBUTION: Final = "supernode-serve"

WhyNot = Callable[[], tuple[str, float]]
"""Why no session serves now, and in how many wall seconds to ask again."""


class HttpService:
    """`start` once; `begin` and `end` enclose each session. `page` renders a path of the exporter, `blocks` number
    those of prompts."""

    routes: ClassVar[Sequence[Route]] = ROUTES

    def __init__(
        self, spec: HttpSpec, why_not: WhyNot, page: Callable[[str, str], Page], blocks: BlockNumbers | None = None
    ) -> None:
        self._spec = spec
        self._why_not = why_not
        self._page = page
        self._exchange = Exchange(spec.accepted_path, blocks)
        self._tokens = text_tokens(spec.tokenizer_path)
        self._tracing = Tracing(spec.traces_url, version(DISTRIBUTION)) if spec.traces_url else None
        self._completions = Completions(spec, self._exchange, self._tokens, self._tracing)
        self._keys = KeyRing(spec.key_digests)
        self._watch = Watch()
        self._document = openapi_document(self.routes, version(DISTRIBUTION), has_keys=bool(spec.key_digests))
        # A task that nobody holds may be collected.
        self._watching: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; returns HOST:PORT as it came out. A `ClusterError` if it cannot."""
        runner = Runner(self.application())
        await runner.setup()
        site = web.TCPSite(runner, self._spec.host, self._spec.port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            where = address_text(self._spec.host, self._spec.port)
            raise ClusterError(f"HTTP cannot be served on {where} ({error.strerror}); give another address") from error
        assert runner.server is not None
        self._runner = runner
        self._watching = asyncio.create_task(self._watch.run(runner.server))
        return address_text(self._spec.host, runner.addresses[0][1])

    async def stop(self) -> None:
        """Listen no more; whoever has an answer coming gets it first."""
        if self._watching is not None:
            self._watching.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def begin(self, session: Serving) -> None:
        """A session's clock starts."""
        self._exchange.begin(session)

    def end(self, *, goes_on: bool = False) -> None:
        """It is over; if it `goes_on`, who still waits does so for the next session."""
        self._exchange.end(goes_on=goes_on)

    @property
    def trouble(self) -> str:
        """What keeps it from taking requests, and the fix; empty if nothing does."""
        return self._exchange.trouble

    def stop_taking(self) -> int:
        """Take no new request from now on; returns how many clients still wait for an answer."""
        self._exchange.stop_taking()
        return self._exchange.num_read

    async def close(self) -> None:
        """Tell whoever still waits that it is over, let them hear it, and listen no more."""
        self._exchange.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self.stop()

    def application(self) -> web.Application:
        """All routes behind the middleware."""
        application = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        for route in self.routes:
            application.router.add_route(route.method, route.path, self._handler(route))
        return application

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Every error in one form, and no connection watched for silence while it is answered."""
        self._watch.active.add(request.protocol)
        try:
            return await errors_as_objects(request, handler)
        finally:
            self._watch.active.discard(request.protocol)

    def _handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        answer: Handler = getattr(self, route.name)

        async def handle(request: web.Request) -> web.StreamResponse:
            if not route.is_open:
                self._keys.check(request.headers)
            if route.body is None:
                return await answer(request)
            body = parse_body(route.body, await read_body(request, MAX_BODY_BYTES))
            if route.serves:
                self._refuse_if_closed()
            return await answer(request, body)

        return handle

    def _refuse_if_closed(self) -> None:
        if not self._exchange.is_open:
            line, retry_after_s = (self.trouble, 5.0) if self.trouble else self._why_not()
            raise HttpError(503, line, "not_serving", retry_after_s=retry_after_s)

    async def chat(self, request: web.Request, body: ChatBody) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        return await self._completions.chat(request, body)

    async def text(self, request: web.Request, body: CompletionBody) -> web.StreamResponse:
        """POST /v1/completions."""
        return await self._completions.text(request, body)

    async def models(self, request: web.Request) -> web.Response:
        """GET /v1/models."""
        model: dict[str, Any] = {"id": self._spec.model, "object": "model", "created": 0, "owned_by": "supernode"}
        model["max_model_len"] = self._spec.max_context_tokens
        model["request_classes"] = list(self._spec.class_names)
        return web.json_response({"object": "list", "data": [model]})

    async def tokenize(self, request: web.Request, body: TokenizeBody) -> web.Response:
        """POST /tokenize."""
        if (body.prompt is None) == (body.messages is None):
            raise HttpError(422, "give either prompt or messages", "invalid_value", param="prompt")
        text = body.prompt if body.messages is None else chat_text(body.messages)
        prompt = await self._tokens.prompt(text or "")
        answer = {
            "count": prompt.num_tokens,
            "max_model_len": self._spec.max_context_tokens,
            "tokens": prompt.ids,
            "estimated": self._tokens.estimated,
        }
        return web.json_response(answer)

    async def health(self, request: web.Request) -> web.Response:
        """GET /health."""
        return web.json_response({"status": "alive"})

    async def ready(self, request: web.Request) -> web.Response:
        """GET /ready."""
        self._refuse_if_closed()
        if self._exchange.is_stopping:
            raise HttpError(503, STOPPING, "stopping", retry_after_s=5.0)
        return web.json_response({"status": "ready"})

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics, the page of the metrics endpoint; written by a thread, as there."""
        page = await asyncio.to_thread(self._page, "/metrics", request.headers.get("Accept", ""))
        return web.Response(body=page.body, headers={"Content-Type": page.content_type})

    async def openapi(self, request: web.Request) -> web.Response:
        """GET /openapi.json."""
        return web.json_response(self._document)
