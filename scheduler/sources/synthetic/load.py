"""A workload from a YAML file, from flags, or from a file with flags over it: strict, every error with its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scheduler.sources.synthetic.clients import client_groups
from scheduler.sources.synthetic.lengths import count_lengths
from scheduler.sources.synthetic.presets import PRESETS
from scheduler.sources.synthetic.section import Overrides, Section
from scheduler.sources.synthetic.settings_file import read_settings
from scheduler.sources.synthetic.workload import (
    AgentRequests,
    ArrivalProcess,
    EmpiricalLengths,
    IndependentRequests,
    Lengths,
    LogNormalLengths,
    Process,
    RateStage,
    ServeGenRequests,
    SessionRequests,
    Workload,
)
from scheduler.sources.traces.files import open_file
from scheduler.sources.traces.lines import base_name
from scheduler.sources.traces.options import SkippedRows, TraceOptions
from scheduler.sources.traces.rows import MAX_CLASS_CHARACTERS, are_class_names

NO_OVERRIDES: Final[Mapping[str, tuple[object, str]]] = {}


def load_workload(path: str | None, overrides: Overrides = NO_OVERRIDES) -> Workload:
    """The workload that a YAML file describes, with overrides by dotted key; without a file, only those.

    ConfigError names file and line, or the flag, of what is wrong.
    """
    if path is None:
        top = Section("", "options")
        folder = Path()
        name = "generated"
    else:
        top = read_settings(path, "a workload")
        folder = Path(path).parent
        name = base_name(path).rpartition(".")[0]
    top.override(overrides)
    return top.build(lambda: _workload(top, name, folder))


def _workload(top: Section, name: str, folder: Path) -> Workload:
    preset = top.choice("preset", "none", ["none", *PRESETS])
    for key, values in PRESETS.get(preset, {}).items():
        if key not in top.values:
            place = f"preset {preset}"
            top.put(key, Section(key, place, dict(values), dict.fromkeys(values, place)), place)
    name = top.text("name", name)
    block_tokens = top.integer("block_tokens") if "block_tokens" in top.values else None
    top.taken.add("block_tokens")
    shares = _class_shares(top.section("classes")) if "classes" in top.values else ()
    top.taken.add("classes")
    clients = client_groups(top.section("clients")) if "clients" in top.values else ()
    top.taken.add("clients")
    if "servegen" in top.values:
        num_requests = top.integer("num_requests") if "num_requests" in top.values else None
        requests = _servegen(top.section("servegen"), folder)
        return Workload(name, requests, num_requests, shares, block_tokens, clients)
    arrivals = _arrivals(top.section("arrivals"))
    prompt_tokens = _lengths(top.section("prompt_tokens"), folder, is_prompt=True)
    output_tokens = _lengths(top.section("output_tokens"), folder, is_prompt=False)
    given = (arrivals, prompt_tokens, output_tokens)
    if "sessions" in top.values:
        requests = _sessions(top.section("sessions"), *given)
    elif "agents" in top.values:
        requests = _agents(top.section("agents"), *given)
    else:
        requests = IndependentRequests(*given)
        top.taken.update(("sessions", "agents", "servegen"))
    ends = arrivals.stages or (isinstance(requests, AgentRequests) and requests.num_tasks is not None)
    num_requests = top.integer("num_requests") if "num_requests" in top.values or not ends else None
    top.taken.add("num_requests")
    return Workload(name, requests, num_requests, shares, block_tokens, clients)


def _class_shares(section: Section) -> tuple[tuple[str, float], ...]:
    """Names and shares of request classes."""
    shares = [(name, section.number(name)) for name in section.values]
    for name, share in shares:
        if not 0 <= share < math.inf:
            raise section.error(name, f"is {share:g}", "give a share of at least 0")
        if not name or not are_class_names([name]):
            raise section.error(
                name, "cannot name a class", f"give at most {MAX_CLASS_CHARACTERS} printable characters"
            )
    return tuple(shares)


def _arrivals(section: Section) -> ArrivalProcess:
    default = ArrivalProcess(rate_per_s=1.0)
    return section.build(
        lambda: ArrivalProcess(
            rate_per_s=_rate_per_s(section),
            process=Process(section.choice("process", default.process, [process.value for process in Process])),
            cv=section.number("cv", default.cv),
            diurnal_amplitude=section.number("diurnal_amplitude", default.diurnal_amplitude),
            diurnal_period_s=section.number("diurnal_period_s", default.diurnal_period_s),
            stages=tuple(map(_stage, section.sections("stages"))),
        )
    )


def _rate_per_s(section: Section) -> float:
    """0 where stages say it."""
    return section.number("rate_per_s", 0.0) if "stages" in section.values else section.number("rate_per_s")


def _stage(section: Section) -> RateStage:
    return section.build(
        lambda: RateStage(
            duration_s=section.number("duration_s"),
            rate_per_s=section.number("rate_per_s"),
            end_rate_per_s=section.number("end_rate_per_s") if "end_rate_per_s" in section.values else None,
        )
    )


def _lengths(section: Section, folder: Path, *, is_prompt: bool) -> Lengths:
    if "trace" in section.values:
        return section.build(lambda: _lengths_of_trace(section, folder, is_prompt))
    if "values" in section.values:
        return section.build(lambda: _lengths_of_list(section))
    return section.build(
        lambda: LogNormalLengths(
            mean=section.number("mean"),
            cv=section.number("cv"),
            minimum=section.integer("minimum", 1),
            maximum=section.integer("maximum", 131_072),
        )
    )


def _lengths_of_trace(section: Section, folder: Path, is_prompt: bool) -> EmpiricalLengths:
    path = str(folder / section.text("trace"))
    prompts, outputs = count_lengths(open_file(path, TraceOptions(), SkippedRows()))
    return prompts if is_prompt else outputs


def _lengths_of_list(section: Section) -> EmpiricalLengths:
    values = section.integers("values")
    return EmpiricalLengths(tuple(values), (1.0,) * len(values))


def _sessions(
    section: Section, arrivals: ArrivalProcess, prompt_tokens: Lengths, output_tokens: Lengths
) -> SessionRequests:
    # Only the defaults are read of it.
    default = SessionRequests(arrivals, LogNormalLengths(1, 0, maximum=1), output_tokens)
    return section.build(
        lambda: SessionRequests(
            arrivals=arrivals,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            mean_turns=section.number("mean_turns", default.mean_turns),
            max_turns=section.integer("max_turns", default.max_turns),
            think_mean_s=section.number("think_mean_s", default.think_mean_s),
            think_cv=section.number("think_cv", default.think_cv),
            answer_s_per_output_token=section.number("answer_s_per_output_token", default.answer_s_per_output_token),
            system_groups=section.integer("system_groups", default.system_groups),
            system_tokens=section.integer("system_tokens", default.system_tokens),
            max_prompt_tokens=section.integer("max_prompt_tokens", default.max_prompt_tokens),
        )
    )


def _agents(
    section: Section, arrivals: ArrivalProcess, prompt_tokens: Lengths, output_tokens: Lengths
) -> AgentRequests:
    # Only the defaults are read of it.
    default = AgentRequests(arrivals, LogNormalLengths(1, 0, maximum=1), output_tokens)
    numbers = ("mean_turns", "branch_share", "fan_out_mean", "branch_turns_mean", "fresh_share", "tool_wait_mean_s")
    numbers += ("tool_wait_cv", "answer_s_per_output_token")
    integers = ("max_turns", "fan_out_max", "branch_turns_max", "system_groups", "system_tokens", "max_prompt_tokens")
    return section.build(
        lambda: AgentRequests(
            arrivals,
            prompt_tokens,
            output_tokens,
            num_tasks=section.integer("num_tasks") if "num_tasks" in section.values else None,
            system_weights=tuple(section.numbers("system_weights")),
            **{name: section.number(name, getattr(default, name)) for name in numbers},
            **{name: section.integer(name, getattr(default, name)) for name in integers},
        )
    )


def _servegen(section: Section, folder: Path) -> ServeGenRequests:
    return section.build(
        lambda: ServeGenRequests(
            folder=str(folder / section.text("folder")),
            start_s=section.number("start_s", 0.0),
            duration_s=section.number("duration_s") if "duration_s" in section.values else None,
            rate_per_s=section.number("rate_per_s") if "rate_per_s" in section.values else None,
        )
    )
