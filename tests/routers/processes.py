"""Engines and a router as processes, each on ports of its own, ended when their test is."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

ROUTERS: Final = Path(os.environ.get("ROUTERS", "out/routers")) / "bin"
"""Where `make engines` installs them."""

SERVE: Final = "import sys; from deploy.cli import main; sys.exit(main())"
START_S: Final = 60.0
END_S: Final = 30.0


def is_installed(router: str) -> bool:
    """Whether a router is there."""
    return (ROUTERS / router).exists()


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Engine:
    """One process. `said` is what it told on stdout, complete when it has ended."""

    process: subprocess.Popen[str]
    url: str
    events: str
    replay: str
    record: Path
    said: str = field(default="")

    def kill(self) -> None:
        """As the machine under it would."""
        self.process.kill()
        self.process.wait(END_S)

    def end(self) -> None:
        """As an operator does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.said, _ = self.process.communicate(timeout=END_S)


@contextmanager
def engines(count: int, folder: Path, *options: str) -> Generator[list[Engine]]:
    """So many, each with KV events and a record in the folder."""
    with ExitStack() as stack:
        started = [_start_engine(number, folder, options) for number in range(count)]
        for one in started:
            stack.callback(one.end)
        for one in started:
            one.url = _first_url(one)
        yield started


def _start_engine(number: int, folder: Path, options: Sequence[str]) -> Engine:
    events, replay = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    record = folder / f"requests-{number}.jsonl"
    command = [sys.executable, "-c", SERVE, "serve-engine", "127.0.0.1:0", "--record", str(record), *options]
    command += ["--kv-events", events, "--kv-replay", replay]
    with (folder / f"engine-{number}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    return Engine(process, "", events, replay, record)


def _first_url(engine: Engine) -> str:
    assert engine.process.stdout is not None
    line = engine.process.stdout.readline()
    found = re.match(r"http://\S+", line)
    assert found, f"an engine did not start: {line!r}"
    return found[0]


@contextmanager
def router(program: str, served: Sequence[Engine], folder: Path, *options: str) -> Generator[str]:
    """A router in front of these; its URL when all of them are known to it."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [str(ROUTERS / program), *(["launch"] if program == "sglang-router" else [])]
    command += ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    command += ["--worker-urls", *(one.url for one in served), *options]
    with (folder / f"{program}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_until_ready(base, process)
        yield base
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_S)


def _wait_until_ready(base: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = monotonic() + START_S
    while monotonic() < deadline_s:
        assert process.poll() is None, "the router ended; its log tells why"
        try:
            with urlopen(f"{base}/readiness", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            pass
        sleep(0.2)
    raise AssertionError(f"no router answers at {base}")
