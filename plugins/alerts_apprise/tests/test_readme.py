"""The README's example is what is sent, and its tables and numbers are those of the code."""

import re
from pathlib import Path

from axisor_alerts_apprise import sending
from axisor_alerts_apprise.message import body, title
from axisor_alerts_apprise.sending import Sender
from axisor_executor.observe.alerts import Alert

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_example_is_what_is_sent():
    alert = Alert(
        "half_done_reduce",
        "critical",
        "Position b87eef8a is closed and was not reopened: the market moved 2.10 % from 50000 to 48950",
        user_id="user123",
        account_id="acc456",
        account_name="Main Account",
        automation_id="auto789",
        execution_id="019a3c5e-7b1f",
        details={"tradeId": "b87eef8a"},
        raised_at="2026-01-02T03:04:05.678Z",
    )
    (example,) = re.findall(r"```text\n(.*?)\n```", README, re.DOTALL)
    assert f"{title(alert)}\n\n{body(alert)}" == example


def test_the_urls_of_the_example_are_taken():
    (urls,) = re.findall(r'AXISOR_ALERT_URLS="(.*)"', README)
    names = [target.name for target in Sender(urls.replace("bottoken/chatid", f"123456789:{'a' * 35}/1234")).targets]
    assert names == ["1 (Telegram)", "2 (E-Mail)", "3 (JSON)"]


def test_severities():
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", README, re.MULTILINE))
    assert rows == {severity: kind.value for severity, kind in sending.TYPES.items()}


def test_numbers():
    assert f"up to {sending.TRIES} tries" in README
    assert f"within {sending.DEADLINE:g} seconds" in README
    assert (sending.PAUSES, sending.GIVEN_UP_SECONDS) == ((1.0, 3.0), 60.0)
