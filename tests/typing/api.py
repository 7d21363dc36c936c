"""The public types, pinned: mypy checks this file (``make lint``), nothing runs it.

What stands in ``assert_type`` is what the code of others may rely on. What is marked ``type: ignore`` has to be
refused: an ignore that is not needed any more fails the check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, assert_type
from uuid import UUID

from pydantic import SecretStr

import axisor_executor
from axisor_executor import (
    Job,
    Runtime,
    SecureCredentials,
    Settings,
    automation,
    enqueue,
    execute,
    get_automation_config,
    get_result,
    get_user_credentials,
    hook_api,
    hookspecs,
    migrate_existing_automations,
    set_user_credentials,
)
from axisor_executor import errors as e
from axisor_executor.automation import (
    AccountContext,
    AccountInfo,
    Act,
    Action,
    AddMargin,
    AutomationConfig,
    AutomationHandler,
    AutomationInfo,
    CancelOrder,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    Decision,
    Group,
    JobInfo,
    Lane,
    Number,
    OpenPosition,
    OwnEntry,
    Price,
    Reads,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
    SpendGuards,
    Wait,
    Whole,
    act,
    action_from_dict,
    jsonable,
    wait,
)
from axisor_executor.exchange import (
    ClientFactory,
    CrossPosition,
    ExchangeClient,
    ExchangeOptions,
    LNMarketsClient,
    OrderType,
    Side,
    Trade,
)
from axisor_executor.exchange.simulation import Simulation, SimulationFactory, SimulationOptions
from axisor_executor.observe.alerts import Alert
from axisor_executor.observe.finished import Finished
from axisor_executor.testing import (
    ACCOUNT,
    BALANCE,
    LAST_PRICE,
    NOW,
    AutomationRun,
    Case,
    FakeExchange,
    HandlerContract,
    PlainReads,
    make_context,
    make_cross_position,
    make_trade,
    run_automation,
)

# A handler, its config and the module's hooks, as the documentation shows them.

axisor_hook_api = "1.0"


class Config(SpendGuards, AutomationConfig):
    """A config with every kind of field."""

    action: str = "close_position"
    above: Annotated[Decimal, Number(least=0, most=100, unit="percent")]
    price: Annotated[Decimal, Price()] | None = None
    count: Annotated[int, Whole(above=0, unit="trades")] = 1


class Handler(AutomationHandler[Config]):
    """Decides by what it knows of its config."""

    type = "typed"
    title = "Typed"
    actions: ClassVar[Mapping[str, Lane]] = {"close_position": "protect", "enter": "default"}
    entries = frozenset({"enter"})
    config_model = Config

    def decide(self, context: AccountContext[Config]) -> Decision:
        assert_type(context.config, Config)
        assert_type(context.config.above, Decimal)
        assert_type(context.config.price, Decimal | None)
        assert_type(context.config.count, int)
        assert_type(context.config.cooldown_seconds, int | None)
        assert_type(context.config.max_daily_add_margin, int | None)
        assert_type(context.config.dry_run, bool)
        context.config.above = Decimal(1)  # type: ignore[misc]
        return act(ClosePosition(context.trade().id))


class NoDecision(AutomationHandler[Config]):
    """A handler has to return a decision, of the context that it is given."""

    def decide(self, context: AccountContext[Config]) -> str:  # type: ignore[override]
        return "close"


class OtherContext(AutomationHandler[Config]):
    """A handler of one config can't take another's context."""

    def decide(self, context: AccountContext[AutomationConfig]) -> int:  # type: ignore[override]
        return 1


@hookspecs.hookimpl
def axisor_register_automations(register: Callable[[AutomationHandler[Any]], None]) -> None:
    register(Handler())
    register(Handler)  # type: ignore[arg-type]
    AutomationHandler()  # type: ignore[abstract]


def a_handler(handler: Handler, raw: dict[str, Any]) -> None:
    assert_type(handler.choose_action(None, raw), str)
    assert_type(handler.parse_config(raw, "close_position"), Config)
    assert_type(handler.ignored(raw), tuple[str, ...])
    assert_type(handler.upgrade_config(raw, 1), Mapping[str, Any])
    assert_type(handler.config_version, int)
    assert_type(handler.type, str)
    assert_type(handler.title, str)
    assert_type(handler.collapses, bool)
    assert_type(handler.entries, frozenset[str])
    assert_type(handler.actions, Mapping[str, Lane])
    model: type[AutomationConfig] = handler.config_model
    lane: Lane = "fast"  # type: ignore[assignment]
    del lane, model


# What a handler gets


def the_context(context: AccountContext[Config]) -> None:
    assert_type(context.account, AccountInfo)
    assert_type(context.automation, AutomationInfo)
    assert_type(context.job, JobInfo)
    assert_type(context.now, datetime)
    assert_type(context.reads, Reads)
    assert_type(context.price(), Decimal)
    assert_type(context.balance(), int)
    assert_type(context.running_trades(), tuple[Trade, ...])
    assert_type(context.open_orders(), tuple[Trade, ...])
    assert_type(context.own_trades(), tuple[Trade, ...])
    assert_type(context.own_entries(NOW), tuple[OwnEntry, ...])
    assert_type(context.cooling_down(), frozenset[str])
    assert_type(context.trade(), Trade)
    assert_type(context.original_trade(context.trade()), Trade)
    assert_type(context.find_trade("t"), Trade | None)
    assert_type(context.finished_trade("t"), Trade | None)
    assert_type(context.cross_position(), CrossPosition)
    assert_type(context.current_id("t"), str)
    context.now = NOW  # type: ignore[misc]
    _ = context.credentials  # type: ignore[attr-defined]
    context.running_trades().clear()  # type: ignore[attr-defined]
    context.trade().pl = 0  # type: ignore[misc]


def its_parts(account: AccountInfo, automated: AutomationInfo, job: JobInfo, entry: OwnEntry) -> None:
    assert_type((account.id, account.name, account.user_id, account.exchange), tuple[str, str, str, str])
    assert_type(account.is_active, bool)
    assert_type((automated.id, automated.type, automated.risk_level), tuple[str, str, str | None])
    assert_type((job.action, job.trade_id), tuple[str, str | None])
    assert_type((entry.sent_at, entry.order), tuple[datetime, OpenPosition])
    assert_type(entry.status, Literal["sending", "unknown", "confirmed"])
    assert_type((entry.trade_id, entry.price, entry.margin), tuple[str | None, Decimal | None, int | None])


def a_trade(trade: Trade, position: CrossPosition) -> None:
    assert_type((trade.id, trade.side, trade.is_long), tuple[str, Side, bool])
    assert_type((trade.quantity, trade.margin, trade.pl), tuple[int, int, int])
    assert_type((trade.price, trade.liquidation, trade.leverage), tuple[Decimal, Decimal, Decimal])
    assert_type(
        (trade.stoploss, trade.takeprofit, trade.entry_price), tuple[Decimal | None, Decimal | None, Decimal | None]
    )
    assert_type((position.quantity, position.margin, position.total_pl), tuple[int, int, int])
    assert_type((position.entry_price, position.liquidation), tuple[Decimal | None, Decimal | None])


def reads(some: PlainReads) -> Reads:
    assert_type(some.asked, list[str])
    return some


# What a handler returns


def decisions(decision: Decision, given: Act, waits: Wait, group: Group) -> None:
    assert_type(decision, Act | Wait)
    assert_type(act(ClosePosition("t"), name="x", trade_id="t", facts={"a": 1}), Act)
    assert_type(wait("price_above", currentPrice=Decimal(1)), Wait)
    assert_type((given.groups, given.action, given.lists_trades), tuple[tuple[Group, ...], str, bool])
    assert_type((given.facts, waits.facts, group.facts), tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]])
    assert_type((waits.reason, group.action, group.status, group.trade_id), tuple[str, str, str, str | None])
    assert_type(group.actions, tuple[Action, ...])
    assert_type(given.as_dict(), dict[str, Any])
    assert_type(Act.from_dict(given.as_dict()), Act)
    assert_type(jsonable({"a": Decimal(1)}), Any)
    act("close_position")  # type: ignore[arg-type]
    wait()  # type: ignore[call-arg]
    Group("x", [ClosePosition("t")])  # type: ignore[arg-type]
    given.action = "x"  # type: ignore[misc]


def actions(stored: Mapping[str, Any]) -> Iterator[Action]:
    yield ClosePosition("t")
    yield AddMargin("t", 1000)
    yield CashIn("t", 1000)
    yield SetTakeProfit("t", Decimal(60_000))
    yield SetStopLoss("t", Decimal(40_000))
    yield CancelOrder("t")
    yield CloseCrossPosition("c", "buy", 100)
    yield ReduceCrossPosition("c", "sell", 100, 50)
    yield OpenPosition("buy", 100, Decimal(10), "limit", Decimal(50_000), stoploss=None, takeprofit=Decimal(60_000))
    yield action_from_dict(stored)
    assert_type(AddMargin("t", 1).amount, int)
    assert_type(SetStopLoss("t", Decimal(1)).value, Decimal)
    assert_type(OpenPosition("buy", 1, Decimal(1)).type, OrderType)
    assert_type(ClosePosition("t").target, str | None)
    assert_type(ClosePosition("t").risk_reducing, bool)
    assert_type(ClosePosition("t").as_dict(), dict[str, Any])
    AddMargin("t", Decimal(1000))  # type: ignore[arg-type]
    SetStopLoss("t", 40_000.5)  # type: ignore[arg-type]
    OpenPosition("long", 100, Decimal(10))  # type: ignore[arg-type]
    OpenPosition("buy", 100.5, Decimal(10))  # type: ignore[arg-type]
    OpenPosition("buy", 100, 10)  # type: ignore[arg-type]
    ClosePosition(7)  # type: ignore[arg-type]


def one_of_the_library_is_one_for_plugins() -> None:
    """The names that stand in both places are the same things."""
    assert_type(axisor_executor.act(axisor_executor.ClosePosition("t")), automation.Act)
    assert_type(axisor_executor.wait("x"), automation.Wait)
    contexts: type[AccountContext[Any]] = axisor_executor.AccountContext

    class Own(axisor_executor.AutomationHandler[Config]):
        def decide(self, context: axisor_executor.AccountContext[Config]) -> axisor_executor.Decision:
            return wait("never")

    handler: AutomationHandler[Config] = Own()
    configs: type[AutomationConfig] = axisor_executor.AutomationConfig
    made: tuple[type[Act], type[Group], type[Wait]] = (axisor_executor.Act, axisor_executor.Group, axisor_executor.Wait)
    kinds: Sequence[type[Action]] = (
        axisor_executor.AddMargin,
        axisor_executor.CancelOrder,
        axisor_executor.CashIn,
        axisor_executor.CloseCrossPosition,
        axisor_executor.OpenPosition,
        axisor_executor.ReduceCrossPosition,
        axisor_executor.SetStopLoss,
        axisor_executor.SetTakeProfit,
    )
    decision: axisor_executor.Decision = wait("x")
    error: type[Exception] = axisor_executor.AxisorError
    assert_type(axisor_executor.__version__, str)
    del contexts, handler, configs, made, kinds, decision, error


# The hooks: their signatures, and what they are called with


def hooks() -> None:
    automations: Callable[[Callable[[AutomationHandler[Any]], None]], None] = hookspecs.axisor_register_automations
    exchanges: Callable[[Callable[[str, ClientFactory], None]], None] = hookspecs.axisor_register_exchanges
    simulations: Callable[[Callable[[str, SimulationFactory], None]], None] = hookspecs.axisor_register_simulations
    finished: Callable[[Finished], None] = hookspecs.axisor_execution_finished
    alert: Callable[[Alert], Mapping[str, str | None] | None] = hookspecs.axisor_alert
    marked: Callable[[], int] = axisor_executor.hookimpl(lambda: 1)
    assert_type(hookspecs.HOOK_API_VERSION, tuple[int, int])
    assert_type(hook_api.ATTRIBUTE, str)
    wrong: Callable[[Finished], None] = hookspecs.axisor_alert  # type: ignore[assignment]
    del automations, exchanges, simulations, finished, alert, marked, wrong


def what_observers_get(finished: Finished, alert: Alert) -> None:
    assert_type((finished.execution_id, finished.user_id, finished.automation_id), tuple[str, str, str])
    assert_type((finished.account_id, finished.account_name), tuple[str | None, str | None])
    assert_type((finished.status, finished.duration_seconds), tuple[str, float])
    assert_type(alert.severity, Literal["info", "warning", "error", "critical"])
    assert_type((alert.message, alert.account_id, alert.topic), tuple[str, str | None, str | None])
    assert_type((alert.details, alert.suppressed), tuple[dict[str, Any], int])


def an_exchange(options: ExchangeOptions, credentials: SecureCredentials | None) -> ExchangeClient:
    assert_type((options.slug, options.base_url, options.request_timeout), tuple[str, str, float])
    factory: ClientFactory = an_exchange
    own: ClientFactory = LNMarketsClient
    del factory
    return own(options, credentials)


def a_simulation(options: SimulationOptions) -> Simulation:
    factory: SimulationFactory = a_simulation
    return factory(options)


# What an application calls


def the_library(settings: Settings, credentials: SecureCredentials) -> None:
    job = Job(user_id="user123", automation_id="auto123", action=None, trade_id=None)
    assert_type(enqueue(job), str)
    assert_type(enqueue({"userId": "u", "automationId": "a"}, "key"), str)
    assert_type(execute(job, idempotency_key="key"), dict[str, Any])
    assert_type(get_result("e"), dict[str, Any])
    assert_type(get_result("e", wait=5.0), dict[str, Any])
    assert_type(get_automation_config("a"), dict[str, Any])
    assert_type(get_user_credentials("u"), SecureCredentials)
    assert_type(get_user_credentials("u", account_id="a"), SecureCredentials)
    assert_type(migrate_existing_automations("u"), dict[str, Any])
    some_id = UUID(int=1)
    assert_type((get_result(some_id), get_automation_config(some_id)), tuple[dict[str, Any], dict[str, Any]])
    assert_type(get_user_credentials(some_id, some_id), SecureCredentials)
    get_automation_config(7)  # type: ignore[arg-type]
    set_user_credentials("u", "a", key="k", secret="s", passphrase="p", is_testnet=False)
    assert_type(job.as_wire(), dict[str, Any])
    assert_type((credentials.reveal_key(), credentials.reveal_secret()), tuple[str, str])
    assert_type(Runtime(settings).build(), Runtime)
    assert_type(Runtime().settings, Settings)
    assert_type((settings.redis_url, settings.mode), tuple[str, Literal["live", "dry_run"]])
    assert_type(settings.encryption_key, SecretStr | None)
    assert_type((settings.plugin_breaker_failures, settings.plugin_breaker_probe_seconds), tuple[int, float])
    enqueue(7)  # type: ignore[arg-type]
    enqueue("auto123")  # type: ignore[arg-type]
    get_result()  # type: ignore[call-arg]
    set_user_credentials("u", "a", credentials)  # type: ignore[call-arg, arg-type]


def errors(error: e.AxisorError, away: e.Unavailable) -> None:
    assert_type((error.status, error.code, error.message), tuple[int, str, str])
    assert_type((error.account_id, error.account_name), tuple[str | None, str | None])
    assert_type((error.details, error.as_dict()), tuple[dict[str, Any], dict[str, Any]])
    assert_type(away.retry_after, float | None)
    raised: Sequence[e.AxisorError] = (
        e.Refused("no", code="own", status=400, details={"a": 1}),
        e.NotFound("no"),
        e.InvalidConfig("no"),
        e.InvalidJob("no"),
        e.StaleData("no"),
        e.Unavailable("no", retry_after=1.0),
    )
    e.Refused()  # type: ignore[call-arg]
    del raised


# What an author's tests call


def the_testing(handler: Handler, exchange: FakeExchange) -> None:
    trade = make_trade(side="sell", entry_price=50_000, leverage=10, last_price=Decimal(48_000))
    assert_type(trade, Trade)
    assert_type(make_cross_position(quantity=-100), CrossPosition)
    context = make_context({"above": 1}, handler=handler, trade_id=trade.id, running=[trade], price=None, now=NOW)
    assert_type(context, AccountContext[Config])
    assert_type(make_context(Config(above=Decimal(1)), handler=handler, account=ACCOUNT), AccountContext[Config])
    assert_type((BALANCE, LAST_PRICE), tuple[int, Decimal])
    assert_type(exchange.trade("t"), Trade)
    assert_type(exchange.carry_out(wait("x")), FakeExchange)
    assert_type(exchange.copy(), FakeExchange)
    case = Case({"above": 1}, exchange, trade_id="t")
    assert_type(case.context(handler), AccountContext[Any])
    run = run_automation(Handler, {"above": 1}, trades=[trade], price=48_000, then_price=[47_000, 46_000])
    assert_type(run, AutomationRun)
    assert_type((run.result, run.plan), tuple[Mapping[str, Any], Mapping[str, Any] | None])
    assert_type((run.actions, run.balance, run.price), tuple[tuple[Action, ...], int, Decimal])
    make_context({"above": 1})  # type: ignore[call-arg]
    make_trade(side="long")  # type: ignore[arg-type]


class TestHandler(HandlerContract):
    """The contract is inherited; what it needs is named."""

    handler = Handler
    configs: ClassVar[Sequence[Mapping[str, Any]]] = [{"above": 1}]
    trade = make_trade()
    mirrored = True
