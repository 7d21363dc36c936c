"""`/metrics`: everything that there is, for Prometheus and for nobody else, and nothing that must not be told."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from axisor_executor import exposition
from axisor_executor.errors import PluginError
from axisor_executor.limits.breaker import PluginRef
from axisor_executor.observe import metrics
from axisor_executor.observe.counting import Histogram, counts
from axisor_executor.storage.models import ExecutionRow
from tests.harness.world import World
from tests.service.conftest import Api, Client
from tests.service.test_figures import put
from tests.service.test_health import worker_row

ENTRY = {"side": "b", "quantity": 100}


@pytest.fixture(autouse=True)
def _anew() -> None:
    """Count nothing that an earlier test did."""
    counts.clear()


class Scraped:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the only sample of this name with these labels among others."""
        (found,) = [one for one in self.samples if one.name == name and labels.items() <= one.labels.items()]
        return float(found.value)


def scrape(world: World) -> Scraped:
    """Write what was counted, and read all metrics."""
    world.parts.flusher.flush()
    return Scraped(exposition.render(world.parts).decode())


def test_every_metric_is_told_with_its_help_and_kind(world: World) -> None:
    world.run(world.automation(world.account(), "auto_entry", ENTRY))
    found = scrape(world).families
    assert found.keys() == {metric.name.removesuffix("_total") for metric in metrics.METRICS}
    for metric in metrics.METRICS:
        family = found[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(metric.labels), sample


def test_a_run_is_counted(world: World) -> None:
    entry = world.automation(world.account(), "auto_entry", ENTRY)
    world.run(entry)
    world.run(world.automation(world.accounts[0], "auto_entry", {**ENTRY, "trigger_price": 1}))
    world.run(world.automation(world.accounts[0], "grid_bot_of_somebody", {}))
    found = scrape(world)
    labels = metrics.executions.labels
    ended = {
        tuple(one.labels[name] for name in labels): one.value for one in found.families["axisor_executions"].samples
    }
    assert ended == {
        ("auto_entry", "auto_entry_executed", "completed", "lnmarkets"): 1,
        ("auto_entry", "open_position", "pending", "lnmarkets"): 1,
        ("unknown", "none", "failed", "lnmarkets"): 1,
    }
    assert found.value("axisor_exchange_requests_total", call="open_trade", outcome="ok") == 1
    assert found.value("axisor_exchange_request_duration_seconds_count", call="open_trade") == 1
    assert found.value("axisor_execution_start_delay_seconds_count", lane="default") == 3
    assert found.value("axisor_credentials_lookups_total", result="miss") == 1
    assert found.value("axisor_credentials_lookups_total", result="hit") >= 1
    assert found.value("axisor_price_age_seconds_count", exchange="lnmarkets") >= 1


def test_a_histogram_is_cumulated(world: World) -> None:
    name, call = "axisor_exchange_request_duration_seconds_bucket", "cancel_all_trades"  # no thread makes one meanwhile
    for seconds in (0.01, 0.3, 0.3, 99.0):
        metrics.request_seconds.observe(seconds, "lnmarkets", call)
    found = [one for one in scrape(world).samples if one.name == name and one.labels["call"] == call]
    bounds = {one.labels["le"]: one.value for one in found}
    assert (bounds["0.025"], bounds["0.25"], bounds["0.5"], bounds["30.0"], bounds["+Inf"]) == (1, 1, 3, 3, 4)
    assert list(bounds.values()) == sorted(bounds.values())


def test_refusals_of_the_exchange_and_of_a_plugin(world: World) -> None:
    account = world.account()
    world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade", status=400, count=1)
    world.run(world.automation(account, "auto_entry", ENTRY))
    metrics.plugin_errors.add("axisor-broken 1.0 [broken]", "observer")
    world.alerts  # noqa: B018  waits until they are told
    found = scrape(world)
    assert found.value("axisor_exchange_requests_total", call="open_trade", outcome="rejected") == 1
    assert found.value("axisor_plugin_errors_total", where="observer") == 1
    assert found.value("axisor_alerts_total", kind="api_error", outcome="sent") == 1
    assert found.value("axisor_alerts_total", kind="uncertain_outcome", outcome="sent") == 0


def test_how_things_stand(world: World) -> None:
    now = world.storage.now()
    with world.storage.connection():
        for one in ("completed", "uncertain", "uncertain"):
            put(world, now, {"account": "a1", "ago": 60, "took": 5, "status": one, "code": "unknown"})
    waiting = world.enqueue(world.job("auto789"))
    world.enqueue(world.job("auto790"))
    with world.storage.connection():
        ExecutionRow.update(status="waiting", wait_for="rate").where(ExecutionRow.id == waiting).execute()
    worker_row(world, counters={"threads": 8, "running": 2, "queues": ["protect"]})
    worker_row(world, counters={"threads": 4, "queues": ["default"]}, seconds=100, pid=2)
    found = scrape(world)
    assert found.value("axisor_executions_uncertain") == 2
    assert found.value("axisor_executions_waiting", reason="rate") == 1
    assert found.value("axisor_executions_waiting", reason="lease") == 0
    assert found.value("axisor_queue_executions", lane="default", status="queued") == 1
    assert found.value("axisor_queue_messages", lane="default") == 2
    assert (found.value("axisor_workers", state="alive"), found.value("axisor_workers", state="silent")) == (1, 1)
    assert (found.value("axisor_worker_threads"), found.value("axisor_worker_runs")) == (8, 2)
    assert found.value("axisor_lane_workers", lane="protect") == 1
    assert found.value("axisor_lane_workers", lane="default") == 0
    assert found.value("axisor_plugins", state="failed") == 0
    assert found.value("axisor_plugins", state="loaded") >= 4
    assert found.value("axisor_exchange_breakers_open", exchange="lnmarkets") == 0
    assert found.value("axisor_account_breakers_open") == 0


def test_an_exchange_that_is_away_shows_as_its_breaker(world: World) -> None:
    account = world.account()
    world.restart(breaker_failures=1)
    world.paper.add_fault("status_before", status=500)
    entry = world.automation(account, "auto_entry", ENTRY)
    for _ in range(4):
        world.run(entry)
    world.paper.clear_faults()
    found = scrape(world)
    assert found.value("axisor_exchange_breakers_open", exchange="lnmarkets") == 1
    assert found.value("axisor_exchange_requests_held_back_total", reason="circuit") >= 1


def test_so_does_a_plugin_that_fails_again_and_again(world: World) -> None:
    for number in range(world.settings.plugin_breaker_failures):
        plugin = PluginRef("axisor-tp-sl", "0.1", f"auto-{number}")
        world.parts.breakers.report_plugin(plugin, good=False, failure=PluginError("axisor-tp-sl 0.1 [tp_sl]: oh no"))
    found = scrape(world)
    assert found.value("axisor_plugin_breakers_open", plugin="axisor-tp-sl") == 1
    assert found.value("axisor_plugin_breakers_open", plugin="axisor-margin-guard") == 0
    assert found.value("axisor_exchange_breakers_open", exchange="lnmarkets") == 0


def test_while_redis_is_away_the_rest_is_told(world: World) -> None:
    world.restart(redis_url="redis://127.0.0.1:1")
    found = scrape(world)
    assert found.value("axisor_redis_up") == 0
    assert found.value("axisor_executions_uncertain") == 0
    assert not {"axisor_queue_messages", "axisor_exchange_breakers_open"} & found.families.keys()


def test_accounts_have_series_only_where_they_are_asked_for(world: World) -> None:
    account = world.account()
    entry = world.automation(account, "auto_entry", ENTRY)
    world.run(entry)
    assert account.id not in exposition.render(world.parts).decode()
    assert scrape(world).families["axisor_account_executions"].samples == []
    world.restart(metrics_per_account=True)
    world.run(entry)
    found = scrape(world)
    assert found.value("axisor_account_executions_total", account=account.id, status="completed") == 1


def test_counts_of_another_version_are_left_out(world: World) -> None:
    told: dict[str, list[Any]] = {
        metrics.executions.name: [[["one label"], [5]]],
        metrics.request_seconds.name: [[["lnmarkets", "cancel_all_trades"], [1, 2]]],
        "axisor_of_tomorrow_total": [[[], [1]]],
    }
    world.storage.run("INSERT INTO axisor_counts (process, counted_at, counts) VALUES ('x', {now}, ?)", told)
    found = scrape(world)
    assert found.families["axisor_executions"].samples == []
    timed = found.families["axisor_exchange_request_duration_seconds"].samples
    assert [one for one in timed if one.labels["call"] == "cancel_all_trades"] == []
    assert "axisor_of_tomorrow" not in found.families


class TestOverHttp:
    def test_it_is_prometheus_text(self, world: World, admin: Client) -> None:
        world.run(world.automation(world.account(), "auto_entry", ENTRY))
        world.parts.flusher.flush()
        answer = admin("GET", "/metrics")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert Scraped(answer.text).value("axisor_executions_total", status="completed") == 1

    def test_it_needs_a_reader_of_all_users(self, api: Api, base: str) -> None:
        assert api("execute").error("GET", "/metrics") == (403, "forbidden")
        assert api("read", user="user123").error("GET", "/metrics") == (403, "forbidden")
        nobody = Client(base, None)
        assert nobody.error("GET", "/metrics") == (401, "unauthenticated")
        nobody.close()

    def test_names_of_users_are_in_no_label(self, world: World, admin: Client) -> None:
        account = world.account(user_id="user-of-a-test", name="Name of a test")
        world.run(world.automation(account, "auto_entry", ENTRY), user_id=account.user_id)
        world.run(world.automation(account, 'type "of a\ntest', {}), user_id=account.user_id)
        world.parts.flusher.flush()
        text = admin("GET", "/metrics").text
        for told in (account.id, account.user_id, account.name, "of a test", "of a\\ntest"):
            assert told not in text


def test_buckets_of_all_histograms_have_an_end(world: World) -> None:
    for metric in metrics.COUNTED:
        if isinstance(metric, Histogram):
            metric.observe(1e9, *("x" for _ in metric.labels))
    found = scrape(world)
    for metric in metrics.COUNTED:
        if isinstance(metric, Histogram):
            ours = dict.fromkeys(metric.labels, "x")
            bucket = found.value(f"{metric.name}_bucket", le="+Inf", **ours)
            assert bucket == found.value(f"{metric.name}_count", **ours) == 1
