"""Does a dashboard show anything? Asks a Prometheus all that Grafana would ask it, and tells what came back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.dashboards.prometheus_api import Prometheus, QueryError, Window
from deploy.dashboards.queries import fill, panel_queries, panels

_LABEL_VALUES: Final = re.compile(r"label_values\((?P<selector>.+),\s*(?P<label>\w+)\)")


@dataclass(frozen=True, slots=True)
class ChoiceQuery:
    """Where the values of a choice come from."""

    place: str
    selector: str
    label: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one query, or for one choice at the head of the dashboard (then `numbers` are its values)."""

    place: str
    query: str
    """As it was sent."""
    num_series: int = 0
    num_samples: int = 0
    num_numbers: int = 0
    """Samples that are numbers, not NaN."""
    error: str = ""

    @property
    def fault(self) -> str:
        """Why a panel would stay empty, with place and query; nothing if it would not."""
        if self.num_numbers:
            return ""
        what = self.error or ("only NaN" if self.num_samples else "no data")
        return f"{self.place}: {what}: {self.query}"


def check_dashboard(
    dashboard: Mapping[str, Any], prometheus_url: str, window: Window, scrape_interval_s: float
) -> list[Answer]:
    """Ask for every choice and every query of every panel. ClusterError if no Prometheus answers at the address."""
    prometheus = Prometheus(prometheus_url)
    answers: list[Answer] = []
    for choice in choice_queries(dashboard):
        selector = fill(choice.selector, window, scrape_interval_s)
        try:
            num_values = _num_values(prometheus, selector, choice.label, window)
        except QueryError as error:
            answers.append(Answer(choice.place, selector, error=str(error)))
        else:
            answers.append(Answer(choice.place, selector, num_values, num_values, num_values))
    for panel in panels(dashboard):
        for query in panel_queries(panel):
            expression = fill(query.expression, window, scrape_interval_s)
            answers.append(_ask(prometheus, query.place, expression, window))
    return answers


def _num_values(prometheus: Prometheus, selector: str, label: str, window: Window) -> int:
    """How many values a label has among the series that a selector matches within a window."""
    found = prometheus._ask("series", {"match[]": selector, "start": window.start_s, "end": window.end_s})
    return len({series[label] for series in found if label in series})


def _ask(prometheus: Prometheus, place: str, expression: str, window: Window) -> Answer:
    try:
        found = prometheus.over_time(expression, window)
    except QueryError as error:
        return Answer(place, expression, error=str(error))
    values = [value for series in found for value in series.values]
    return Answer(place, expression, len(found), len(values), sum(not math.isnan(value) for value in values))


def choice_queries(dashboard: Mapping[str, Any]) -> list[ChoiceQuery]:
    """Where the choices at the head of a dashboard come from, but for that of the data source."""
    return [_choice_query(one) for one in dashboard["templating"]["list"] if one["type"] == "query"]


def _choice_query(variable: Mapping[str, Any]) -> ChoiceQuery:
    match = _LABEL_VALUES.fullmatch(variable["definition"])
    assert match is not None, f"variable {variable['name']}: cannot read {variable['definition']}"
    return ChoiceQuery(f"variable {variable['name']}", match["selector"], match["label"])
