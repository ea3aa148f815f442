"""What is served, as one table: the router and the OpenAPI document are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import web
from msgspec import Struct
from pydantic import BaseModel

from deploy.http.bodies import ChatBody, CompletionBody, TokenizeBody
from deploy.http.listening.body_reading import JSON_TYPE

Handler = Callable[..., Awaitable[web.StreamResponse]]
"""Takes the request and, where the route has a body, the parsed body."""


class Route(Struct, frozen=True):
    """One operation. `name` is that of the method of `Service` which answers; `answers` are its statuses.

    `body` is what it takes. One that is `open` is answered without a key, and one that `serves` needs a session.
    """

    method: str
    path: str
    name: str
    summary: str
    body: type[BaseModel] | None = None
    is_open: bool = False
    serves: bool = False
    media_types: tuple[str, ...] = (JSON_TYPE,)
    statuses: tuple[int, ...] = (200,)


_OF_BODIES: Final = (400, 408, 413, 415, 422)

ROUTES: Final = (
    Route(
        "POST",
        "/v1/chat/completions",
        "chat",
        "Answer a conversation, whole or as a stream.",
        ChatBody,
        serves=True,
        media_types=(JSON_TYPE, "text/event-stream"),
        statuses=(200, *_OF_BODIES, 404, 429, 503),
    ),
    Route(
        "POST",
        "/v1/completions",
        "text",
        "Continue a prompt, whole or as a stream.",
        CompletionBody,
        serves=True,
        media_types=(JSON_TYPE, "text/event-stream"),
        statuses=(200, *_OF_BODIES, 404, 429, 503),
    ),
    Route("GET", "/v1/models", "models", "The model that is served."),
    Route("POST", "/tokenize", "tokenize", "Count the tokens of a prompt.", TokenizeBody, statuses=(200, *_OF_BODIES)),
    Route("GET", "/health", "health", "Whether the process is alive.", is_open=True),
    Route("GET", "/ready", "ready", "Whether requests are taken now.", is_open=True, statuses=(200, 503)),
    Route(
        "GET",
        "/metrics",
        "metrics",
        "Metrics of the cluster, as Prometheus reads them.",
        media_types=("text/plain", "application/openmetrics-text"),
    ),
    Route("GET", "/openapi.json", "openapi", "This document."),
)


def openapi_document(routes: Sequence[Route], version: str, *, has_keys: bool) -> dict[str, Any]:
    """OpenAPI 3.1 of a table."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas, has_keys=has_keys)
    components: dict[str, Any] = {"schemas": schemas}
    if has_keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    info = {"title": "supernode", "version": version, "description": "An emulated AI supernode that serves a model."}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

_PURPOSES: Final = {
    200: "Done.",
    400: "The request cannot be understood, or asks for what is not offered.",
    401: "No valid key was given.",
    404: "No such model.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is not said to be application/json.",
    422: "A field has a wrong type or value.",
    429: "Too many requests are open; Retry-After tells when to come again.",
    503: "Requests are not taken now, or this one was lost; Retry-After tells when to come again.",
}


def _operation(route: Route, schemas: dict[str, Any], *, has_keys: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary}
    if route.body is not None:
        schema = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[route.body.__name__] = schema
        reference = {"$ref": f"#/components/schemas/{route.body.__name__}"}
        operation["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": reference}}}
    is_closed = has_keys and not route.is_open
    if is_closed:
        operation["security"] = [{"key": []}]
    statuses = sorted({*route.statuses, 401} if is_closed else set(route.statuses))
    operation["responses"] = {str(status): _response(route, status) for status in statuses}
    return operation


def _response(route: Route, status: int) -> dict[str, Any]:
    if status == 200:
        return {"description": _PURPOSES[status], "content": {name: {} for name in route.media_types}}
    content = {JSON_TYPE: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": _PURPOSES[status], "content": content}
