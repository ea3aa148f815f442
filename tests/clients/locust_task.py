"""A user of locust who reads streams: fires TTFT and TPOT, in ms, as events of their own beside the whole request.

locust -f tests/clients/locust_task.py --headless -u 8 -r 8 -t 10s --host http://127.0.0.1:8000
"""

from __future__ import annotations

import json
from time import perf_counter

from locust import HttpUser, constant, task  # pyright: ignore

NUM_TOKENS = 64
BODY = {"max_tokens": NUM_TOKENS, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}


class Reader(HttpUser):  # pyright: ignore
    """Asks again as soon as it has its answer."""

    wait_time = constant(0)

    @task  # pyright: ignore[reportUntypedFunctionDecorator]
    def read(self) -> None:
        """One stream."""
        began_s = perf_counter()
        first_s = last_s = 0.0
        num_tokens = 0
        body = {**BODY, "prompt": f"{began_s} " * 800}
        with self.client.post("/v1/completions", json=body, stream=True, name="stream", catch_response=True) as answer:
            for line in answer.iter_lines():
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                if event["choices"] and event["choices"][0]["text"]:
                    last_s = perf_counter()
                    first_s = first_s or last_s
                elif event.get("usage"):
                    num_tokens = event["usage"]["completion_tokens"]
            if num_tokens != NUM_TOKENS:
                answer.failure(f"{num_tokens} tokens of {NUM_TOKENS}")
                return
            answer.success()
        self._fire("TTFT", first_s - began_s)
        self._fire("TPOT", (last_s - first_s) / (num_tokens - 1))
        self._fire("E2E", last_s - began_s)

    def _fire(self, name: str, seconds: float) -> None:
        fire = self.environment.events.request.fire
        fire(request_type="SSE", name=name, response_time=1e3 * seconds, response_length=0, exception=None)
