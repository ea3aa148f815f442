"""`supernode up`: bring up a local cluster that stays until `supernode down`."""

from __future__ import annotations

import json
from pathlib import Path
from socket import create_connection
from textwrap import fill
from typing import Annotated, Final

import typer
from msgspec import to_builtins
from msgspec.structs import replace

from deploy.admin.spec import PATH as ADMIN_PATH
from deploy.cluster.listeners import session_listeners
from deploy.cluster.ports import HTTP_PORT, LOOPBACK, METRICS_PORT, PROMETHEUS_PORT
from deploy.cluster.runtime_folder import locate_runtime_folder, open_runtime_folder
from deploy.cluster.state import ClusterState, read_state, standing
from deploy.cluster.up_down import DEFAULT_GRACE, bring_up, read_grace_s, take_down
from deploy.commands.existing_cluster import EXISTING_OPTIONS, ExistingFlags
from deploy.dashboards.files import FOLDER as DASHBOARDS_FOLDER
from deploy.hardware.notes import tell_notes
from deploy.http.spec import KEY_VARIABLE, HttpSpec, http_spec
from deploy.http.traces_url import ENDPOINT_VARIABLE, with_traces
from deploy.settings.options import Grace, Json, Told, setting_options, with_options
from deploy.system.metric_names import names_shown
from deploy.terminal.interrupt import stop_on_interrupt
from deploy.terminal.output import say, tell
from deploy.terminal.progress import waiting
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.runtime.clock import pause_s

app = typer.Typer(add_completion=False)

USUAL_S: Final = 15.0
WIDTH: Final = 100
EXIT_INTERRUPTED: Final = 130
HTTP_HERE: Final = f"{LOOPBACK}:{HTTP_PORT}"
LEFT_OUT: Final = {"--http": HTTP_HERE}
"""Options whose value may be left out, and what it is then."""
CONNECT_S: Final = 1.0
_POLL_S: Final = 0.2

Detach = Annotated[bool, typer.Option("--detach", help="Return when all is ready, and leave it running.")]
MetricsPort = Annotated[int, typer.Option(metavar="N", help="Where metrics are scraped, on 127.0.0.1; 0 for any.")]
WithPrometheus = Annotated[bool, typer.Option("--prometheus", help="Start a Prometheus server beside it.")]
PrometheusPort = Annotated[int, typer.Option(metavar="N", help="Where Prometheus listens, on 127.0.0.1.")]
Http = Annotated[
    str | None, typer.Option(metavar="[HOST:PORT]", help=f"Serve the OpenAI interface, by default on {HTTP_HERE}.")
]
HttpKeyFile = Annotated[
    str | None, typer.Option(metavar="FILE", help=f"Keys of its clients, one a line; or one in {KEY_VARIABLE}.")
]
HttpTokenizer = Annotated[
    str | None, typer.Option(metavar="FILE", help="A tokenizer.json that counts its tokens, which else are estimated.")
]
HttpTraces = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help=f"An OTLP/HTTP receiver of spans of its requests; or as {ENDPOINT_VARIABLE} says."
    ),
]

UP_SETTINGS: Final = (
    "cluster", "model", "plan", "policy", "cache", "cache_plane",
    "autoscaler", "autoscaler_min", "autoscaler_max", "names",
)  # fmt: skip


@app.command()
@with_options(told=setting_options(UP_SETTINGS), existing=EXISTING_OPTIONS)
def up(
    told: Told,
    existing: ExistingFlags,
    detach: Detach = False,
    metrics_port: MetricsPort = METRICS_PORT,
    prometheus: WithPrometheus = False,
    prometheus_port: PrometheusPort = PROMETHEUS_PORT,
    http: Http = None,
    http_key_file: HttpKeyFile = None,
    http_tokenizer: HttpTokenizer = None,
    grace: Grace = DEFAULT_GRACE,
    http_traces: HttpTraces = None,
    as_json: Json = False,
) -> int:
    """Bring up a cluster: a Ray node, an actor for each instance, the control plane and its metrics.

    With --address the actors are on the nodes of that Ray cluster, which goes on when they have ended.
    Replay into it from another shell with 'supernode replay TRACE --live'. Without --detach it ends with Ctrl-C,
    once clients of --http have the rest of their answers or --grace is over; with a second one at once.
    """
    grace_s = read_grace_s(grace)
    joins = existing.spec()
    if joins is not None and joins.is_client:
        raise ConfigError(
            f"--address {joins.address}: a client of Ray is on none of its nodes, and metrics and HTTP would be out "
            "of reach; run this command on a node of the cluster with --address auto"
        )
    settings = told.load()
    tell_notes(settings.hardware.model)
    names_shown(settings.run.metric_names, *settings.hardware.supernodes)
    for flag, port, lowest in (("--metrics-port", metrics_port, 0), ("--prometheus-port", prometheus_port, 1)):
        if not lowest <= port <= 65535:
            raise ConfigError(f"{flag} is {port}; give a number from {lowest} to 65535")
    _refuse_taken("--metrics-port", metrics_port)
    served = None if http is None else http_spec(http, http_key_file)
    if served is not None:
        _refuse_taken("--http", served.port, served.host)
        served = with_traces(_with_tokenizer(served, http_tokenizer), http_traces)
    elif http_key_file is not None:
        raise ConfigError("--http-key-file: there is nobody to show a key to; give --http as well, or leave it out")
    elif http_traces is not None:
        raise ConfigError("--http-traces: there is nothing to trace; give --http as well, or leave it out")
    elif http_tokenizer is not None:
        raise ConfigError("--http-tokenizer: there is nobody to count tokens for; give --http as well, or leave it out")
    if prometheus:
        from deploy.cluster.prometheus_server import find_prometheus

        find_prometheus()
        _refuse_taken("--prometheus-port", prometheus_port)
    stop = _Stop()
    with stop_on_interrupt(stop.ask):
        with waiting("bringing the cluster up", USUAL_S):
            port = prometheus_port if prometheus else 0
            state = bring_up(settings, metrics_port, port, stop.look, served, joins)
        say(json.dumps(_document(state), indent=2) + "\n" if as_json else _text(state))
        if detach:
            return 0
        return _stay(state, stop, grace_s)


def _with_tokenizer(served: HttpSpec, path: str | None) -> HttpSpec:
    """The file is read here, before anything is started, and again by the process that serves."""
    if path is None:
        return served
    from deploy.http.text_tokens import FileTokens

    FileTokens(path)
    return replace(served, tokenizer_path=str(Path(path).resolve()))


def _refuse_taken(flag: str, port: int, host: str = LOOPBACK) -> None:
    """`ConfigError` if somebody listens there: better known before Ray has started than after.

    A cluster of ours that is up holds its ports rightly; that it is up is said by whoever finds its state.
    """
    state = read_state(open_runtime_folder())
    if standing(state) != "down" or not port:
        return
    try:
        with create_connection((host, port), CONNECT_S):
            is_taken = True
    except OSError:
        is_taken = False
    if is_taken:
        raise ConfigError(f"{flag} {port}: another program listens there; give another port, or end that program")


class _Stop:
    """Ctrl-C, looked for between steps."""

    def __init__(self) -> None:
        self.is_asked = False

    def ask(self) -> None:
        self.is_asked = True

    def look(self) -> None:
        if self.is_asked:
            raise KeyboardInterrupt


def _stay(state: ClusterState, stop: _Stop, grace_s: float) -> int:
    """Until Ctrl-C, which takes the cluster down, or until somebody else does."""
    tell("the cluster is up; Ctrl-C ends it")
    folder = open_runtime_folder()
    while not stop.is_asked:
        now = read_state(folder)
        if now is None or now.keeper_pid != state.keeper_pid:
            tell("the cluster was taken down")
            return 0
        if standing(now) == "crashed":
            raise ClusterError(
                f"the cluster crashed: {now.line or 'its keeper is gone'}; 'supernode down' clears it away"
            )
        pause_s(_POLL_S)
    with waiting("ending the cluster", 3.0):
        take_down(grace_s)
    return EXIT_INTERRUPTED


def _document(state: ClusterState) -> dict[str, object]:
    listeners = session_listeners(state.keeper_pid, state.keeper_start)
    folder = locate_runtime_folder()
    return {
        "metrics": f"http://{state.metrics_address}/metrics",
        "prometheus": f"http://{state.prometheus_address}" if state.prometheus_address else None,
        "http": f"http://{state.http_address}/v1" if state.http_address else None,
        "admin": f"http://{state.admin_address}{ADMIN_PATH}" if state.admin_address else None,
        "admin_token": str(folder.admin_token_path) if state.admin_address else None,
        "ray": state.ray_address,
        "token": None if state.namespace else str(folder.token_path),
        "namespace": state.namespace or None,
        "log": str(folder.log_path),
        "dashboards": str(DASHBOARDS_FOLDER),
        "listeners": [to_builtins(listener) for listener in listeners],
    }


def _text(state: ClusterState) -> str:
    """Addresses, and what Ray listens on beyond this machine."""
    folder = locate_runtime_folder()
    plan = f"{state.config['model']} on {state.config['cluster']}, plan {state.config['plan']}"
    rows = [
        ("Cluster", plan),
        ("Metrics", f"http://{state.metrics_address}/metrics"),
        (
            "Prometheus",
            f"http://{state.prometheus_address}" if state.prometheus_address else "not started (--prometheus)",
        ),
        ("HTTP", f"http://{state.http_address}/v1" if state.http_address else "not served (--http)"),
        *(
            [("Admin", f"http://{state.admin_address}{ADMIN_PATH}, closed by the token in {folder.admin_token_path}")]
            if state.admin_address
            else []
        ),
        ("Dashboards", str(DASHBOARDS_FOLDER)),
        ("Ray", _ray_text(state)),
        ("Log", str(folder.log_path)),
    ]
    rows.append(("Next", "supernode replay TRACE --live; supernode status; supernode down"))
    return "".join(f"{name:<12}{text}\n" for name, text in rows) + _open_ports(state)


def _ray_text(state: ClusterState) -> str:
    if state.namespace:
        return f"{state.note}, namespace {state.namespace}"
    return f"{state.ray_address}, closed by the token in {locate_runtime_folder().token_path}"


def _open_ports(state: ClusterState) -> str:
    """What can be reached from other machines."""
    ports: dict[str, set[int]] = {}
    for listener in session_listeners(state.keeper_pid, state.keeper_start):
        if not listener.is_loopback:
            ports.setdefault(listener.process, set()).add(listener.port)
    if not ports:
        return ""
    lines = [
        f"{name} {', '.join(map(str, sorted(its)))}" for name, its in sorted(ports.items(), key=lambda one: len(one[1]))
    ]
    text = fill("; ".join(lines), WIDTH, initial_indent=" " * 12, subsequent_indent=" " * 12, break_long_words=False)
    return f"{'Ray opens':<12}on all interfaces (see SECURITY.md):\n{text}\n"
