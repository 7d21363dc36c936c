"""The console over plain HTTP: who gets in and stays in, what may be changed, and what the pages hold."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
import requests

from axisor_executor import switching
from axisor_executor.embedded import PrivateRedis
from axisor_executor.errors import Rejected
from axisor_executor.limits.breaker import AccountRef
from axisor_executor.observe.logs import timestamp
from axisor_executor.runtime import Runtime
from axisor_executor.service import create_app
from axisor_executor.service.callers import COOKIE, CSRF_HEADER
from axisor_executor.service.console import pages
from axisor_executor.service.console.kept import KEPT_TIMES, Kept
from axisor_executor.service.console.login import LOGINS_PER_MINUTE
from axisor_executor.service.console.rendering import PAGE_HEADERS
from axisor_executor.service.console.view import CHART_MINUTES
from axisor_executor.service.gate import OPEN, SECURITY_HEADERS
from axisor_executor.storage import series, sessions, switches, tokens
from axisor_executor.storage.tokens import SCOPES, Scope
from tests.harness.world import World
from tests.integration.test_canaries import KEYS, PLAIN, Findings
from tests.service.conftest import Client, client_of, served

ENTRY = {"side": "b", "quantity": 100}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NASTY = "\"><script>alert(1)</script><b id='x'>&amp;{{ 7*7 }}'; DROP TABLE axisor_tokens; --"


class Visitor:
    """A browser without JavaScript: keeps cookies, follows no redirect by itself."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(HTML)
        self.heard: list[str] = []

    def __call__(self, method: str, path: str, **more: Any) -> requests.Response:
        answer = self.session.request(method, f"{self.base}{path}", timeout=60, allow_redirects=False, **more)
        self.heard.append(f"{answer.headers}\n{answer.text}")
        return answer

    def log_in(self, token: str, **more: Any) -> requests.Response:
        """Send the login form."""
        return self("POST", "/login", data={"token": token}, **more)

    @property
    def cookie(self) -> str:
        """The session's text."""
        return str(self.session.cookies[COOKIE])

    @property
    def csrf(self) -> str:
        """What the page brings with each change."""
        found = re.search(r'name="csrf" content="([0-9a-f]{64})"', self("GET", "/").text)
        assert found
        return found[1]


@pytest.fixture
def visitor(base: str) -> Iterator[Visitor]:
    """Somebody who has not logged in."""
    made = Visitor(base)
    yield made
    made.session.close()


def token_of(world: World, *scopes: Scope, user: str | None = None) -> str:
    """Make a token and return its text."""
    return tokens.create(world.storage, "of a test", scopes or SCOPES, user_id=user)[0]


@pytest.fixture
def inside(world: World, visitor: Visitor) -> Visitor:
    """Somebody who has logged in with all scopes."""
    assert visitor.log_in(token_of(world)).status_code == 303
    return visitor


class TestLogin:
    def test_a_browser_is_led_there_and_a_program_is_not(self, visitor: Visitor) -> None:
        for path in ("/", "/console/executions/x"):
            answer = visitor("GET", path)
            assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
            assert visitor("GET", path, headers={"Accept": "*/*"}).status_code == 401
        for path in ("/console/live", "/console/console.js", "/console/explanations/x", "/api/switches"):
            assert visitor("GET", path).status_code == 401

    def test_what_is_open_and_nothing_else(self, visitor: Visitor) -> None:
        assert {"/healthz", "/login", "/console/console.css", "/console/icon.svg"} == OPEN
        for path in OPEN:
            assert visitor("GET", path).ok
        page = visitor("GET", "/login").text
        loaded = set(re.findall(r'(?:src|href)="([^"]+)"', page))
        assert loaded <= OPEN, "the login page loads nothing that is closed"

    def test_a_token_is_traded_for_a_cookie(self, world: World, visitor: Visitor) -> None:
        text = token_of(world)
        answer = visitor.log_in(f" {text}\n")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={sessions.SESSION_SECONDS}"} <= set(
            cookie.split("; ")
        )
        assert "Secure" not in cookie, "this was plain HTTP, where a browser would drop it"
        assert text not in cookie
        page = visitor("GET", "/")
        assert page.status_code == 200
        assert text not in page.text
        assert visitor.cookie not in page.text

    def test_behind_https_the_cookie_keeps_to_it(self, world: World, visitor: Visitor) -> None:
        answer = visitor.log_in(token_of(world), headers={"X-Forwarded-Proto": "https"})
        assert "Secure" in answer.headers["Set-Cookie"].split("; ")

    def test_the_database_holds_neither_cookie_nor_csrf_token(self, world: World, inside: Visitor) -> None:
        ((*kept,),) = world.storage.rows("SELECT * FROM axisor_sessions")
        assert inside.cookie not in str(kept)
        assert inside.csrf not in str(kept)

    @pytest.mark.parametrize("token", ["", "x", f"axisor_0123456789abcdef_{'A' * 43}", NASTY, "\0", "axisor_\ud800"])
    def test_what_is_no_token_is_refused(self, visitor: Visitor, token: str) -> None:
        answer = visitor("POST", "/login", data=f"token={requests.utils.quote(token.encode('utf-8', 'replace'))}")
        assert answer.status_code == 401
        assert "This is no valid token." in answer.text
        assert "Set-Cookie" not in answer.headers
        assert "alert(1)" not in answer.text

    def test_a_token_that_may_not_read_opens_no_console(self, world: World, visitor: Visitor) -> None:
        answer = visitor.log_in(token_of(world, "execute", "operate"))
        assert answer.status_code == 403
        assert "may not read" in answer.text
        assert "Set-Cookie" not in answer.headers

    def test_guessing_is_slowed_down(self, visitor: Visitor) -> None:
        answers = [visitor.log_in("wrong").status_code for _ in range(LOGINS_PER_MINUTE + 1)]
        assert answers == [401] * LOGINS_PER_MINUTE + [429]
        answer = visitor.log_in("wrong")
        assert "Too many attempts" in answer.text
        assert 1 <= int(answer.headers["Retry-After"]) <= 61

    def test_a_form_of_another_site_does_not_log_in(self, world: World, visitor: Visitor) -> None:
        text = token_of(world)
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://["},
            {"Origin": "//"},
        ):
            assert visitor.log_in(text, headers=headers).status_code == 403
        host = visitor.base.removeprefix("http://")
        assert visitor.log_in(text, headers={"Origin": f"http://{host}"}).status_code == 303
        proxied = {"Origin": "https://console.example", "Sec-Fetch-Site": "same-origin"}
        assert visitor.log_in(text, headers=proxied).status_code == 303, "a proxy may change the host"

    def test_forms_that_are_none(self, visitor: Visitor) -> None:
        assert visitor("POST", "/login", data="&".join(f"a{n}=1" for n in range(50))).status_code == 400
        assert visitor("POST", "/login", data=b"x" * 40_000).status_code == 413
        assert visitor("POST", "/login", data=b"\xff\xfe=%ff&token").status_code == 401


class TestSession:
    def test_a_revoked_token_ends_it_at_once(self, world: World, inside: Visitor) -> None:
        assert inside("GET", "/console/live").status_code == 200
        (token,) = tokens.listed(world.storage)
        tokens.revoke(world.storage, token.id)
        assert inside("GET", "/console/live").status_code == 401
        assert inside("GET", "/").headers["Location"] == "/login"

    def test_a_token_that_expires_ends_it(self, world: World, inside: Visitor) -> None:
        world.storage.run("UPDATE axisor_tokens SET expires_at = {later}", -1)
        assert inside("GET", "/console/live").status_code == 401

    def test_it_ends_by_itself_and_is_forgotten(self, world: World, inside: Visitor) -> None:
        world.storage.run("UPDATE axisor_sessions SET expires_at = {later}", -1)
        assert inside("GET", "/console/live").status_code == 401
        inside.log_in(token_of(world))
        assert len(world.storage.rows("SELECT * FROM axisor_sessions")) == 1

    def test_log_out_ends_it_for_good(self, world: World, inside: Visitor) -> None:
        cookie = inside.cookie
        assert inside("POST", "/logout", data={"csrf": "0" * 64}).status_code == 403
        answer = inside("POST", "/logout", data={"csrf": inside.csrf})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
        assert world.storage.rows("SELECT * FROM axisor_sessions") == []
        assert COOKIE not in inside.session.cookies
        assert inside("GET", "/console/live", headers={"Cookie": f"{COOKIE}={cookie}"}).status_code == 401

    @pytest.mark.parametrize("cookie", ["", "x", "x" * 4000, "{digest}", '"', "a;b=c", "{cookie}; axisor_session=x"])
    def test_cookies_that_are_none(self, world: World, inside: Visitor, cookie: str) -> None:
        digest = world.storage.rows("SELECT digest FROM axisor_sessions")[0][0]
        given = f"{COOKIE}={cookie.format(digest=digest, cookie=inside.cookie)}"
        stranger = Visitor(inside.base)
        assert stranger("GET", "/console/live", headers={"Cookie": given}).status_code == 401

    @pytest.mark.parametrize(
        "theirs", ['prefs={"a":1}', "a=b,c@d", "bad name=1", "flag", "=", "", '"', "x" + COOKIE + "=x"]
    )
    def test_cookies_of_other_applications_beside_it(self, inside: Visitor, theirs: str) -> None:
        own = f"{COOKIE}={inside.cookie}"
        for given in (f"{theirs}; {own}", f"{own};{theirs}", f"{theirs};{own} ;{theirs}"):
            assert Visitor(inside.base)("GET", "/console/live", headers={"Cookie": given}).status_code == 200, given

    def test_a_token_in_the_header_counts_before_the_cookie(self, inside: Visitor) -> None:
        assert inside("GET", "/api/switches").status_code == 200
        assert inside("GET", "/api/switches", headers={"Authorization": "Bearer wrong"}).status_code == 401

    def test_there_is_no_session_to_end_for_a_token(self, admin: Client) -> None:
        assert admin.error("POST", "/logout") == (400, "invalid_request")


BODY = {"scope": "all"}


class TestChanges:
    def test_with_the_pages_own_token_they_are_made(self, world: World, inside: Visitor) -> None:
        headers = {CSRF_HEADER: inside.csrf, "Sec-Fetch-Site": "same-origin"}
        assert inside("POST", "/api/switches", json=BODY, headers=headers).status_code == 200
        assert "Everything" in inside("GET", "/console/live").text
        assert inside("DELETE", "/api/switches?scope=all", headers=headers).json() == {"removed": True}

    def test_without_it_nothing_is(self, world: World, visitor: Visitor, inside: Visitor) -> None:
        other = Visitor(inside.base)
        other.log_in(token_of(world))
        own = inside.csrf
        wrong: list[dict[str, str]] = [
            {},
            {CSRF_HEADER: ""},
            {CSRF_HEADER: "0" * 64},
            {CSRF_HEADER: other.csrf},
            {CSRF_HEADER: inside.cookie},
            {CSRF_HEADER: "\xe9"},
            {CSRF_HEADER: own, "Sec-Fetch-Site": "cross-site"},
            {CSRF_HEADER: own, "Origin": "https://evil.example"},
        ]
        for headers in wrong:
            for method, path in (
                ("POST", "/api/switches"),
                ("DELETE", "/api/switches?scope=all"),
                ("POST", "/api/automation/execute"),
                ("POST", "/api/automation/executions/x/retry"),
                ("PATCH", "/nothing"),
            ):
                answer = inside(method, path, json=BODY, headers=headers)
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_origin"), (headers, path)
        assert inside("POST", "/logout", data={"csrf": other.csrf}).status_code == 403
        assert world.storage.rows("SELECT * FROM axisor_switches") == []

    def test_the_scopes_of_the_token_are_those_of_the_session(self, world: World, visitor: Visitor) -> None:
        world.account("user123", "Main Account")
        visitor.log_in(token_of(world, "read"))
        page = visitor("GET", "/").text
        assert "read only" in page
        assert "data-switch" not in page
        assert "<dialog" not in page
        headers = {CSRF_HEADER: visitor.csrf}
        answer = visitor("POST", "/api/switches", json=BODY, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert visitor("POST", "/api/automation/execute", json=world.job("x"), headers=headers).status_code == 403


class TestHeaders:
    def test_pages_run_only_what_is_their_own(self, world: World, inside: Visitor) -> None:
        done = world.run(world.automation(world.account(), "auto_entry", ENTRY))["executionId"]
        for path in ("/", "/login", "/console/live", f"/console/executions/{done}", f"/console/explanations/{done}"):
            answer = inside("GET", path)
            assert answer.status_code == 200
            assert {name: answer.headers[name] for name in SECURITY_HEADERS} == {**SECURITY_HEADERS, **PAGE_HEADERS}
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert not re.search(
                r"<style|\sstyle=|<script(?! type=\"module\" src=\"/console/)|\son\w+=|https?:", answer.text
            )
        policy = PAGE_HEADERS["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy.split("; "))

    def test_files_have_their_types_and_load_nothing_from_elsewhere(self, inside: Visitor) -> None:
        assert {"console.css", "console.js", "icon.svg"} <= pages._FILES.keys()
        for name, (content, kind) in pages._FILES.items():
            answer = inside("GET", f"/console/{name}")
            assert answer.content == content
            assert answer.headers["Content-Type"].partition(";")[0] == kind
            assert answer.headers["Cache-Control"] == "no-store"
            assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", content)
        for name in ("nothing.js", "..%2Fpages.py", "%2e%2e/pages.py", "__init__.py"):
            assert inside("GET", f"/console/{name}").status_code == 404


class Texts(HTMLParser):
    """The texts and the elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elements: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.elements |= {f"#{value}" for name, value in attrs if name == "id"}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class TestContents:
    def test_names_are_text_wherever_they_stand(self, world: World, inside: Visitor) -> None:
        account = world.account(NASTY, NASTY)
        entry = world.automation(account, "auto_entry", {**ENTRY, NASTY: NASTY})
        job = world.job(entry, user_id=NASTY, action=NASTY, trade_id=NASTY)
        taken = world.enqueue(job, NASTY)
        world.parts.executor.run(taken)
        switching.pause(world.storage, "account", account.id, reason=NASTY)
        switches.put(world.storage, "automation", NASTY, "paused", None)
        text, _ = tokens.create(world.storage, NASTY, SCOPES)
        inside.log_in(text)
        search = {"q": NASTY, "account": NASTY}
        for path, params in (
            ("/", {}),
            ("/", search),
            ("/console/live", search),
            (f"/console/executions/{taken}", {}),
            (f"/console/explanations/{taken}", {}),
        ):
            answer = inside("GET", path, params=params)
            assert answer.status_code == 200
            found = Texts(answer.text)
            assert NASTY in "".join(found.texts), path
            assert "#x" not in found.elements
            assert "<script>" not in answer.text
            assert "49" not in re.findall(r"&amp;amp;(\S+)", answer.text), "and no template"
        assert len(tokens.listed(world.storage)) == 2

    def test_everything_of_an_execution_is_told(self, world: World, inside: Visitor) -> None:
        account = world.account("user123", "Main Account")
        result = world.run(world.automation(account, "auto_entry", ENTRY))
        page = inside("GET", "/").text
        assert result["executionId"] in page
        assert "Main Account" in page
        told = inside("GET", f"/console/executions/{result['executionId']}").text
        (action,) = world.actions(result["executionId"])
        for fact in (result["tradeId"], action.key_fingerprint, str(action.timestamp_ms), action.exchange_user_id):
            assert fact
            assert fact in told

    def test_filters_choose(self, world: World, inside: Visitor) -> None:
        one, two = world.account("user123", "One"), world.account("user456", "Two % of_it")
        good = world.run(world.automation(one, "auto_entry", ENTRY))["executionId"]
        bad = world.run(world.automation(two, "auto_entry", {}), user_id="user456")["executionId"]

        def shown(**asked: str) -> set[str]:
            return set(re.findall(r'data-explain="([^"]+)"', inside("GET", "/", params=asked).text))

        assert shown() == {good, bad}
        assert shown(show="bad") == shown(account="Two % of_it") == shown(account=two.id) == {bad}
        assert shown(show="live") == shown(account="two") == set()

        def found(text: str) -> set[str]:
            part = inside("GET", "/", params={"q": text}).text.partition('id="accounts-title"')[2]
            return {name for name in ("One", "Two % of_it") if f">{name}</a>" in part}

        assert found("") == found("user") == {"One", "Two % of_it"}
        assert found("two %") == found("USER456") == found(two.id[:8]) == found("_it") == {"Two % of_it"}
        assert found("x%x") == found("o_e") == found("' OR 1=1") == set()
        assert inside("GET", "/", params={"show": "nonsense"}).status_code == 400

    def test_accounts_without_an_execution_are_listed_too_and_the_worst_first(
        self, world: World, inside: Visitor
    ) -> None:
        world.account("user123", "A idle")
        good, bad = world.account("user123", "B good"), world.account("user123", "C bad", is_active=False)
        world.run(world.automation(good, "auto_entry", ENTRY))
        world.run(world.automation(bad, "auto_entry", {}))
        names = re.findall(r">([ABC] \w+)</a>", inside("GET", "/console/live").text)
        assert names == ["C bad", "B good", "A idle"]

    def test_charts_are_of_each_minute(self, world: World, inside: Visitor) -> None:
        one, two = world.account("user123", "One"), world.account("user456", "Two")
        entry = world.automation(one, "auto_entry", ENTRY)
        ids = [world.run(entry)["executionId"] for _ in range(5)]
        world.run(world.automation(two, "auto_entry", {}), user_id="user456")
        start = world.storage.now().replace(second=0, microsecond=0)
        for execution_id, minutes, took in zip(ids, (0, 3, 3, 59, 60), (1, 2, 4, 1, 1), strict=True):
            ended = start - timedelta(minutes=minutes) + timedelta(milliseconds=1)
            world.storage.run(
                "UPDATE axisor_executions SET started_at = ?, finished_at = ? WHERE id = ?",
                ended - timedelta(seconds=took),
                ended,
                execution_id,
            )
        page = inside("GET", "/console/live").text
        charts = re.search(r'data-minutes="([^"]+)"', page)
        assert charts
        # A minute may have begun since.
        told = {one["at"]: one for one in json.loads(html.unescape(charts[1]))}
        assert len(told) == CHART_MINUTES
        assert sum(one["errors"] for one in told.values()) == 1
        three = told[timestamp(start - timedelta(minutes=3))]
        assert (three["executions"], three["errors"], round(three["averageMs"])) == (2, 0, 3000)
        quiet = told[timestamp(start - timedelta(minutes=7))]
        assert (quiet["executions"], quiet["averageMs"]) == (0, None)
        own = series.minutes(world.storage, 60, user_id="user456")
        assert sum(one["executions"] for one in own) == 1

    def test_a_bound_token_sees_its_users_things_only(self, world: World, visitor: Visitor) -> None:
        ran: dict[str, str] = {}
        for user in ("user123", "user456"):
            account = world.account(user, f"Account of {user}")
            ran[user] = world.run(world.automation(account, "auto_entry", ENTRY), user_id=user)["executionId"]
            switching.pause(world.storage, "account", account.id, reason=f"reason of {user}")
        switching.pause(world.storage, "all")
        visitor.log_in(token_of(world, user="user123"))
        for path in ("/", "/console/live", "/?q=user", "/?account=Account%20of%20user456", "/?show=all"):
            page = visitor("GET", path).text
            assert "reason of user123" in page
            assert "user456" not in page.replace("Account of user456&#34;", "").replace(
                'value="Account of user456"', ""
            )
            assert ran["user456"] not in page
        page = visitor("GET", "/").text
        for hidden in ("Pause everything", "Workers", "Queues", "Everything", 'value="exchange"'):
            assert hidden not in page
        assert visitor("GET", f"/console/executions/{ran['user123']}").status_code == 200
        for path in ("executions", "explanations"):
            missing = visitor("GET", f"/console/{path}/no-such-one")
            foreign = visitor("GET", f"/console/{path}/{ran['user456']}")
            assert (missing.status_code, foreign.status_code) == (404, 404)
            assert foreign.text.replace(ran["user456"], "ID") == missing.text.replace("no-such-one", "ID")

    def test_a_bound_token_is_not_told_that_everything_runs(self, world: World, visitor: Visitor) -> None:
        world.account()
        visitor.log_in(token_of(world))
        page = visitor("GET", "/console/live").text
        assert "everything runs" in page
        assert "all calls go through" in page
        switching.pause(world.storage, "all")
        visitor.log_in(token_of(world, user="user123"))
        page = visitor("GET", "/console/live").text
        assert "None of yours is set" in page
        assert "None of your accounts" in page
        assert "everything runs" not in page
        assert "all calls go through" not in page

    def test_open_breakers_are_shown_to_whom_they_concern(self, world: World, inside: Visitor) -> None:
        for user in ("user123", "user456"):
            account = world.account(user, f"Account of {user}")
            whose = AccountRef(id=account.id, name=account.name, user_id=user, fingerprint="f", digest="d")
            refused = Rejected("<b>no</b> such key", code="exchange_unauthorized", status=401)
            for _ in range(world.settings.breaker_refusals):
                world.parts.breakers.report("lnmarkets@host", whose, mutating=False, failure=refused)
        page = inside("GET", "/console/live").text.partition('id="breakers-title"')[2].partition("</section>")[0]
        assert "Account of user123" in page
        assert "Account of user456" in page
        assert "&lt;b&gt;no&lt;/b&gt; such key" in page
        inside.log_in(token_of(world, user="user456"))
        page = inside("GET", "/console/live").text
        assert "such key" in page
        assert "user123" not in page

    def test_without_redis_the_page_says_so(self, world: World, own_redis: PrivateRedis) -> None:
        world.restart(redis_url=own_redis.url)
        with client_of(world) as api:
            visitor = Visitor(api.base)
            visitor.log_in(str(api.token))
            own_redis.stop()
            answer = visitor("GET", "/")
        assert answer.status_code == 200
        assert "Redis can&#39;t be used" in answer.text

    def test_without_the_database_people_get_a_page(self, world: World) -> None:
        lost = Runtime(
            world.settings.model_copy(update={"database_url": "postgresql://axisor:x@127.0.0.1:1/axisor"}),
            registry=world.parts.registry,
        )
        with served(create_app(lost)) as base:
            visitor = Visitor(base)
            answers = [
                visitor("GET", "/", headers={"Cookie": f"{COOKIE}=x"}),
                visitor.log_in(f"axisor_0123456789abcdef_{'A' * 43}"),
            ]
        lost.close()
        for answer in answers:
            assert answer.status_code == 503
            assert "Not now" in Texts(answer.text).texts
            assert "Retry-After" in answer.headers

    def test_errors_are_pages_for_people(self, world: World, inside: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = inside("GET", "/console/executions/no-such-one")
        assert answer.status_code == 404
        assert "Execution no-such-one not found" in Texts(answer.text).texts

        def broken(*_: object, **__: object) -> None:
            raise ValueError("secret of a mistake")

        monkeypatch.setattr(sessions, "check", broken)
        answer = inside("GET", "/")
        assert answer.status_code == 500
        assert "the request failed" in answer.text
        assert "secret of a mistake" not in answer.text

    def test_no_page_holds_a_secret(self, world: World) -> None:
        """Credentials that can't be read, in plain text, refused, and right ones: each leaves its traces."""
        right = world.account("user123", "Right", keys=KEYS)
        plain = world.account(
            "user123",
            "Plain",
            credentials={"API Key": PLAIN["key"], "API Secret": PLAIN["secret"], "Passphrase": PLAIN["passphrase"]},
        )
        torn = world.account("user123", "Torn", credentials={**world.written(right), "API Secret": "00:ff"})
        ran = [world.run(world.automation(one, "auto_entry", ENTRY))["executionId"] for one in (right, plain, torn)]
        with client_of(world) as api:
            assert api.token
            visitor = Visitor(api.base)
            visitor.log_in(api.token)
            for path in ("/", "/console/live", *(f"/console/executions/{one}" for one in ran)):
                assert visitor("GET", path).status_code == 200
            page = visitor.heard[-4]
        assert all(name in page for name in ("Right", "Plain", "Torn"))
        findings = Findings({**KEYS, **{f"plain {name}": text for name, text in PLAIN.items()}, "token": api.token})
        for told in visitor.heard:
            findings.look("a page", told)
        assert findings.found == []


def test_what_took_long_is_kept_the_longer() -> None:
    now, worked = [100.0], list[float]()

    def work() -> int:
        now[0] += 0.5
        worked.append(now[0])
        return len(worked)

    kept = Kept(lambda: now[0])
    assert [kept.get("one", work), kept.get("one", work), kept.get("two", work)] == [1, 1, 2]
    now[0] = worked[0] + 0.5 * KEPT_TIMES - 0.01
    assert kept.get("one", work) == 1
    now[0] = worked[0] + 0.5 * KEPT_TIMES
    assert [kept.get("two", work), kept.get("one", work)] == [2, 3]


def test_a_console_that_is_mounted_keeps_to_its_prefix(world: World) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    done = world.run(world.automation(world.account(), "auto_entry", ENTRY))["executionId"]
    with served(Starlette(routes=[Mount("/executor", create_app(world.parts))])) as base:
        visitor = Visitor(f"{base}/executor")
        assert visitor("GET", "/").headers["Location"] == "/executor/login"
        answer = visitor.log_in(token_of(world))
        assert answer.headers["Location"] == "/executor/"
        assert "Path=/executor" in answer.headers["Set-Cookie"].split("; ")
        for path in ("/", "/login", f"/console/executions/{done}"):
            page = visitor("GET", path)
            assert page.status_code == 200
            links = set(re.findall(r'(?:src|href|action)="([^"]*)"', page.text))
            assert all(one.startswith(("/executor/", "#", "?")) for one in links), links
            assert 'data-root="/executor"' in page.text
        assert visitor("GET", "/console/console.js").status_code == 200
        visitor.session.close()
