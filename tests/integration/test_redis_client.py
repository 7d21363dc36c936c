"""The client that takes a connection as it is: it must notice all the same when one can't be used."""

from __future__ import annotations

import os
import signal
import socketserver
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from axisor_executor import standing
from axisor_executor.broker import Queue
from axisor_executor.embedded import PrivateRedis
from axisor_executor.redis_client import Client
from axisor_executor.redis_script import Script
from axisor_executor.settings import Settings
from tests.harness.world import ENCRYPTION_KEY, World

MakeClient = Callable[..., Any]


@pytest.fixture
def make() -> Iterator[MakeClient]:
    made: list[Any] = []

    def make(url: str, **changes: Any) -> Any:
        made.append(Client.from_url(url, **{"socket_timeout": 5, "retry": Retry(NoBackoff(), 1), **changes}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def client(make: MakeClient, redis_url: str) -> Any:
    return make(redis_url)


def connections(client: Any) -> int:
    return len(client.client_list(_type="normal"))


def test_one_thread_needs_one_connection(make: MakeClient, own_redis: PrivateRedis) -> None:
    client = make(own_redis.url)
    for number in range(10):
        client.set("key", number)
    with redis.Redis.from_url(own_redis.url) as other:
        assert connections(other) == 2, "its own and ours"


def test_threads_get_their_own_answers(client: Any) -> None:
    for number in range(8):
        client.set(f"key:{number}", number)
    wrong: list[Any] = []

    def ask(number: int) -> None:
        wrong.extend(answer for _ in range(200) if (answer := client.get(f"key:{number}")) != str(number).encode())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_connection_that_was_closed_meanwhile_is_replaced(client: Any, redis_url: str) -> None:
    client.set("key", "value")
    with redis.Redis.from_url(redis_url) as other:
        other.client_kill_filter(_type="normal", skipme=True)
    assert client.get("key") == b"value"


def test_a_redis_that_was_started_again_is_found(make: MakeClient, own_redis: PrivateRedis) -> None:
    client = make(own_redis.url)
    client.ping()
    own_redis.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    own_redis.start()
    assert client.ping()


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(make: MakeClient, own_redis: PrivateRedis) -> None:
    client = make(own_redis.url, socket_timeout=2, retry=Retry(NoBackoff(), 0))
    client.set("key", "value")
    own_redis.pause()
    with pytest.raises(redis.TimeoutError):
        client.echo("late")
    own_redis.resume()
    assert client.get("key") == b"value"


class TestFailover:
    """An address that leads to another server from now on, while the old one lives on as its replica."""

    @pytest.fixture
    def address(self, tmp_path: Path) -> Iterator[Path]:
        """A socket that leads to one server, and to another one once :meth:`fail_over` was called."""
        servers = [PrivateRedis(options=("--unixsocket", str(tmp_path / name))) for name in ("old", "new")]
        address = tmp_path / "redis"
        address.symlink_to("old")
        with servers[0], servers[1]:
            yield address

    def fail_over(self, address: Path) -> None:
        """Make the old server a replica, and let the address lead to the new one."""
        with redis.Redis(unix_socket_path=str(address)) as old:
            old.replicaof("127.0.0.1", 1)
        address.unlink()
        address.symlink_to("new")

    WRITES: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "a command": lambda client: client.set("key", "value"),
        "a script": lambda client: Script("return redis.call('SET', KEYS[1], ARGV[1])").run(client, ("key",), "value"),
        "commands at once": lambda client: client.execute_behind(("LLEN", "none"), ("SET", "key", "value")),
        "a pipeline": lambda client: client.pipeline(transaction=False).get("key").set("key", "value").execute(),
        "whose errors are looked at": lambda client: (
            client.pipeline(transaction=False).set("key", "value").execute(raise_on_error=False)
        ),
        "a transaction": lambda client: client.pipeline().get("key").set("key", "value").execute(),
    }

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
    def test_the_new_server_is_written_to(self, make: MakeClient, address: Path, write: Callable[[Any], Any]) -> None:
        client = make(f"unix://{address}")
        write(client)
        self.fail_over(address)
        write(client)
        with redis.Redis(unix_socket_path=str(address)) as new:
            assert new.get("key") == b"value"

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
    def test_before_there_is_one_redis_is_away(
        self, make: MakeClient, own_redis: PrivateRedis, write: Callable[[Any], Any]
    ) -> None:
        client = make(own_redis.url)
        write(client)
        client.replicaof("127.0.0.1", 1)
        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                write(client)
        client.replicaof("NO", "ONE")
        write(client)

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_workers_and_producers_go_on(self, world: World, address: Path, tmp_path: Path) -> None:
        world.restart(redis_url=f"unix://{address}")
        entry = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100})
        with world.worker(tmp_path / "worker.log", threads=2) as worker, world.changes() as changes:
            for turn in ("before", "after", "again"):
                execution_id = world.enqueue(world.job(entry))
                worker.wait_until(lambda: world.execution(execution_id).is_over, timeout=30, what=f"the end {turn}")  # noqa: B023
                if turn == "before":
                    worker.wait_until(world.parts.queue.is_intact, what="recovery's first look")
                    self.fail_over(address)
        assert changes.kinds == ["open"] * 3

    def test_nor_does_a_replica_answer_that_has_lost_its_master(
        self, make: MakeClient, own_redis: PrivateRedis
    ) -> None:
        client = make(own_redis.url)
        client.config_set("replica-serve-stale-data", "no")
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(redis.ConnectionError):
            client.get("key")

    def test_an_older_server_says_it_in_other_words(self, client: Any) -> None:
        """Before version 7 a script's error begins with ERR, whatever it is."""
        told = "Error running script (call to f_1): @user_script:2: @user_script: 2: -READONLY You can't write"
        with pytest.raises(redis.ConnectionError):
            client.eval("return redis.error_reply(ARGV[1])", 0, f"ERR {told}")


class Quoting(socketserver.ThreadingTCPServer):
    """A server that quotes the arguments of a command that it does not know, as Redis does; it knows but a few."""

    daemon_threads = True

    def __init__(self, *known: str) -> None:
        super().__init__(("127.0.0.1", 0), _QuotingAnswers)
        self.known = {*known, "CLIENT", "SELECT", "PING"}

    @property
    def url(self) -> str:
        return f"redis://{USER}:{PASSWORD}@127.0.0.1:{self.server_address[1]}/2"


class _QuotingAnswers(socketserver.StreamRequestHandler):
    server: Quoting

    def handle(self) -> None:
        while count := self.rfile.readline():
            name, *arguments = [self._argument() for _ in range(int(count[1:]))]
            if name in self.server.known:
                self.wfile.write(b"+OK\r\n")
            else:
                quoted = " ".join(f"`{one}`," for one in arguments)
                self.wfile.write(f"-ERR unknown command `{name}`, with args beginning with: {quoted}\r\n".encode())

    def _argument(self) -> str:
        size = int(self.rfile.readline()[1:])
        return self.rfile.read(size + 2)[:-2].decode()


USER, PASSWORD = "canary-user", "canary-word"


class TestAServerThatQuotes:
    """Redis 5 and some proxies know no HELLO, with which redis-py sends the password since version 8."""

    @pytest.fixture
    def serve(self) -> Iterator[Callable[..., Quoting]]:
        made: list[Quoting] = []

        def serve(*known: str) -> Quoting:
            made.append(Quoting(*known))
            threading.Thread(target=made[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            return made[-1]

        yield serve
        for one in made:
            one.shutdown()
            one.server_close()

    def test_it_needs_to_know_no_hello(self, serve: Callable[..., Quoting], make: MakeClient) -> None:
        assert make(serve("AUTH", "GET").url).get("key") == b"OK"

    ASKS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "a command": lambda client: client.get("key"),
        "commands at once": lambda client: client.execute_behind(("PING",), ("PING",)),
        "a pipeline": lambda client: client.pipeline(transaction=False).get("key").execute(),
    }

    @pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())
    def test_no_error_has_the_password(
        self, serve: Callable[..., Quoting], make: MakeClient, ask: Callable[[Any], Any]
    ) -> None:
        with pytest.raises(redis.RedisError) as raised:
            ask(make(serve().url))
        assert str(raised.value) == "unknown command `AUTH`"
        told = "".join(traceback.format_exception(raised.value))
        assert USER not in told
        assert PASSWORD not in told

    def test_nor_does_what_people_are_shown(self, serve: Callable[..., Quoting]) -> None:
        queue = Queue(Settings(redis_url=serve().url, encryption_key=ENCRYPTION_KEY))
        assert standing.redis(queue) == {"ok": False, "problem": "can't be reached: unknown command `AUTH`"}
        queue.close()


def test_every_thread_may_have_a_connection(make: MakeClient, redis_url: str) -> None:
    """redis-py has a bound of its own, below the threads that a process may have."""
    pool = make(redis_url).connection_pool
    taken = [pool.get_connection() for _ in range(150)]
    assert len({id(one) for one in taken}) == 150
    for one in taken:
        pool.release(one)


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_nor_is_one_that_nobody_waited_for(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception may be thrown into a thread, or Ctrl-C be pressed, between a command and its answer."""
    client.set("key", "value")
    with monkeypatch.context() as patch:
        patch.setattr(client, "parse_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.echo("never read")
    assert client.get("key") == b"value"


@pytest.mark.parametrize("number", [7, 2.5])
def test_an_interrupt_is_no_crash(client: Any, number: float) -> None:
    """As Ctrl-C while something is enqueued: the handler runs wherever the interpreter looks for signals."""
    packer = client.connection_pool.make_connection()._command_packer
    struck = 0
    before = signal.signal(signal.SIGVTALRM, _strike)
    try:
        while struck < 200:
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.0002)
                while True:
                    packer.pack("SET", number, b"\xff", "text")
            except InterruptedError:
                struck += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    client.set("number", number)
    assert client.get("number") == str(number).encode()


def _strike(number: int, frame: object) -> None:
    raise InterruptedError


def test_an_error_is_an_answer(client: Any) -> None:
    client.set("key", "no list")
    before = client.client_id()
    with pytest.raises(redis.ResponseError):
        client.lpush("key", "x")
    assert client.get("key") == b"no list"
    assert client.client_id() == before, "on the same connection"


def test_a_child_process_has_connections_of_its_own(client: Any) -> None:
    mine = client.client_id()
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  another process
        try:
            os.write(writes, str(client.client_id()).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as told:
        theirs = int(told.read())
    assert os.waitpid(child, 0)[1] == 0
    assert theirs != mine
    assert client.client_id() == mine


def test_a_script_is_told_once_and_again_when_it_was_forgotten(client: Any) -> None:
    script = Script("return {KEYS[1], ARGV[1], ARGV[2]}")
    answer = [b"key", b"1", b"two"]
    assert script.run(client, ("key",), 1, b"two") == answer
    client.config_resetstat()
    assert script.run(client, ("key",), 1, "two") == answer
    assert "cmdstat_eval" not in client.info("commandstats")
    client.script_flush()
    assert script.run(client, ("key",), 1, "two") == answer
