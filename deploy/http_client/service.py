"""Whom an outside client asks: the standing cluster, or one that is brought up for this run and taken down after it."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

from deploy.cluster.ports import LOOPBACK
from deploy.cluster.state import ClusterState
from deploy.cluster.up_down import bring_up, take_down
from deploy.http.spec import KEY_VARIABLE, http_spec
from deploy.settings.settings import Settings
from deploy.terminal.progress import waiting
from scheduler.protocol.errors import ConfigError

CLIENT_SETTINGS: Final = frozenset(
    {"concurrency", "think_time", "ramp", "sessions", "warmup", "slo", "classes", "seed", "block_tokens", "names"}
)
"""What a client decides by itself; all else is the service's, and was settled when it was brought up."""

USUAL_S: Final = 15.0


@contextmanager
def service(cluster: ClusterState | None, settings: Settings) -> Generator[str]:
    """The address of the service, such as http://127.0.0.1:8000; a `ConfigError` if the one that is up is another."""
    if cluster is not None:
        yield _url_of(cluster, settings)
        return
    try:
        with waiting("bringing a cluster up", USUAL_S):
            state = bring_up(settings, 0, http=http_spec(f"{LOOPBACK}:0", None))
        yield f"http://{state.http_address}"
    finally:
        with waiting("ending the cluster", 3.0):
            take_down()


def key_headers() -> Mapping[str, str]:
    """What shows the key of the environment, if there is one."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return {"Authorization": f"Bearer {key}"} if key else {}


def _url_of(cluster: ClusterState, settings: Settings) -> str:
    if not cluster.http_address:
        raise ConfigError(
            "--via http: the cluster that is up serves no clients; run 'supernode down', then "
            "'supernode up --detach --http'"
        )
    for name, wanted in settings.to_plain().items():
        there = cluster.config.get(name)
        if name not in CLIENT_SETTINGS and wanted != there:
            raise ConfigError(
                f"--{name.replace('_', '-')} {wanted}: the service was brought up with {there!r}, and a "
                "client cannot change that; leave it out, or run 'supernode down' first"
            )
    return f"http://{cluster.http_address}"
