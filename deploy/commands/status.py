"""`supernode status`: the cluster that is up, as it stands now."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from msgspec import to_builtins

from deploy.cluster.answer import ask_status
from deploy.cluster.runtime_folder import locate_runtime_folder
from deploy.cluster.state import ClusterState, read_state, standing
from deploy.cluster.status_page import render_status
from deploy.terminal.output import say, tell
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.runtime.clock import NS_PER_S, wall_now_ns

app = typer.Typer(add_completion=False)

EXIT_NOT_UP: Final = 1

PAGE_S: Final = 600.0
"""Wall seconds that the page shows, up to now."""

Page = Annotated[str | None, typer.Option(metavar="FILE", help="Draw the dashboards' last 10 minutes as a web page.")]
Json = Annotated[bool, typer.Option("--json", help="The status as JSON on stdout.")]


@app.command(epilog="Exit: 0 if a cluster is up, else 1.")
def status(page: Page = None, as_json: Json = False) -> int:
    """Show the cluster that is up: what it does, its instances, queues, rates and addresses.

    --page FILE draws the Grafana dashboards from the cluster's own Prometheus ('supernode up --prometheus') into one
    file that any browser opens.
    """
    folder = locate_runtime_folder()
    state = read_state(folder)
    stands = standing(state)
    if page is not None:
        _write_page(page, state if stands == "up" else None)
    seen = _ask(state) if state is not None and stands == "up" else {}
    if as_json:
        about = None if state is None else to_builtins(state)
        say(json.dumps({"standing": stands, "cluster": about, **seen}, indent=2) + "\n")
    elif state is None:
        say("no cluster is up; 'supernode up --detach' brings one up\n")
    elif stands == "up":
        say(render_status(state, seen, folder.log_path))
    elif stands == "foreign":
        say(f"{state.line}\n")
    elif stands == "crashed":
        why = state.line or "its keeper is gone"
        say(f"the cluster crashed: {why}; 'supernode down' clears away what is left\n")
    else:
        say(f"the cluster is {stands}\n")
    return 0 if stands == "up" else EXIT_NOT_UP


def _write_page(path: str, state: ClusterState | None) -> None:
    if state is None or not state.prometheus_address:
        raise ConfigError(
            "--page: there is no Prometheus to ask; bring the cluster up with 'supernode up --prometheus'"
        )
    from deploy.dashboards.files import UIDS, load_dashboard
    from deploy.dashboards.page import dashboards_page
    from deploy.terminal.paths import check_file

    check_file("--page", path, inputs=[])
    now_s = wall_now_ns() / NS_PER_S
    up_s = datetime.fromisoformat(state.started_at).timestamp()
    url = f"http://{state.prometheus_address}"
    text = dashboards_page([load_dashboard(uid) for uid in UIDS], url, max(up_s, now_s - PAGE_S), now_s)
    Path(path).write_text(text, encoding="utf-8")
    tell(f"wrote {path}")


def _ask(state: ClusterState) -> dict[str, Any]:
    try:
        return ask_status(state)
    except ClusterError as error:
        raise ClusterError(
            f"{error}; one that is dead or silent is started again within seconds, else look at "
            f"{locate_runtime_folder().log_path}, or 'supernode down'"
        ) from error
