"""What is no file of requests but describes requests to generate: a workload file, a folder of ServeGen clients.

Generators are imported where they are used: to tell the format of a file is part of every replay.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.sources.traces.format import FORMATS, GeneratedFormat
from scheduler.sources.traces.lines import base_name

if TYPE_CHECKING:
    from scheduler.sources.synthetic.workload import Workload


def _servegen(path: str) -> Workload:
    from scheduler.sources.synthetic.workload import ServeGenRequests, Workload

    return Workload(base_name(path), ServeGenRequests(path))


def _workload(path: str) -> Workload:
    from scheduler.sources.synthetic.load import load_workload

    return load_workload(path)


def _has_agents(path: str) -> bool:
    from scheduler.sources.synthetic.settings_file import read_settings

    return "agents" in read_settings(path, "a workload").values


FORMATS.register("servegen", GeneratedFormat(lambda path: Path(path).is_dir(), _servegen, lambda _: False))
FORMATS.register("workload", GeneratedFormat(lambda path: path.endswith((".yaml", ".yml")), _workload, _has_agents))
