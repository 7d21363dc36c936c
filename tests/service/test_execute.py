"""Jobs over HTTP: taken once, carried out once by a real worker, and waited for without holding anything."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axisor_executor import runtime
from axisor_executor.service import create_app
from axisor_executor.storage import tokens
from axisor_executor.storage.tokens import SCOPES
from tests.harness.waiting import until
from tests.harness.world import World
from tests.service.conftest import JSON, Client, served

EXECUTE = "/api/automation/execute"
ENTRY = {"side": "b", "quantity": 100}


def count(world: World) -> int:
    return len(world.storage.rows("SELECT id FROM axisor_executions"))


def test_a_job_is_taken_and_a_worker_is_told(world: World, admin: Client) -> None:
    entry = world.automation(world.account(), "auto_entry", ENTRY)
    answer = admin("POST", EXECUTE, json=world.job(entry))
    assert answer.status_code == 202
    taken = answer.json()
    assert (taken["status"], taken["automationId"], taken["userId"]) == ("queued", entry, "user123")
    assert world.execution(taken["executionId"]).job == {"v": 1, **world.job(entry)}
    assert world.parts.queue.sizes() == {"protect": 0, "default": 1}
    assert admin.get(answer.headers["Location"])["id"] == taken["executionId"]


def test_a_real_worker_carries_it_out_once_while_the_client_waits(world: World, admin: Client, tmp_path: Path) -> None:
    account = world.account()
    entry = world.automation(account, "auto_entry", ENTRY)
    with world.worker(tmp_path / "worker.log"), world.changes() as changes:
        sent = [
            admin("POST", f"{EXECUTE}?wait=60", json=world.job(entry), headers={"Idempotency-Key": "one"})
            for _ in range(2)
        ]
    assert [answer.status_code for answer in sent] == [200, 200]
    result = sent[0].json()
    assert (result["status"], result["action"]) == ("completed", "auto_entry_executed")
    assert sent[1].json() == result
    assert len(changes.kinds) == len(set(changes.kinds)) == 1, "one trade"
    assert world.trade(account, result["tradeId"])["running"]


class TestIdempotencyKey:
    def test_the_same_job_is_the_same_execution(self, world: World, admin: Client) -> None:
        job, headers = world.job("auto789"), {"Idempotency-Key": "k" * 200}
        ids = {admin("POST", EXECUTE, json=job, headers=headers).json()["executionId"] for _ in range(3)}
        assert len(ids) == count(world) == 1
        admin("POST", EXECUTE, json=job)
        assert count(world) == 2

    def test_another_job_is_refused(self, world: World, admin: Client) -> None:
        headers = {"Idempotency-Key": "one"}
        admin("POST", EXECUTE, json=world.job("auto789"), headers=headers)
        other = world.job("auto987")
        assert admin.error("POST", EXECUTE, json=other, headers=headers) == (409, "idempotency_conflict")
        another_user = world.job("auto987", user_id="user456")
        assert admin("POST", EXECUTE, json=another_user, headers=headers).status_code == 202

    def test_one_that_is_too_long_or_empty_is_refused(self, world: World, admin: Client) -> None:
        for key in ("k" * 201, ""):
            headers = {"Idempotency-Key": key}
            assert admin.error("POST", EXECUTE, json=world.job("a"), headers=headers) == (400, "invalid_key")
        assert count(world) == 0

    def test_one_that_would_be_taken_for_another_is_refused(self, world: World, admin: Client) -> None:
        """A header's bytes have no encoding: the key would not be the one of the same text given to the library."""
        for key in (b"\xc3\xa9", b"\xe9"):
            headers = {"Idempotency-Key": key}
            assert admin.error("POST", EXECUTE, json=world.job("a"), headers=headers) == (400, "invalid_key")
        connection = HTTPConnection(admin.base.removeprefix("http://"))
        connection.putrequest("POST", EXECUTE)
        body = json.dumps(world.job("a")).encode()
        for name, value in (
            ("Authorization", f"Bearer {admin.token}"),
            ("Content-Length", str(len(body))),
            *JSON.items(),
            ("Idempotency-Key", "one"),
            ("idempotency-key", "one"),
        ):
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["error"]["code"]) == (400, "invalid_key")
        connection.close()
        assert count(world) == 0

    def test_many_at_once_are_one(self, world: World, admin: Client) -> None:
        job, headers = world.job("auto789"), {"Idempotency-Key": "one"}

        def send(_: int) -> Any:
            client = Client(admin.base, admin.token)
            answer = client("POST", EXECUTE, json=job, headers=headers)
            client.close()
            return answer.json()["executionId"]

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(send, range(16)))) == 1
        assert count(world) == 1


class TestWaiting:
    def test_waiting_ends_in_time(self, world: World, admin: Client) -> None:
        answer = admin("POST", f"{EXECUTE}?wait=0.2", json=world.job("auto789"))
        assert answer.status_code == 202
        assert answer.json()["status"] == "queued"

    def test_it_has_a_bound(self, admin: Client) -> None:
        for wait in ("61", "-1", "nan", "inf", "soon", "1e999", "1&wait=2"):
            assert admin.error("POST", f"{EXECUTE}?wait={wait}", json={}) == (400, "invalid_request"), wait

    def test_what_is_over_already_is_not_waited_for(self, world: World, admin: Client) -> None:
        job, headers = world.job("auto789"), {"Idempotency-Key": "one"}
        taken = admin("POST", EXECUTE, json=job, headers=headers).json()["executionId"]
        world.parts.executor.run(taken)
        answer = admin("POST", f"{EXECUTE}?wait=30", json=job, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["error"]["code"] == "automation_not_found"

    def test_sixty_clients_wait_and_hold_neither_threads_nor_connections(self, world: World) -> None:
        """More clients than the server has threads (40) or connections (6); another one is answered meanwhile."""
        world.restart(http_requests_per_minute=100_000)
        narrow = runtime.Runtime(world.settings.model_copy(update={"db_pool": 6}), registry=world.parts.registry)
        token, _ = tokens.create(world.storage, "one", SCOPES)
        clients = 60
        with served(create_app(narrow)) as base, ThreadPoolExecutor(clients) as pool:

            def send(number: int) -> Any:
                client = Client(base, token)
                job = world.job(f"auto{number}")
                answer = client("POST", f"{EXECUTE}?wait=60", json=job)
                client.close()
                return answer.status_code, answer.json()["status"]

            waiting = [pool.submit(send, number) for number in range(clients)]
            until(lambda: count(world) == clients, timeout=60)
            other = Client(base, token)
            assert len(other.get("/api/automation/executions", limit=200)["executions"]) == clients
            other.close()
            assert not any(one.done() for one in waiting)
            for (execution_id,) in world.storage.rows("SELECT id FROM axisor_executions"):
                world.parts.executor.run(execution_id)
            assert {one.result(30) for one in waiting} == {(200, "failed")}
        narrow.close()

    def test_a_client_that_hangs_up_is_not_waited_for(self, world: World) -> None:
        app = create_app(world.parts)
        token, _ = tokens.create(world.storage, "one", SCOPES)
        with served(app) as base:
            address, body = urlsplit(base), json.dumps(world.job("auto789"))
            headers = f"Host: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json"
            request = f"POST {EXECUTE}?wait=60 HTTP/1.1\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            with socket.create_connection((address.hostname, address.port)) as client:
                client.sendall(request.encode())
                until(lambda: app.state.parts.waiting.count == 1)
            until(lambda: app.state.parts.waiting.count == 0, timeout=5)
            assert count(world) == 1, "the job was taken"
            app.state.parts.waiting.release()

    def test_released_clients_are_told_where_it_stands(self, world: World) -> None:
        app = create_app(world.parts)
        token, _ = tokens.create(world.storage, "one", SCOPES)
        with served(app) as base, ThreadPoolExecutor(1) as pool:
            client = Client(base, token)
            waiting = pool.submit(client, "POST", f"{EXECUTE}?wait=60", json=world.job("auto789"))
            until(lambda: count(world) == 1, timeout=60)
            app.state.parts.waiting.release()
            assert waiting.result(20).status_code == 202
            assert client("POST", f"{EXECUTE}?wait=60", json=world.job("auto789")).status_code == 202
            client.close()


class TestNonsense:
    """What can't be a job is answered with 400 (415 where it is not even announced as JSON), and leaves no trace."""

    JOB = '{"userId": "u", "automationId": "a"'

    def test_it_is_refused(self, world: World, admin: Client) -> None:
        job = self.JOB
        for body in (
            "",
            "{",
            "null",
            "[]",
            '"job"',
            "12",
            "{}",
            "\x00",
            "[" * 20_000,
            '{"a":' * 5_000,
            b"\xff\xfe\x00",
            '{"userId": "u"}',
            job + ', "extra": 1}',
            job + ', "' + "k" * 9_000 + '": 1}',
            job + ', "maxAge": NaN}',
            job + ', "maxAge": 1e999}',
            job + ', "maxAge": ' + "9" * 6_000 + "}",
            job + ', "maxAge": -1}',
            job + ', "v": 2}',
            job + ', "action": ["x"]}',
            job + ', "tradeId": "\\u0000"}',
            job + ', "tradeId": "\\ud800"}',
            job + ', "\\ud800": 1}',
            job + ', "<script>alert(1)</script>": 1}',
        ):
            status, code = admin.error("POST", EXECUTE, data=body, headers=JSON)
            assert status == 400, body[:100]
            assert code in ("invalid_job", "invalid_request"), body[:100]
        assert count(world) == 0

    def test_it_must_be_announced_as_json(self, admin: Client) -> None:
        for kind in (None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
            refused = admin.error("POST", EXECUTE, data="{}", headers={"Content-Type": kind})
            assert refused == (415, "unsupported_media_type")
        plain = admin.error("POST", EXECUTE, data="{}", headers={"Content-Type": "application/json; charset=utf-8"})
        assert plain == (400, "invalid_job")

    def test_strange_names_are_names(self, world: World, admin: Client) -> None:
        names = (
            "'; DROP TABLE axisor_executions; --",
            "' OR '1'='1",
            "%s %(x)s ? {now} {later}",
            "<script>alert('x')</script>",
            "\N{RIGHT-TO-LEFT OVERRIDE}💥 🏴‍☠️",
            "../../etc/passwd",
            "${jndi:ldap://x}",
        )
        for name in names:
            taken = admin("POST", EXECUTE, json={"userId": name, "automationId": name, "tradeId": name})
            assert taken.status_code == 202
            assert taken.headers["Content-Type"] == "application/json"
            world.parts.executor.run(taken.json()["executionId"])
            (found,) = admin.get("/api/automation/executions", user=name, automation=name)["executions"]
            assert (found["userId"], found["tradeId"], found["status"]) == (name, name, "failed")
            assert admin.get("/api/automation/executions", account=name)["executions"] == []
            assert admin.get(f"/api/automation/executions/{found['id']}")["job"]["automationId"] == name
        assert count(world) == len(names)
