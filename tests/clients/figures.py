"""What a service counted of the requests of one client: exact means, from the sums of its histograms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

FAMILIES: Final = {
    "ttft_ms": "supernode_time_to_first_token_seconds",
    "tpot_ms": "supernode_time_per_output_token_seconds",
    "itl_ms": "supernode_inter_token_latency_seconds",
    "e2e_ms": "supernode_e2e_request_latency_seconds",
}
"""Histograms by what tables call their means."""

PAGE_AGE_S: Final = 2.5
"""Wall seconds after which a page has all that was counted before."""

Counted = Mapping[str, tuple[float, float]]
"""Sum in seconds and number of values, by the names of `FAMILIES`."""


def counted(url: str) -> Counted:
    """As the service's page of metrics has them once it is up to date."""
    time.sleep(PAGE_AGE_S)
    with urlopen(f"{url}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.endswith(("_sum", "_count"))
    }
    return {name: (values[f"{family}_sum"], values[f"{family}_count"]) for name, family in FAMILIES.items()}


def means_ms(before: Counted, after: Counted) -> dict[str, float]:
    """Of what came between, by the names of `FAMILIES`; and `requests`, how many finished."""
    found: dict[str, float] = {"requests": after["e2e_ms"][1] - before["e2e_ms"][1]}
    for name in FAMILIES:
        (sum_before, num_before), (sum_after, num_after) = before[name], after[name]
        if num_after > num_before:
            found[name] = 1e3 * (sum_after - sum_before) / (num_after - num_before)
    return found
