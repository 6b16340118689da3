"""The Grafana dashboard asks for metrics and labels that a server has."""

import json
import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from eacps.api.calls import FinishedCall
from eacps.api.server import SEARCH_SERVICE, STREAM_METHODS, UPLOAD_METHODS
from eacps.metrics import CallMetrics, SearchMetrics, describe_process
from tests.test_docker import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "eacps.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRIC = re.compile(r"\b(?:eacps|grpc_server|process|python)_\w+")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
FILTERED = re.compile(r"(\w+)(?:!=|=~|!~|=)\"")
OF_PROMETHEUS = {"le", "instance"}
"""Labels that Prometheus adds."""


@pytest.fixture(scope="module")
def registry() -> CollectorRegistry:
    """All metrics of a server."""
    metrics = SearchMetrics()
    calls = CallMetrics(metrics.registry, service=SEARCH_SERVICE, streams=STREAM_METHODS, uploads=UPLOAD_METHODS)
    calls.call_began("GetSearch")
    calls.call_ended(FinishedCall("GetSearch", "ada", "", "OK", "", 0.1))
    describe_process(metrics.registry, version="1", checkpoint="toy", triton="2")
    return metrics.registry


def names_of(registry: CollectorRegistry) -> set[str]:
    """Names of all samples that a server may expose, those of labels that were not seen yet included."""
    known = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    return {family.name + ending for family in registry.collect() for ending in known.get(family.type, ("",))}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_one_of_the_servers(registry: CollectorRegistry, expression: str) -> None:
    asked = set(METRIC.findall(expression))
    assert asked
    assert asked <= names_of(registry)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_label_is_one_of_the_metrics(registry: CollectorRegistry, expression: str) -> None:
    labels = {one.strip() for group in GROUPED.findall(expression) for one in group.split(",")}
    labels |= set(FILTERED.findall(expression))
    have = set(OF_PROMETHEUS)
    for name in METRIC.findall(expression):
        for collector, names in registry._collector_to_names.items():
            if name in names:
                have |= set(getattr(collector, "_labelnames", ()))
    assert labels <= have


def test_every_metric_of_searches_is_shown(registry: CollectorRegistry) -> None:
    shown = {
        re.sub(r"_(total|bucket|sum|count|info)$", "", name) for one in EXPRESSIONS for name in METRIC.findall(one)
    }
    assert {family.name for family in registry.collect() if family.name.startswith("eacps_")} <= shown


def test_what_the_database_counts_is_not_summed_over_servers() -> None:
    asked = [expression for expression in EXPRESSIONS if "eacps_searches_kept" in expression]
    assert asked
    assert all(expression.startswith("max by (state) (") for expression in asked)


def test_panels_do_not_overlap() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
