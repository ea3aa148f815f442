"""`up --http` as a user has it: a real cluster, and the official client of the interface that it serves."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from openai import APIStatusError, AuthenticationError, OpenAI

from deploy.http.service import MAX_BODY_BYTES
from tests.live.standing import ROOT, SMALL, Standing

pytestmark = pytest.mark.live

KEY = "a-key-of-enough-characters"
LONG = "all that was said before. " * 100


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A cluster that serves clients with a key."""
    folder = tmp_path_factory.mktemp("http")
    (folder / "keys").write_text(f"{KEY}\n")
    cluster = Standing(folder / "run")
    cluster.run("up", "--detach", *SMALL, "--http", "127.0.0.1:0", "--http-key-file", str(folder / "keys"))
    yield cluster
    cluster.run("down")


@pytest.fixture(scope="module")
def url(standing: Standing) -> str:
    """Of the interface, as status tells it."""
    return f"http://{standing.status()['cluster']['http_address']}"


def client_of(url: str, key: str = KEY) -> Any:
    """As `Any`: what a call returns depends on its arguments, in more ways than pyright follows here."""
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30.0)


def test_an_answer_comes_whole_and_as_a_stream(url: str) -> None:
    with client_of(url) as client:
        [model] = client.models.list().data
        asked: dict[str, Any] = {
            "model": model.id,
            "messages": [{"role": "user", "content": "why?"}],
            "max_completion_tokens": 25,
        }
        whole = client.chat.completions.create(**asked)
        assert len(whole.choices[0].message.content or "") == 4 * whole.usage.completion_tokens
        *events, last = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    text = "".join(event.choices[0].delta.content or "" for event in events)
    assert text == whole.choices[0].message.content
    assert events[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.usage.completion_tokens == whole.usage.completion_tokens


def test_tokens_come_in_time_and_stages_are_told(url: str) -> None:
    with client_of(url) as client:
        body = {"ignore_eos": True, "timings": True}
        stream = client.completions.create(
            model="deepseek-r1", prompt="why?", max_tokens=40, stream=True, extra_body=body
        )
        events = [event.model_dump() for event in stream]
    due_s = [event["timings"]["at_s"] for event in events[:-1]]
    assert due_s == sorted(set(due_s))
    # Instances are ahead of the wall, and their tokens are not: none leaves before it is due.
    assert all(event["timings"]["late_s"] >= 0 for event in events[:-1])
    times = events[-1]["timings"]
    assert due_s[-1] - due_s[0] == pytest.approx(39 * times["tpot_s"], abs=1e-6)
    assert times["ttft_s"] == pytest.approx(times["queue_s"] + times["prefill_s"], abs=1e-8)


def test_a_repeated_prefix_comes_from_the_cache(url: str) -> None:
    with client_of(url) as client:
        usages = [
            client.completions.create(model="deepseek-r1", prompt=LONG + end, max_tokens=2).usage
            for end in ("so?", "and then?")
        ]
    cached = [usage.prompt_tokens_details.cached_tokens for usage in usages]
    assert cached == [0, 640]


def test_a_stream_outlives_its_instance(standing: Standing, url: str) -> None:
    asked: dict[str, Any] = {"model": "deepseek-r1", "prompt": "why?", "max_tokens": 400}
    asked |= {"extra_body": {"ignore_eos": True, "timings": True}, "timeout": 100.0}
    with client_of(url) as client:
        whole = client.completions.create(**asked).choices[0].text
        stream = iter(client.completions.create(**asked, stream=True))
        events = [next(stream) for _ in range(10)]
        for pid in reversed(standing.find(lambda line: line.startswith("ray::HostActor"))):
            os.kill(pid, signal.SIGKILL)
            time.sleep(2.0)
            if standing.status()["requests"]["retries"]:
                break
        events += stream
    assert standing.status()["requests"]["retries"] == 1
    assert "".join(event.choices[0].text for event in events) == whole
    due_s = [event.model_dump()["timings"]["at_s"] for event in events[:-1]]
    assert due_s == sorted(set(due_s))


def test_the_official_client_reads_on_where_it_was(url: str) -> None:
    asked: dict[str, Any] = {"model": "deepseek-r1", "prompt": "why?", "max_tokens": 60, "stream": True}
    headers = {"Idempotency-Key": "why"}
    with client_of(url) as client:
        texts: list[str] = []
        with client.completions.create(**asked, extra_body={"ignore_eos": True}, extra_headers=headers) as stream:
            for event in stream:
                texts.append(event.choices[0].text)
                if len(texts) == 5:
                    break
        headers["Last-Event-ID"] = str(len("".join(texts)) // 4)
        rest = client.completions.create(**asked, extra_body={"ignore_eos": True}, extra_headers=headers)
        texts += [event.choices[0].text for event in rest]
        whole = client.completions.create(**{**asked, "stream": False}, extra_body={"ignore_eos": True})
    assert "".join(texts) == whole.choices[0].text


def test_who_has_no_key_or_says_too_much_is_refused(standing: Standing, url: str) -> None:
    with client_of(url, "another-key-of-enough") as client, pytest.raises(AuthenticationError):
        client.models.list()
    request = Request(
        f"{url}/v1/completions",
        json.dumps({"prompt": "a" * MAX_BODY_BYTES}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=30)
    assert refused.value.code == 413
    assert json.load(refused.value)["error"]["code"] == "body_too_large"
    with client_of(url) as client, pytest.raises(APIStatusError) as unknown:
        client.completions.create(model="gpt-4", prompt="why?")
    assert unknown.value.status_code == 404
    with urlopen(f"{url}/health", timeout=30) as answer:
        assert answer.status == 200
    # Keys are in no process list, log, state or page.
    parts = standing.cluster()
    told = [
        Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes() for pid in parts.members
    ]
    folder = standing.folder
    told += [folder.log_path.read_bytes(), folder.state_path.read_bytes(), standing.run("status").encode()]
    assert not [one for one in told if KEY.encode() in one]


def test_an_operator_calls_by_the_admin_port_what_the_command_line_calls(standing: Standing) -> None:
    address = standing.status()["cluster"]["admin_address"]
    token = standing.folder.admin_token_path.read_text()

    def call(name: str, arguments: dict[str, Any], key: str = token) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        request = Request(f"http://{address}/admin/v1/{name}", json.dumps(arguments).encode(), headers)
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)["result"]

    assert call("fail", {"parts": ["ub/2"]}) == ["ub/2"]
    assert json.loads(standing.run("repair", "ub/2", "--json"))["failed_parts"] == []
    assert call("status", {})["phase"] == "idle"
    for name, arguments, key, status in (
        ("fail", {"parts": ["ub/9999"]}, token, 422),
        ("status", {}, "another", 401),
        ("status", {}, KEY, 401),
    ):
        with pytest.raises(HTTPError) as refused:
            call(name, arguments, key)
        assert refused.value.code == status
        refused.value.close()
    told = [
        Path(f"/proc/{pid}/{name}").read_bytes()
        for pid in standing.cluster().members
        for name in ("cmdline", "environ")
    ]
    told += [
        standing.folder.log_path.read_bytes(),
        standing.folder.state_path.read_bytes(),
        standing.run("status").encode(),
    ]
    assert not [one for one in told if token.encode() in one]


def test_requests_are_in_the_metrics(standing: Standing, url: str) -> None:
    with urlopen(Request(f"{url}/metrics", headers={"X-API-Key": KEY}), timeout=30) as answer:
        assert b"supernode" in answer.read()
    assert standing.status()["requests"]["arrived"] >= 5


def test_a_trace_is_played_by_an_outside_client(standing: Standing) -> None:
    asked = ("replay", str(ROOT / "examples" / "demo.jsonl"), "--limit", "20", "--json")
    over_http = json.loads(standing.run(*asked, "--live", "--via", "http", SUPERNODE_HTTP_KEY=KEY))
    virtual = json.loads(standing.run(*asked))
    assert over_http["requests"] == virtual["requests"]
    for name in ("prompt", "output"):
        assert over_http["tokens"][name] == virtual["tokens"][name]
    assert over_http["cache"]["hit_tokens"] > 0
    assert 0.9 < over_http["ttft_s"]["p50"] / virtual["ttft_s"]["p50"] < 3
    assert 0.9 < over_http["tpot_s"]["p50"] / virtual["tpot_s"]["p50"] < 3
    assert over_http["energy"] is None
    assert over_http["lateness"]["tokens_s"]["p50"] >= 0
    asked_again = ("--live", "--via", "http", "--warmup", "5")
    warm = json.loads(standing.run(*asked, *asked_again, SUPERNODE_HTTP_KEY=KEY))
    assert warm["warmup"]["requests"] == 5
    assert warm["requests"]["finished"] == virtual["requests"]["finished"] - 5
    line = standing.fail("replay", "trace", "--live", "--via", "http", "--plan", "4x16p+1x16d+2c", code=2)
    assert "the cluster that is up has 2x16p+1x16d+2c" in line
    line = standing.fail(*asked[:2], "--live", "--via", "http", "--policy", "round_robin", code=2)
    assert "a client cannot change that" in line
