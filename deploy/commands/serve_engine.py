"""`supernode serve-engine`: emulated instances as servers of their own, for a router that is not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec.structs import replace

from deploy.cluster.ports import HTTP_PORT, LOOPBACK
from deploy.engines.kv_events import WireForm
from deploy.engines.publisher import MAX_TOPIC_CHARACTERS, KvEventsSpec, load_zmq, parse_endpoint
from deploy.hardware.notes import tell_notes
from deploy.http.spec import BLOCK_TOKENS, KEY_VARIABLE, http_spec
from deploy.http.traces_url import ENDPOINT_VARIABLE, with_traces
from deploy.settings.options import Told, setting_options, with_options
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from deploy.terminal.output import say, tell
from scheduler.protocol.errors import ConfigError

app = typer.Typer(add_completion=False)

HERE: Final = f"{LOOPBACK}:{HTTP_PORT}"
EVENTS_HERE: Final = f"tcp://{LOOPBACK}:5557"
LEFT_OUT: Final = {"--kv-events": EVENTS_HERE}
"""Options whose value may be left out, and what it is then."""

MAX_ENGINES: Final = 64
MAX_SPEED: Final = 1000.0
EXIT_INTERRUPTED: Final = 130

ENGINE_SETTINGS: Final = ("cluster", "model", "plan", "cache")
USUAL: Final = {"plan": "1x16a", "cache": "local"}
"""Settings that are other here than for a whole supernode."""

Address = Annotated[str, typer.Argument(metavar="[HOST:PORT]", help="Where it listens.")]
ServedModelName = Annotated[str | None, typer.Option(metavar="NAME", help="The model's name for clients.")]
Count = Annotated[int, typer.Option(metavar="N", help="So many engines, on ports one after the other.")]
Speed = Annotated[float, typer.Option(metavar="X", help="Emulated seconds to one on the wall.")]
KvEvents = Annotated[
    str | None, typer.Option(metavar="[ENDPOINT]", help=f"Publish KV events over ZMQ, by default on {EVENTS_HERE}.")
]
KvReplay = Annotated[str | None, typer.Option(metavar="ENDPOINT", help="Where missed KV events are asked for.")]
KvTopic = Annotated[str, typer.Option(metavar="TEXT", help="Topic of the KV events.")]
KvForm = Annotated[WireForm, typer.Option(help="How events are written: array as vLLM to 0.23, map as since.")]
Record = Annotated[str | None, typer.Option(metavar="FILE", help="Write the requests as a trace for replay.")]
KeyFile = Annotated[str | None, typer.Option(metavar="FILE", help=f"Keys of clients, one a line; or {KEY_VARIABLE}.")]
Tokenizer = Annotated[
    str | None, typer.Option(metavar="FILE", help="A tokenizer.json that counts its tokens, which else are estimated.")
]
HttpTraces = Annotated[
    str | None,
    typer.Option(metavar="URL", help=f"An OTLP/HTTP receiver of spans of requests; or as {ENDPOINT_VARIABLE} says."),
]
Grace = Annotated[float, typer.Option(metavar="S", help="Wall seconds that open requests have at the end.")]


@app.command()
@with_options(told=setting_options(ENGINE_SETTINGS))
def serve_engine(
    told: Told,
    address: Address = HERE,
    served_model_name: ServedModelName = None,
    count: Count = 1,
    speed: Speed = 1.0,
    kv_events: KvEvents = None,
    kv_replay: KvReplay = None,
    kv_topic: KvTopic = "",
    kv_form: KvForm = WireForm.MAP,
    record: Record = None,
    http_key_file: KeyFile = None,
    http_tokenizer: Tokenizer = None,
    http_traces: HttpTraces = None,
    grace: Grace = 20.0,
) -> int:
    """Serve one emulated instance as a vLLM server is served, without a scheduler in front: that is yours to bring.

    It has completions, metrics and KV events of vLLM's names and forms. Ctrl-C ends it.
    """
    # What needs an event loop is imported when it is known that there will be one.
    from deploy.engines.serve import run_on_fast_loop, serve
    from deploy.engines.served import EngineSpec, ServedEngine

    settings = told.load(USUAL)
    for option, value, lowest, highest in (("count", count, 1, MAX_ENGINES), ("speed", speed, 0.01, MAX_SPEED)):
        if not lowest <= value <= highest:
            raise ConfigError(f"--{option} is {value:g}; give a number from {lowest:g} to {highest:g}")
    if not 0 <= grace <= 3600:
        raise ConfigError(f"--grace is {grace:g}; give seconds from 0 to 3,600")
    not_real = "" if speed == 1.0 else f"spans are in real time, which --speed {speed:g} is not; leave one of them out"
    http = with_traces(http_spec(address, http_key_file, "serve-engine"), http_traces, not_real)
    if http.port and http.port + count - 1 > 65535:
        raise ConfigError(f"serve-engine {address}: {count} engines need as many ports from there on; give a lower one")
    events = _events(kv_events, kv_replay, kv_topic, kv_form)
    tell_notes(settings.hardware.model)
    blueprint = Blueprint(settings, BLOCK_TOKENS)
    _refuse_fleets(blueprint)
    served = replace(
        http,
        model=served_model_name or blueprint.model.name,
        max_context_tokens=blueprint.max_prompt_tokens + 1,
        seed=settings.run.seed,
        class_names=tuple(settings.requests.class_names[1:]),
        tokenizer_path=http_tokenizer or "",
    )
    specs = [
        EngineSpec(
            replace(served, port=served.port + number if served.port else 0),
            speed,
            None if events is None else events.shifted(number),
            "" if record is None else _numbered(record, number, count),
        )
        for number in range(count)
    ]

    async def run() -> bool:
        engines = [ServedEngine(spec, blueprint) for spec in specs]
        has_ended = await serve(engines, grace, lambda addresses: _tell_ready(addresses, settings))
        for one in engines:
            say(f"{one.address}  {one.summary()}\n")
        return has_ended

    return 0 if run_on_fast_loop(run()) else EXIT_INTERRUPTED


def _refuse_fleets(blueprint: Blueprint) -> None:
    """One instance that computes prompts and answers, or one of each kind."""
    roles = sorted(one.role.value for one in blueprint.instances)
    if roles not in (["aggregated"], ["decode", "prefill"]):
        raise ConfigError(
            f"plan {blueprint.plan.text!r} has the instances {', '.join(roles)}; an engine is one aggregated instance, "
            f"such as {USUAL['plan']}, or one prefill and one decode instance; --count N serves more of them"
        )


def _events(endpoint: str | None, replay: str | None, topic: str, form: WireForm) -> KvEventsSpec | None:
    """What is told of KV blocks, and to whom; None for nobody."""
    if endpoint is None:
        if replay is not None or topic:
            raise ConfigError("--kv-replay and --kv-topic say how KV events are published; give --kv-events as well")
        return None
    if len(topic) > MAX_TOPIC_CHARACTERS:
        raise ConfigError(f"--kv-topic has {len(topic)} characters; give at most {MAX_TOPIC_CHARACTERS}")
    load_zmq()
    again = "" if replay is None else parse_endpoint("--kv-replay", replay, binds=True)
    return KvEventsSpec(parse_endpoint("--kv-events", endpoint), again, topic, form)


def _numbered(path: str, number: int, count: int) -> str:
    """The file of one of several engines: with its number before the ending."""
    if count == 1:
        return path
    file = Path(path)
    return str(file.with_name(f"{file.stem}.{number}{file.suffix}"))


def _tell_ready(addresses: list[str], settings: Settings) -> None:
    hardware = settings.hardware
    for address in addresses:
        say(f"http://{address}  {hardware.model.name} on {hardware.cluster.name}, plan {hardware.plan.text}\n")
    tell("ready; Ctrl-C ends it")
