"""A Prometheus server beside the cluster, if the program is on this machine: it scrapes the metrics endpoint."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from deploy.cluster.loopback import fetch
from deploy.cluster.ports import LOOPBACK, METRICS_PORT, PROMETHEUS_PORT
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.runtime.clock import monotonic_s, pause_s

CONFIG_PATH: Final = Path(__file__).parents[1] / "prometheus" / "prometheus.yml"
RULES_PATH: Final = CONFIG_PATH.parent / "rules"

READY_S: Final = 20.0
"""Wall seconds for it to answer; it takes about 0.3 with an empty store."""

END_S: Final = 5.0
"""Wall seconds for it to write what it holds when it is told to end."""

RETENTION: Final = ("--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=1GB")

_POLL_S: Final = 0.05


def find_prometheus() -> str:
    """The program's path; `ConfigError` if there is none."""
    path = shutil.which("prometheus")
    if path is None:
        raise ConfigError(
            "--prometheus: there is no program 'prometheus' on this machine; install it (Debian: apt install "
            "prometheus), or leave the option out and run deploy/compose.yaml beside"
        )
    return path


class PrometheusServer:
    """Keeps its samples in `folder`, also from one cluster to the next, and listens on 127.0.0.1 only."""

    def __init__(self, folder: Path, port: int, metrics_address: str) -> None:
        self.address: Final = f"{LOOPBACK}:{port}"
        self._process = subprocess.Popen(
            [
                find_prometheus(),
                f"--config.file={config_path(folder, metrics_address, self.address)}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
                *RETENTION,
            ],
            stdin=subprocess.DEVNULL,
        )
        try:
            self._wait_ready()
        except BaseException:
            self.close()
            raise

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it; a second call does nothing."""
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_ready(self) -> None:
        deadline_s = monotonic_s() + READY_S
        while monotonic_s() < deadline_s:
            if not self.is_alive():
                raise ClusterError(
                    f"Prometheus ended at once (exit {self._process.returncode}); is {self.address} in use? The log "
                    "tells why; try another --prometheus-port"
                )
            try:
                fetch(f"http://{self.address}/-/ready", timeout_s=1.0)
                return
            except OSError:
                pause_s(_POLL_S)
        raise ClusterError(f"Prometheus does not answer on {self.address} after {READY_S:.0f} s; the log tells why")


def config_path(folder: Path, metrics_address: str, own_address: str) -> Path:
    """The shipped configuration; if addresses are others than the usual, a copy with these, and with whole paths."""
    folder.mkdir(parents=True, exist_ok=True)
    usual = {f"127.0.0.1:{METRICS_PORT}": metrics_address, f"127.0.0.1:{PROMETHEUS_PORT}": own_address}
    if all(address == other for address, other in usual.items()):
        return CONFIG_PATH
    text = CONFIG_PATH.read_text()
    for name, value in {**usual, f"{RULES_PATH.name}/": f"{RULES_PATH}/"}.items():
        text = text.replace(name, value)
    path = folder / "prometheus.yml"
    path.write_text(text)
    return path
