"""Where an answer ends and what it says: as ``http.client`` reads it, or not at all."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.exchange.incoming import MAX_ANSWER_BYTES, Answer, AnswerTooLarge, BrokenAnswer, read_answer
from axisor_executor.exchange.transport import NoReply, Reply, Request, Transport
from tests.unit.exchange.wire import Peer, Script, Server

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"Content-Length: 2\r\n\r\n{}"


def answer_with(headers: bytes, body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\n" + body


def packed(coding: bytes, body: bytes) -> bytes:
    return answer_with(b"Content-Encoding: %b\r\nContent-Length: %d\r\n" % (coding, len(body)), body)


@pytest.fixture
def wires() -> Iterator[Transport]:
    wires = Transport()
    yield wires
    wires.close()


def ask(server: Server, wires: Transport) -> Reply | NoReply:
    return wires.exchange(Request("GET", f"{server.url}/v3/account", {}), timeout=10, connect_timeout=10)


def saying(sent: bytes) -> Script:
    """Return a script that answers so, and then closes."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(sent)

    return script


def read(sent: bytes, wires: Transport) -> Reply:
    with Server(saying(sent)) as server:
        reply = ask(server, wires)
    assert isinstance(reply, Reply)
    return reply


# Whole answers


def test_answer_is_read_with_its_headers(wires: Transport) -> None:
    reply = read(answer_with(b"Content-Length: 2\r\nDATE:  today\t\r\nX-Empty:\r\n", b"{}", b"201 Created"), wires)
    assert (reply.status, reply.body) == (201, b"{}")
    assert (reply.headers["Date"].strip(), reply.headers["x-empty"]) == ("today", "")


@pytest.mark.parametrize("first", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 All  r\xefght"])
def test_reason_may_be_missing_or_odd(first: bytes, wires: Transport) -> None:
    assert read(first + b"\r\nContent-Length: 0\r\n\r\n", wires).status == 200


def test_header_that_comes_twice_has_both_values(wires: Transport) -> None:
    assert read(answer_with(b"A: 1\r\na: 2\r\nContent-Length: 0\r\n"), wires).headers["a"] == "1, 2"


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_interim_answers_are_not_the_answer(interim: bytes, wires: Transport) -> None:
    early = answer_with(b"Link: </a>\r\n", status=interim)
    reply = read(early + early + WHOLE, wires)
    assert (reply.status, reply.body, "Link" in reply.headers) == (200, b"{}", False)


@pytest.mark.parametrize(
    "sent",
    [
        answer_with(b"Transfer-Encoding: Chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"02 ;name=value\r\n{}\r\n000;x\r\n\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n"),
        answer_with(b"A: b\r\n", b"{}"),
        packed(b"gzip", gzip.compress(b"{}", mtime=0)),
        packed(b"X-GZIP", gzip.compress(b"{}", mtime=0)),
        packed(b"deflate", zlib.compress(b"{}")),
    ],
)
def test_body_is_read_however_it_is_sent(sent: bytes, wires: Transport) -> None:
    assert read(sent, wires).body == b"{}"


def test_largest_answer_is_read(wires: Transport) -> None:
    body = b" " * MAX_ANSWER_BYTES
    assert read(answer_with(b"Content-Length: %d\r\n" % len(body), body), wires).body == body
    assert read(answer_with(b"", body), wires).body == body
    assert read(packed(b"gzip", gzip.compress(body, mtime=0)), wires).body == body


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (WHOLE, True),
        (WHOLE + b"H", False),
        (WHOLE + WHOLE, False),
        (answer_with(b"Content-Length: 0\r\nConnection: close\r\n"), False),
        (answer_with(b"Content-Length: 0\r\nConnection: Keep-Alive, CLOSE\r\n"), False),
        (answer_with(b"Content-Length: 0\r\nConnection: keep-alive\r\n"), True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (answer_with(b"Content-Length: 5\r\n", status=b"204 No Content"), True),
        (answer_with(b"Content-Length: 5\r\n", b"extra", b"204 No Content"), False),
        (answer_with(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"), True),
        (answer_with(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n0\r\n\r\n"), False),
    ],
)
def test_connection_is_kept_only_where_the_next_answer_begins(sent: bytes, kept: bool, wires: Transport) -> None:
    def answer_all(peer: Peer) -> None:
        while peer.read():
            peer.send(sent)

    with Server(answer_all) as server:
        assert isinstance(ask(server, wires), Reply)
        assert isinstance(ask(server, wires), Reply)
        assert server.connections == (1 if kept else 2)


# What can't be read


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"{}\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        answer_with(b"Content-Length : 2\r\n", b"{}"),
        answer_with(b"Content-Length\r\n", b"{}"),
        answer_with(b"Content-Length: 3\r\n", b"{}"),
        answer_with(b"Content-Length: -2\r\n", b"{}"),
        answer_with(b"Content-Length: +2\r\n", b"{}"),
        answer_with(b"Content-Length: 2.0\r\n", b"{}"),
        answer_with(b"Content-Length: 0x2\r\n", b"{}"),
        answer_with(b"Content-Length: \xb2\r\n", b"{}"),
        answer_with(b"Content-Length:\r\n", b"{}"),
        answer_with(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{} "),
        answer_with(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
        answer_with(b"Transfer-Encoding: gzip, chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
        answer_with(b"Transfer-Encoding: identity\r\n", b"{}"),
        answer_with(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}x\r\n0\r\n\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"3\r\n{}\r\n0\r\n\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"-2\r\n{}\r\n0\r\n\r\n"),
        answer_with(b"Transfer-Encoding: chunked\r\n", b"\r\n{}\r\n0\r\n\r\n"),
        answer_with(b"X: y\r\n" * 101),
        answer_with(b"X: " + b"y" * 65536 + b"\r\n"),
        packed(b"br", b"{}"),
        packed(b"gzip", b"{}"),
        packed(b"gzip", b""),
        packed(b"gzip", gzip.compress(b"{}", mtime=0)[:-1]),
        packed(b"gzip", gzip.compress(b"{}", mtime=0) + b"x"),
        packed(b"gzip", gzip.compress(b"{}", mtime=0) * 2),
        answer_with(b"", status=b"100 Continue"),
        answer_with(b"Upgrade: h2c\r\n", status=b"101 Switching Protocols"),
    ],
)
def test_what_is_no_whole_answer_or_could_be_two_is_refused(sent: bytes, wires: Transport) -> None:
    with Server(saying(sent)) as server:
        outcome = ask(server, wires)
    assert isinstance(outcome, NoReply)
    assert not outcome.unsent


def endless(begin: bytes, more: bytes) -> Script:
    """Return a script that goes on until the client is gone."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(begin)
        while not peer.server.over.is_set():
            peer.send(more)

    return script


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        (saying(answer_with(b"Content-Length: %d\r\n" % (MAX_ANSWER_BYTES + 1))), "AnswerTooLarge"),
        (saying(answer_with(b"Content-Length: 9999999999999999999\r\n")), "AnswerTooLarge"),
        (saying(packed(b"gzip", gzip.compress(b" " * (MAX_ANSWER_BYTES + 1)))), "AnswerTooLarge"),
        (endless(answer_with(b""), b" " * 65536), "AnswerTooLarge"),
        (
            endless(answer_with(b"Transfer-Encoding: chunked\r\n"), b"10000\r\n%b\r\n" % (b" " * 65536)),
            "AnswerTooLarge",
        ),
        (endless(answer_with(b"Transfer-Encoding: chunked\r\n", b"FFFFFFFF\r\n"), b" " * 65536), "AnswerTooLarge"),
        (endless(answer_with(b"Transfer-Encoding: chunked\r\n", b"0\r\n"), b"X: y\r\n" * 9999), "AnswerTooLarge"),
        (endless(b"HTTP/1.1 ", b"x" * 65536), "LineTooLong"),
        (endless(answer_with(b"Transfer-Encoding: chunked\r\n", b"1;"), b"x" * 65536), "LineTooLong"),
    ],
    ids=[
        "length",
        "long length",
        "gzip",
        "no length",
        "chunks",
        "chunk",
        "trailers",
        "line",
        "chunk's line",
    ],
)
def test_too_large_an_answer_is_given_up(script: Script, cause: str, wires: Transport) -> None:
    with Server(script) as server:
        assert ask(server, wires) == NoReply(unsent=False, cause=cause)


def test_packed_answer_is_unpacked_no_further_than_it_may_be_large() -> None:
    sent = packed(b"gzip", gzip.compress(b" " * 200_000_000, mtime=0))
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLarge):
            all_of(sent)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_ANSWER_BYTES
    finally:
        tracemalloc.stop()


# Any answer, in any pieces

NAMES = st.text("abcXYZ-019", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
CUTS = st.lists(st.integers(0, 600), max_size=8)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A well-formed answer that says how long it is."""
    body = draw(st.binary(max_size=300))
    headers = [
        f"X-{name}: {value}\r\n".encode() for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    ]
    status = draw(st.sampled_from([200, 201, 204, 301, 304, 400, 408, 429, 500, 503, 599]))
    if status in {204, 304}:
        body = b""
    elif draw(st.booleans()):
        headers.append(b"Content-Length: %d\r\n" % len(body))
    else:
        headers.append(b"Transfer-Encoding: chunked\r\n")
        size = draw(st.integers(1, 50))
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return answer_with(b"".join(draw(st.permutations(headers))), body, b"%d Said" % status)


def coming(data: bytes, cuts: list[int]) -> tuple[Callable[[], bytes], bytearray]:
    """Return what receives the data in pieces, and what was received so far."""
    places = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    pieces = (data[start:end] for start, end in pairwise(places))
    taken = bytearray()

    def receive() -> bytes:
        piece = next(pieces, b"")
        taken.extend(piece)
        return piece

    return receive, taken


def all_of(sent: bytes) -> Answer:
    return read_answer(coming(sent, [])[0], "GET")


@given(answers(), st.binary(max_size=40), CUTS)
def test_answer_is_the_same_however_it_comes_and_whatever_follows(sent: bytes, surplus: bytes, cuts: list[int]) -> None:
    whole = all_of(sent)
    assert not whole.ends
    receive, taken = coming(sent + surplus, cuts)
    answer = read_answer(receive, "GET")
    assert answer[:3] == whole[:3]
    assert answer.ends is (bytes(taken) != sent)


@given(answers(), st.data())
def test_no_answer_that_is_cut_off_is_taken_for_a_whole_one(sent: bytes, data: st.DataObject) -> None:
    part = sent[: data.draw(st.integers(0, len(sent) - 1))]
    with pytest.raises((BrokenAnswer, HTTPException)):
        all_of(part)
