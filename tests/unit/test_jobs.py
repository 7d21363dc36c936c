"""The job as it stands on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from axisor_executor import Job
from axisor_executor.errors import InvalidJob
from axisor_executor.jobs import parse_job

SEED = {"userId": "user123", "automationId": "auto456", "action": "close_position", "tradeId": "trade789"}


class TestWellFormed:
    def test_the_seeds_shape(self) -> None:
        job = parse_job(SEED)
        assert (job.user_id, job.automation_id, job.action, job.trade_id) == tuple(SEED.values())

    def test_action_and_trade_may_be_absent(self) -> None:
        job = parse_job({"userId": "u", "automationId": "a"})
        assert (job.action, job.trade_id, job.max_age) == (None, None, None)

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_null_and_empty_text_count_as_absent(self, nothing: Any) -> None:
        assert parse_job({**SEED, "action": nothing, "tradeId": nothing}).as_wire() == {
            "v": 1,
            "userId": "user123",
            "automationId": "auto456",
        }

    def test_snake_case_is_taken_as_well(self) -> None:
        assert parse_job({"user_id": "u", "automation_id": "a", "trade_id": "t"}).trade_id == "t"

    def test_a_job_object_is_taken_as_it_is(self) -> None:
        job = Job(user_id="u", automation_id="a")
        assert parse_job(job) is job

    def test_what_is_written_is_read_back_the_same(self) -> None:
        job = parse_job({**SEED, "maxAge": 30})
        assert parse_job(job.as_wire()) == job
        assert job.as_wire()["maxAge"] == 30

    def test_white_space_around_a_name_is_no_part_of_it(self) -> None:
        assert parse_job({"userId": " u ", "automationId": "a\n"}).as_wire()["automationId"] == "a"


class TestMalformed:
    @pytest.mark.parametrize(
        ("raw", "told"),
        [
            ({}, "userId: missing; automationId: missing"),
            ({"userId": "u"}, "automationId: missing"),
            ({"userId": None, "automationId": "a"}, "userId: "),
            ({"userId": "", "automationId": "a"}, "userId: "),
            ({"userId": "  ", "automationId": "a"}, "userId: "),
            ({"userId": 7, "automationId": "a"}, "userId: "),
            ({"userId": ["u"], "automationId": {"id": "a"}}, "userId: "),
            ({**SEED, "userId": "u\x00"}, "userId: "),
            ({**SEED, "tradeId": 12}, "tradeId: "),
            ({**SEED, "tradeId": "x" * 201}, "tradeId: "),
            ({**SEED, "maxAge": 0}, "maxAge: "),
            ({**SEED, "maxAge": float("nan")}, "maxAge: "),
            ({**SEED, "maxAge": 1e9}, "maxAge: "),
            ({**SEED, "maxAge": True}, "maxAge: Input should be a valid number"),
            ({**SEED, "maxAge": "30"}, "maxAge: Input should be a valid number"),
            ({**SEED, "v": 2}, "v: "),
            ({**SEED, "v": True}, "v: Input should be a valid integer"),
            ({**SEED, "v": "1"}, "v: "),
            ({**SEED, "priority": 1}, "priority: unknown key; a job has userId, automationId, action, tradeId"),
            ({1: 2}, "malformed job: "),
        ],
    )
    def test_each_problem_is_named(self, raw: Any, told: str) -> None:
        with pytest.raises(InvalidJob, match="malformed job") as caught:
            parse_job(raw)
        assert told in caught.value.message
        assert (caught.value.status, caught.value.code) == (400, "invalid_job")

    @pytest.mark.parametrize("raw", [None, 17, "text", [], [SEED], b"bytes"])
    def test_what_is_no_object_is_said_to_be_none(self, raw: Any) -> None:
        with pytest.raises(InvalidJob, match="a job is an object"):
            parse_job(raw)

    @pytest.mark.parametrize(
        "raw", [{**SEED, "x" * 1_000_000: 1}, {**SEED, **{f"key{n}": n for n in range(10_000)}}], ids=["long", "many"]
    )
    def test_the_error_stays_short(self, raw: Any) -> None:
        with pytest.raises(InvalidJob) as caught:
            parse_job(raw)
        assert len(caught.value.message) < 2_000

    def test_no_value_is_repeated(self) -> None:
        with pytest.raises(InvalidJob) as caught:
            parse_job({**SEED, "tradeId": {"secret": "hunter2"}, "secret": "hunter2"})
        assert "hunter2" not in repr(caught.value)
