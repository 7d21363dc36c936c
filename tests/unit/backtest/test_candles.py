"""Candles of a CSV file: what is there is read exactly, what is wrong is named with its line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from axisor_executor.backtest.candles import Candle, CandleFile, Gaps
from axisor_executor.errors import AxisorError

HEADER = "time,open,high,low,close,volume\n"
START = datetime(2026, 1, 1, tzinfo=UTC)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "candles.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, text: str | bytes, *, gaps: Gaps = "refuse") -> list[Candle]:
    return list(CandleFile(written(folder, text), gaps=gaps))


def flat(*minutes: int) -> str:
    """Candles of one price that begin at these minutes."""
    rows = [f"{(START + timedelta(minutes=one)).isoformat()},50000,50000,50000,50000,1\n" for one in minutes]
    return HEADER + "".join(rows)


class TestReading:
    def test_prices_and_times_are_exact(self, tmp_path: Path) -> None:
        (candle,) = read(tmp_path, HEADER + "2026-01-01T00:00:00Z,50000.5,51000,49000.5,50000,12.5\n")
        assert candle == Candle(START, Decimal("50000.5"), Decimal(51_000), Decimal("49000.5"), Decimal(50_000))

    @pytest.mark.parametrize(
        "time",
        [
            *(
                "2026-01-01T00:00:00Z",
                "2026-01-01 00:00:00",
                "2026-01-01T01:00:00+01:00",
                "1767225600",
                "1767225600000",
            ),
        ],
    )
    def test_the_time_may_be_written_as_it_often_is(self, tmp_path: Path, time: str) -> None:
        (candle,) = read(tmp_path, HEADER + f"{time},1,1,1,1,\n")
        assert candle.time == START

    def test_prices_are_rounded_to_the_exchanges_steps(self, tmp_path: Path) -> None:
        (candle,) = read(tmp_path, HEADER + "0,50000.26,50000.75,50000.24,50000.49,0\n")
        assert candle[1:] == (Decimal("50000.5"), Decimal(50_001), Decimal(50_000), Decimal("50000.5"))

    def test_columns_may_stand_in_any_order_with_others_between(self, tmp_path: Path) -> None:
        text = "\ufeffClose, low,HIGH,source,open,Time\n2,1,4,x,3,0\n\n"
        (candle,) = read(tmp_path, text)
        assert candle[1:] == (3, 4, 1, 2)

    def test_the_first_two_tell_how_long_one_lasts(self, tmp_path: Path) -> None:
        file = CandleFile(written(tmp_path, flat(0, 5, 10)))
        assert [candle.time.minute for candle in file] == [0, 5, 10]
        assert (file.length, file.gaps) == (timedelta(minutes=5), 0)
        assert file.read == len(flat(0, 5, 10))

    def test_a_lone_one_lasts_a_minute(self, tmp_path: Path) -> None:
        file = CandleFile(written(tmp_path, flat(0)))
        assert (len(list(file)), file.length) == (1, timedelta(minutes=1))


BAD = {
    "an empty file": ("", "line 1: the header lacks time, open, high, low, close"),
    "a header that lacks something": ("time,open,close\n", "line 1: the header lacks high, low"),
    "nothing behind the header": (HEADER, "holds no candles"),
    "too few fields": (HEADER + "0,1,1\n", "line 2: 3 fields where the header has 6"),
    "no time": (HEADER + "soon,1,1,1,1,1\n", "line 2: time 'soon' must be ISO 8601"),
    "a time far off": (HEADER + "9999999999999999,1,1,1,1,1\n", "line 2: time '9999999999999999' must be"),
    "no price": (HEADER + "0,1,1,1,1,1\n60,1,x,1,1,1\n", "line 3: 'x' must be a price above 0"),
    "a price of nothing": (HEADER + "0,0.1,1,0.1,1,1\n", "line 2: '0.1' must be a price above 0"),
    "a price below nothing": (HEADER + "0,-5,1,1,1,1\n", "line 2: '-5' must be a price"),
    "a price that is none": (HEADER + "0,NaN,1,1,1,1\n", "line 2: 'NaN' must be a price"),
    "a price without end": (HEADER + "0,Infinity,1,1,1,1\n", "line 2: 'Infinity' must be a price"),
    "an absurd price": (HEADER + "0,1e30,1e30,1,1,1\n", "line 2: '1e30' must be a price"),
    "a close above the high": (HEADER + "0,1,2,1,3,1\n", "line 2: open and close must lie between low and high"),
    "the same time twice": (flat(0, 0), "line 3: its time is not after that of the line before"),
    "a time that goes back": (flat(0, 5, 4), "line 4: its time is not after that of the line before"),
    "candles that overlap": (
        flat(0, 5, 8),
        "line 4: it begins before the last candle ends; the first one lasted 300",
    ),
    "candles that last too long": (HEADER + "0,1,1,1,1,1\n700000,1,1,1,1,1\n", "at most 7 days"),
    "candles of half a second": (HEADER + "1000000000000,1,1,1,1,1\n1000000000500,1,1,1,1,1\n", "whole seconds"),
    "a quote that is not closed": (HEADER + '"0,1,1,1,1,1\n', "is no CSV"),
    "bytes that are no text": (HEADER.encode() + b"\xff\xfe", "is no text in UTF-8"),
}


class TestRefusing:
    @pytest.mark.parametrize("kind", BAD)
    def test_it_is_said_what_is_wrong_and_where(self, tmp_path: Path, kind: str) -> None:
        text, message = BAD[kind]
        with pytest.raises(AxisorError) as caught:
            read(tmp_path, text)
        assert (caught.value.code, caught.value.status) == ("candles_invalid", 400)
        assert message in caught.value.message

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(AxisorError, match=r"can't read .*nowhere.csv: No such file") as caught:
            list(CandleFile(tmp_path / "nowhere.csv"))
        assert caught.value.code == "candles_invalid"

    def test_candles_before_it_were_good(self, tmp_path: Path) -> None:
        rows = iter(CandleFile(written(tmp_path, flat(0, 1) + "x,1,1,1,1,1\n")))
        assert next(rows).time == START
        with pytest.raises(AxisorError, match="line 4"):
            list(rows)


class TestGaps:
    def test_one_is_refused_with_its_bounds(self, tmp_path: Path) -> None:
        with pytest.raises(AxisorError) as caught:
            read(tmp_path, flat(0, 1, 4))
        assert caught.value.code == "candles_gap"
        assert "line 4: candles are missing from 2026-01-01T00:02:00+00:00 to 2026-01-01T00:04:00" in str(caught.value)

    def test_held_they_are_counted(self, tmp_path: Path) -> None:
        file = CandleFile(written(tmp_path, flat(0, 1, 4, 5, 9)), gaps="hold")
        assert [candle.time.minute for candle in file] == [0, 1, 4, 5, 9]
        assert file.gaps == 2
        assert len(list(file)) == 5
        assert file.gaps == 2, "counted anew each time"
