"""Alerts get to a real endpoint; what does not is told, within a bound, and no URL is."""

import dataclasses
import json
import logging
import smtplib
import threading
import time
from email import message_from_string, policy
from types import SimpleNamespace
from unittest import mock

import pytest
import requests

import axisor_alerts_apprise
from axisor_alerts_apprise import sending
from axisor_alerts_apprise.sending import Sender
from axisor_executor.observe.alerts import Alert

ALERT = Alert(
    "half_done_reduce",
    "critical",
    "Position t is closed and was not reopened <b>&",
    user_id="user123",
    account_id="acc456",
    account_name="Main Account",
    automation_id="auto789",
    execution_id="019a3c5e",
    details={"tradeId": "t"},
)


@pytest.fixture
def slept():
    return []


@pytest.fixture
def sender(slept):
    return lambda *urls: Sender(" ".join(urls), sleep=slept.append)


class TestDelivered:
    def test_as_people_read_it(self, endpoint, sender):
        assert sender(endpoint.url()).send(ALERT) == {"1 (JSON)": None}
        (body,) = endpoint.bodies
        assert body["title"] == "🛑 Critical: half done reduce (Main Account)"
        assert body["type"] == "failure"
        assert body["message"].splitlines() == [
            "Position t is closed and was not reopened <b>&",
            "",
            "Account: Main Account (acc456)",
            "User: user123",
            "Automation: auto789",
            "Execution: 019a3c5e",
            "tradeId: t",
            f"Raised: {ALERT.raised_at}",
            "More: axisor-executor executions show 019a3c5e",
        ]

    def test_without_what_is_not_known(self, endpoint, sender):
        alert = Alert("queue_backlog", "warning", "7 are queued", suppressed=4)
        sender(endpoint.url()).send(alert)
        (body,) = endpoint.bodies
        assert (body["title"], body["type"]) == ("⚠️ Warning: queue backlog", "warning")
        assert body["message"].splitlines() == [
            "7 are queued",
            "",
            f"Raised: {alert.raised_at}",
            "4 more of this kind were not sent since the last one.",
        ]

    @pytest.mark.parametrize(("severity", "kind"), [("info", "info"), ("warning", "warning"), ("error", "failure")])
    def test_the_severity_is_the_services_own(self, endpoint, sender, severity, kind):
        sender(endpoint.url()).send(dataclasses.replace(ALERT, severity=severity))
        assert endpoint.bodies[0]["type"] == kind

    @pytest.mark.parametrize("between", [" ", ",", ", ", "\n", " ,\n"])
    def test_to_every_target(self, endpoint, between):
        urls = between.join([endpoint.url("one"), endpoint.url("two?+X-To=a,b"), "", endpoint.url("three")])
        assert Sender(urls).send(ALERT) == {"1 (JSON)": None, "2 (JSON)": None, "3 (JSON)": None}
        assert sorted(path for path, _ in endpoint.requests) == ["/one", "/three", "/two"]


NAME = '<a href="https://evil.example">log in</a> <b> [x](https://evil.example)'
TELEGRAM = "tgram://123456789:AAabcdefghijklmnopqrstuvwxyz0123456/12315544/"
MAIL = "mailto://u:p@example.org?to=x@example.org"


class TestNamesAreText:
    """What users call things is never markup, in whichever format a service takes."""

    @pytest.fixture
    def posted(self, monkeypatch):
        """What was posted to Telegram."""
        texts = []

        def post(*_: object, data: str, **__: object) -> SimpleNamespace:
            texts.append(json.loads(data))
            return SimpleNamespace(status_code=200, content=b'{"ok": true}', text="")

        monkeypatch.setattr(requests, "post", post)
        return texts

    @pytest.fixture
    def mailed(self, monkeypatch):
        """What was handed to a mail server."""
        mails = []
        server = mock.Mock()
        server.sendmail = lambda _from, _to, text: mails.append(message_from_string(text, policy=policy.default))
        monkeypatch.setattr(smtplib, "SMTP", mock.Mock(return_value=server))
        return mails

    @pytest.mark.parametrize("url", [TELEGRAM, f"{TELEGRAM}?format=html"])
    def test_to_telegram(self, sender, posted, url):
        assert sender(url).send(dataclasses.replace(ALERT, account_name=NAME)) == {"1 (Telegram)": None}
        (sent,) = posted
        assert sent["parse_mode"] == "HTML"
        title, _, told = sent["text"].partition("</b>")  # its own, around the title
        for part in (title.removeprefix("<b>"), told):
            assert "<" not in part
            assert "&lt;a href=" in part

    def test_to_telegram_in_markdown(self, sender, posted):
        sender(f"{TELEGRAM}?format=markdown").send(dataclasses.replace(ALERT, account_name=NAME))
        (sent,) = posted
        assert sent["parse_mode"] == "MARKDOWN"
        assert sent["text"].count("[x") == sent["text"].count("\\[x") == 2, "in the title and below"

    @pytest.mark.parametrize("more", ["&format=html", "&format=text"])
    def test_by_mail(self, sender, mailed, more):
        assert sender(MAIL + more).send(dataclasses.replace(ALERT, account_name=NAME)) == {"1 (E-Mail)": None}
        (mail,) = mailed
        assert mail["Subject"].endswith(f"half done reduce ({NAME})"), "a subject is plain text"
        assert f"Account: {NAME} (acc456)" in mail.get_body(["plain"]).get_content()
        shown = mail.get_body(["html"])
        assert (shown is not None) is ("html" in more)
        if shown is not None:
            assert "<a" not in shown.get_content()
            assert "&lt;a" in shown.get_content()


class TestNotDelivered:
    def test_it_is_tried_again(self, endpoint, sender, slept):
        endpoint.statuses = [503, 500]
        assert sender(endpoint.url()).send(ALERT) == {"1 (JSON)": None}
        assert (len(endpoint.requests), slept) == (3, [1.0, 3.0])

    def test_three_times_at_most(self, endpoint, sender, caplog):
        endpoint.statuses = [503] * 9
        target = sender(endpoint.url())
        assert target.send(ALERT) == {"1 (JSON)": "not delivered in 3 tries"}
        assert len(endpoint.requests) == 3
        assert "Alert half_done_reduce could not be sent to 1 (JSON): not delivered in 3 tries" in caplog.text
        assert target.send(ALERT) == {"1 (JSON)": "not delivered in 1 try"}, "it was given up for now"
        assert len(endpoint.requests) == 4

    def test_one_that_cant_even_be_written_is_not_called_sent(self, endpoint, sender, monkeypatch):
        def broken(*_: object) -> str:
            raise ValueError("canary")

        monkeypatch.setattr(sending, "convert_between", broken)
        assert sender(endpoint.url()).send(ALERT) == {"1 (JSON)": "not delivered in 3 tries"}

    def test_one_that_recovers_is_tried_thrice_again(self, endpoint, sender):
        endpoint.statuses = [503] * 3
        target = sender(endpoint.url())
        target.send(ALERT)
        assert target.send(ALERT) == {"1 (JSON)": None}
        endpoint.statuses = [503] * 2
        assert target.send(ALERT) == {"1 (JSON)": None}

    def test_one_that_is_away_keeps_nothing_from_the_others(self, endpoint, sender):
        outcome = sender("json://127.0.0.1:1/canary-path", endpoint.url(), "nonsense://canary").send(ALERT)
        assert outcome == {
            "1 (JSON)": "not delivered in 3 tries",
            "2 (JSON)": None,
            "3 (unusable)": "Apprise can't use this URL",
        }
        assert len(endpoint.requests) == 1

    def test_one_that_hangs_costs_no_more_than_the_deadline(self, endpoint, sender, monkeypatch):
        monkeypatch.setattr(sending, "DEADLINE", 0.3)
        endpoint.hangs = True
        target = sender(endpoint.url())
        assert target.send(ALERT) == {"1 (JSON)": "no end after 0.3 s"}
        assert target.send(ALERT) == {"1 (JSON)": "still busy with an earlier alert"}
        (thread,) = [one for one in threading.enumerate() if one.name == sending.THREAD]
        assert thread.daemon, "it keeps no process from ending"
        endpoint.hangs = False
        endpoint.release.set()
        thread.join(30)
        monkeypatch.setattr(sending, "DEADLINE", 30.0)
        assert target.send(ALERT) == {"1 (JSON)": None}

    def test_an_answer_that_takes_too_long_is_none(self, endpoint, sender):
        endpoint.hangs = True
        began = time.monotonic()
        assert sender(endpoint.url().replace("rto=5", "rto=0.2")).send(ALERT) == {
            "1 (JSON)": "not delivered in 3 tries"
        }
        assert time.monotonic() - began < sending.DEADLINE
        while len(endpoint.requests) < 3 and time.monotonic() < began + 60:
            time.sleep(0.01)  # nobody waited for the answer to the last one, nor for its being heard
        assert len(endpoint.requests) == 3


class TestSecrets:
    def test_no_url_is_shown_at_any_level(self, endpoint, sender, caplog, capfd):
        caplog.set_level(logging.DEBUG)
        logging.getLogger("apprise").setLevel(logging.DEBUG)
        endpoint.statuses = [500] * 3
        outcome = sender(
            endpoint.url("canary-path"), "json://canary-host.invalid/canary-path", "tgram://canary-token", "canary://"
        ).send(ALERT)
        shown = capfd.readouterr()
        told = f"{outcome} {caplog.text} {shown.out} {shown.err} {[vars(one) for one in caplog.records]}"
        assert len(outcome) == 4
        assert "could not be sent" in told
        assert "canary" not in told

    def test_what_others_say_with_apprise_is_heard_as_before(self, sender, caplog):
        sender("json://127.0.0.1/")
        with caplog.at_level(logging.INFO):
            logging.getLogger("apprise").warning("of somebody else")
        assert "of somebody else" in caplog.text


class TestHook:
    def test_it_reads_the_variable(self, endpoint, monkeypatch):
        monkeypatch.setenv("AXISOR_ALERT_URLS", endpoint.url())
        assert axisor_alerts_apprise.axisor_alert(ALERT) == {"1 (JSON)": None}

    @pytest.mark.parametrize("value", ["", "  "])
    def test_without_it_nothing_is_sent(self, monkeypatch, value):
        monkeypatch.setenv("AXISOR_ALERT_URLS", value)
        (problem,) = axisor_alerts_apprise.axisor_alert(ALERT).items()
        assert problem == ("AXISOR_ALERT_URLS", "is not set: alerts stand in the log only")
