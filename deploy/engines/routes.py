"""What an engine serves: the routes of a vLLM server, and those by which SGLang's router asks what a worker is."""

from __future__ import annotations

from typing import Final

from deploy.http.routes import ROUTES, Route

_GENERATES: Final = ("chat", "text", "models", "tokenize")
"""Of the interface of a whole system, those that an engine has too and answers in the same way."""

TEXT_TYPE: Final = "text/plain"

ENGINE_ROUTES: Final = (
    *[route for route in ROUTES if route.name in _GENERATES],
    Route("GET", "/health", "health", "200 while requests are taken.", is_open=True, statuses=(200, 503)),
    Route("GET", "/ping", "health", "As /health.", is_open=True, statuses=(200, 503)),
    Route("POST", "/ping", "health", "As /health.", is_open=True, statuses=(200, 503)),
    Route("GET", "/health_generate", "health", "As /health.", is_open=True, statuses=(200, 503)),
    Route("GET", "/version", "version", "The version of this program."),
    Route("GET", "/load", "load", "How many requests are open."),
    Route("GET", "/get_load", "loads", "Requests and tokens, as SGLang tells them."),
    Route(
        "GET",
        "/metrics",
        "metrics",
        "Metrics under the names of vLLM, as Prometheus reads them.",
        media_types=(TEXT_TYPE, "application/openmetrics-text"),
    ),
    *[
        Route("GET", path, name, summary)
        for path, name, summary in (
            ("/server_info", "server_info", "What this engine is."),
            ("/get_server_info", "server_info", "What this engine is, under SGLang's older path."),
            ("/model_info", "model_info", "What it serves."),
            ("/get_model_info", "model_info", "What it serves, under SGLang's older path."),
        )
    ],
    Route("POST", "/reset_prefix_cache", "reset_prefix_cache", "Empty the prefix cache."),
    Route("POST", "/flush_cache", "reset_prefix_cache", "As /reset_prefix_cache, under SGLang's path."),
    Route("POST", "/sleep", "sleep", "Take no more requests, and let go of the weights.", statuses=(200, 400, 503)),
    Route("POST", "/wake_up", "wake_up", "Load the weights again, and take requests."),
    Route("GET", "/is_sleeping", "is_sleeping", "Whether it sleeps."),
)
"""One operation may have several paths, as it has with those whose place this takes."""
