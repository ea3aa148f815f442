"""A head that nobody can connect to is gone; one that listens is there."""

from __future__ import annotations

import socket

from deploy.cluster.existing.head_watch import HeadWatch


def test_a_head_is_there_until_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        watch = HeadWatch(f"127.0.0.1:{port}", retry_s=0.0)
        assert watch.trouble(0.0) == ""
    assert watch.trouble(0.0) == f"the Ray cluster at 127.0.0.1:{port} is gone, and what was on it"
