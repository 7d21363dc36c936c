"""Dashboard, alert rules and scrape config: they name metrics, labels and label values that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import promql_parser as promql
import pytest
import yaml

from axisor_executor.automation import Lane
from axisor_executor.observe import alerts, metrics
from axisor_executor.observe.counting import Histogram, Metric
from axisor_executor.plugins import State
from axisor_executor.service import create_app
from axisor_executor.storage.executions import TERMINAL, Status, WaitFor

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
CONFIG = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana" / "axisor.json").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]

KNOWN = {metric.name: metric for metric in metrics.METRICS}
SERIES: dict[str, Metric] = {
    **{name: metric for name, metric in KNOWN.items() if not isinstance(metric, Histogram)},
    **{
        f"{name}_{part}": metric
        for name, metric in KNOWN.items()
        if isinstance(metric, Histogram)
        for part in ("bucket", "count", "sum")
    },
}
VALUES: dict[tuple[Metric, str], set[str]] = {
    (metrics.executions, "status"): set(TERMINAL),
    (metrics.execution_seconds, "status"): set(TERMINAL),
    (metrics.queue_executions, "status"): set(get_args(Status)) - TERMINAL,
    (metrics.unsettled, "status"): {"sending", "unknown"},
    (metrics.workers, "state"): {"alive", "silent"},
    (metrics.plugins, "state"): set(get_args(State)),
    (metrics.alerts, "kind"): set(get_args(alerts.Kind)),
    (metrics.alerts, "outcome"): set(get_args(metrics.AlertOutcome)),
    (metrics.requests, "outcome"): {"ok", "rejected", "unavailable", "unknown", "error"},
    (metrics.held_back, "reason"): {"rate", "circuit"},
    (metrics.put_back, "reason"): set(get_args(metrics.PutBack)),
    (metrics.waiting, "reason"): set(get_args(WaitFor)),
    (metrics.credentials_lookups, "result"): {"hit", "miss"},
    (metrics.switches, "mode"): {"paused", "reduce_only"},
    **{(metric, "lane"): set(get_args(Lane)) for metric in metrics.METRICS if "lane" in metric.labels},
}
"""What a label may be, where that is fixed."""
ABOUT_THE_SCRAPE = {"up": {"job", "instance"}}


def parts(expression: Any) -> Iterator[Any]:
    """Return an expression and everything in it."""
    yield expression
    for name in ("expr", "lhs", "rhs", "param", "vector_selector", "vs"):
        inner = getattr(expression, name, None)
        if inner is not None and not isinstance(inner, (str, int, float)):
            yield from parts(inner)
    for inner in getattr(expression, "args", None) or []:
        yield from parts(inner)


def parsed(query: str) -> Any:
    """Return a query's tree, with a dashboard's variables filled in."""
    return promql.parse(query.replace("$__rate_interval", "1m").replace("$type", ".*").replace("$exchange", ".*"))


def selectors(query: str) -> list[Any]:
    """Return the vector selectors of a query."""
    return [part for part in parts(parsed(query)) if isinstance(part, promql.VectorSelector)]


def problems(query: str) -> list[str]:
    """Return what a query names that there is not."""
    found = []
    shown: set[str] = set()
    for selector in selectors(query):
        given = {matcher.name: matcher for matcher in selector.matchers.matchers}
        if selector.name in ABOUT_THE_SCRAPE:
            shown |= ABOUT_THE_SCRAPE[selector.name]
            found += sorted(given.keys() - ABOUT_THE_SCRAPE[selector.name])
            continue
        metric = SERIES.get(selector.name)
        if metric is None:
            found.append(selector.name)
            continue
        labels = {*metric.labels, *({"le"} if selector.name.endswith("_bucket") else set())}
        shown |= labels
        found += [f"{selector.name}{{{name}}}" for name in given.keys() - labels]
        for name in given.keys() & labels:
            values = set(given[name].value.split("|")) - {".*"}
            wrong = values - VALUES.get((metric, name), set()) if name not in ("type", "exchange") else set()
            found += [f'{selector.name}{{{name}="{value}"}}' for value in sorted(wrong)]
    for part in parts(parsed(query)):
        modifier = getattr(part, "modifier", None)
        named = getattr(modifier, "labels", None) if isinstance(part, promql.AggregateExpr) else None
        found += [f"by ({name})" for name in named or () if name not in shown]
    return found


def counted(query: str) -> set[str]:
    """Return the metrics that a query reads."""
    return {SERIES[one.name].name for one in selectors(query) if one.name in SERIES}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
class TestRules:
    def test_what_it_names_is_there(self, rule: dict[str, Any]) -> None:
        assert problems(rule["expr"]) == []

    def test_it_says_what_is_wrong_and_how_bad_it_is(self, rule: dict[str, Any]) -> None:
        assert rule["labels"] == {"severity": rule["labels"]["severity"]}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        promql.parse_duration(rule.get("for", "1s"))

    def test_the_labels_it_shows_are_those_of_its_expression(self, rule: dict[str, Any]) -> None:
        shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        grouped = [part for part in parts(parsed(rule["expr"])) if isinstance(part, promql.AggregateExpr)]
        if grouped:
            kept = {name for part in grouped if part.modifier for name in part.modifier.labels}
        else:
            kept = {label for one in selectors(rule["expr"]) for label in labels_of(one.name)}
        assert shown <= kept


def labels_of(series: str) -> set[str]:
    """Return the labels of a series."""
    return ABOUT_THE_SCRAPE.get(series) or set(SERIES[series].labels)


class TestAllRules:
    def test_each_name_once(self) -> None:
        names = [rule["alert"] for rule in ALERTS]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"Axisor[A-Za-z]+", name) for name in names)

    def test_what_must_be_told_is_told(self) -> None:
        watched = set().union(*(counted(rule["expr"]) for rule in ALERTS))
        assert watched >= {
            metrics.uncertain.name,
            metrics.workers.name,
            metrics.queue_oldest.name,
            metrics.exchange_breakers.name,
            metrics.executions.name,
            metrics.price_refused.name,
            metrics.redis_up.name,
        }

    def test_the_checks_find_what_is_wrong(self) -> None:
        for wrong, told in [
            ("axisor_execution_total > 0", ["axisor_execution_total"]),
            ('axisor_workers{status="alive"}', ["axisor_workers{status}"]),
            ('axisor_workers{state=~"alive|gone"}', ['axisor_workers{state="gone"}']),
            ('axisor_executions_total{status="queued"}', ['axisor_executions_total{status="queued"}']),
            ("sum by (account) (rate(axisor_executions_total[5m]))", ["by (account)"]),
            ("max_over_time((sum(axisor_nothing))[5m:1m])", ["axisor_nothing"]),
            ("axisor_price_age_seconds", ["axisor_price_age_seconds"]),
        ]:
            assert problems(wrong) == told


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=[f"{title}, {one['refId']}" for title, one in QUERIES])
def test_what_a_panel_names_is_there(title: str, target: dict[str, Any]) -> None:
    assert problems(target["expr"]) == []
    labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    assert labels <= {label for one in selectors(target["expr"]) for label in labels_of(one.name)}


class TestDashboard:
    def test_rows(self) -> None:
        titles = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
        assert titles == ["Throughput", "Latency", "Errors", "Queue", "Exchange", "Money safety"]

    def test_every_metric_that_the_api_tells_is_on_it(self) -> None:
        shown = set().union(*(counted(target["expr"]) for _, target in QUERIES))
        assert KNOWN.keys() - shown == {metrics.account_executions.name}

    def test_panels_lie_beside_each_other(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells

    def test_ids_are_unique_and_each_panel_says_what_it_shows(self) -> None:
        ids = [panel["id"] for panel in DASHBOARD["panels"]]
        assert len(set(ids)) == len(ids)
        assert all(panel["description"] for panel in PANELS)

    def test_variables(self) -> None:
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) - {"__rate_interval"}
        variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
        assert variables.keys() == used
        for one in variables.values():
            if one["type"] == "query":
                metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["definition"]).groups()  # type: ignore[union-attr]
                assert label in KNOWN[metric].labels
                assert one["query"]["query"] == one["definition"]


class TestScraping:
    (JOB,) = CONFIG["scrape_configs"]

    def test_it_asks_for_the_path_that_there_is(self) -> None:
        assert self.JOB["metrics_path"] in create_app().openapi()["paths"]

    def test_it_shows_a_token_that_is_not_in_the_file(self) -> None:
        assert self.JOB["authorization"].keys() == {"credentials_file"}

    def test_one_process_is_asked(self) -> None:
        assert [len(one["targets"]) for one in self.JOB["static_configs"]] == [1]

    def test_rules_ask_for_the_job_that_there_is(self) -> None:
        named = {
            matcher.value
            for rule in ALERTS
            for one in selectors(rule["expr"])
            for matcher in one.matchers.matchers
            if matcher.name == "job"
        }
        assert named == {self.JOB["job_name"]}

    def test_its_rules_are_there(self) -> None:
        assert all((DEPLOY / "prometheus" / name).is_file() for name in CONFIG["rule_files"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
class TestWithPromtool:
    def promtool(self, *arguments: str, cwd: Path) -> None:
        done = subprocess.run(
            ["promtool", *arguments], check=False, cwd=cwd, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_config_and_rules(self) -> None:
        self.promtool("check", "config", "--syntax-only", "prometheus.yml", cwd=DEPLOY / "prometheus")
        self.promtool("check", "rules", "rules.yml", cwd=DEPLOY / "prometheus")

    def test_the_rules_fire_when_they_should(self) -> None:
        self.promtool("test", "rules", "rules_test.yml", cwd=Path(__file__).parent)
