"""The names of vLLM: what its published dashboard queries is there, with its labels, and adds up to the system."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from scheduler.metrics.export.exposition import render
from scheduler.metrics.export.names.vllm import FAMILIES
from scheduler.metrics.family import Family
from scheduler.metrics.subject import own_families
from scheduler.metrics.subjects.engines import EngineTotals
from tests.unit.scheduler.metrics.lived import ASCEND, made_up_snapshot, under_names, whole_supernode
from tests.vllm_dashboard import published_names

MODEL = "deepseek-r1"


def test_every_name_of_the_published_dashboard_has_samples_of_the_model() -> None:
    layout = under_names(whole_supernode(), ASCEND, "vllm")
    text = render(made_up_snapshot(layout))
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    there = {sample.name for sample in samples if sample.labels.get("model_name") == MODEL}
    assert published_names() <= there
    assert len(published_names()) == 23


def test_labels_are_those_of_a_server_with_several_engines() -> None:
    layout = under_names(whole_supernode(), ASCEND, "vllm")
    by_name = {family.name: family for family in FAMILIES}
    assert by_name["vllm:num_requests_running"].labels == ("model_name", "engine")
    assert by_name["vllm:request_success_total"].labels == ("model_name", "engine", "finished_reason")
    assert by_name["vllm:num_requests_running"].series(layout)[14] == (MODEL, "14")
    assert ("128", "31", "14") in by_name["vllm:cache_config_info"].series(layout)


def test_every_end_at_an_engine_is_one_of_its_reasons() -> None:
    snapshot = made_up_snapshot(under_names(whole_supernode(), ASCEND, "vllm"))
    family = next(family for family in FAMILIES if family.name == "vllm:request_success_total")
    assert isinstance(family, Family)
    reasons = {labels[2] for labels in family.series(snapshot.layout)}
    assert reasons == {"stop", "length", "abort", "error"}
    assert sum(family.values(snapshot)) == sum(map(sum, snapshot[EngineTotals].ended))


def test_no_name_is_one_of_our_own() -> None:
    assert not {family.name for family in FAMILIES} & {family.name for family in own_families()}
