"""The section `clients` of a workload: who waits for answers, for all requests or for each class."""

from __future__ import annotations

from scheduler.sources.clients.groups import MAX_CLIENTS, MAX_THINK_S, ClientGroup, ThinkKind, ThinkTime
from scheduler.sources.synthetic.section import Section
from scheduler.sources.synthetic.workload import MAX_CV, check_range
from scheduler.sources.traces.rows import MAX_CLASS_CHARACTERS, are_class_names


def client_groups(section: Section) -> tuple[ClientGroup, ...]:
    """Of a section with `count`, or of sections by the names of classes with one each. ConfigError with its place."""
    if "count" in section.values or not any(isinstance(value, Section) for value in section.values.values()):
        return (_group(section, ""),)
    groups: list[ClientGroup] = []
    for name in section.values:
        if not name or not are_class_names([name]):
            fix = f"give at most {MAX_CLASS_CHARACTERS} printable characters"
            raise section.error(name, "cannot name a class", fix)
        groups.append(_group(section.section(name), name))
    return tuple(groups)


def _group(section: Section, class_name: str) -> ClientGroup:
    return section.build(lambda: _checked(section, class_name))


def _checked(section: Section, class_name: str) -> ClientGroup:
    count = section.integer("count")
    check_range("count", count, 1, MAX_CLIENTS)
    default = ThinkKind.LOGNORMAL if "think_cv" in section.values else ThinkKind.CONSTANT
    kind = ThinkKind(section.choice("think", default, [kind.value for kind in ThinkKind]))
    mean_s, cv, ramp_s = section.number("think_s", 0.0), section.number("think_cv", 1.0), section.number("ramp_s", 0.0)
    check_range("think_s", mean_s, 0.0, MAX_THINK_S)
    check_range("think_cv", cv, 0.0, MAX_CV)
    check_range("ramp_s", ramp_s, 0.0, MAX_THINK_S)
    if "think_cv" in section.values and kind is not ThinkKind.LOGNORMAL:
        raise section.error("think_cv", f"is of log-normal think times, and they are {kind}", "leave one of them out")
    return ClientGroup(count, class_name, ThinkTime(mean_s, kind, cv), ramp_s)
