"""What is no file of requests but describes requests to generate: a workload file, a folder of ServeGen clients."""

from __future__ import annotations

from pathlib import Path

from scheduler.sources.synthetic.load import load_workload
from scheduler.sources.synthetic.workload import ServeGenRequests, Workload
from scheduler.sources.traces.format import FORMATS, GeneratedFormat
from scheduler.sources.traces.lines import base_name


def _servegen(path: str) -> Workload:
    return Workload(base_name(path), ServeGenRequests(path))


FORMATS.register("servegen", GeneratedFormat(lambda path: Path(path).is_dir(), _servegen))
FORMATS.register("workload", GeneratedFormat(lambda path: path.endswith((".yaml", ".yml")), load_workload))
