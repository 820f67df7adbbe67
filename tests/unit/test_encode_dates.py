"""Dates of a table as inputs: year, cycles, age."""

import numpy as np
import pyarrow as pa
import pytest

from hdl.data.tabular import dates
from hdl.data.tabular.dates import Date
from tests.unit.framed import encodings_of, frame


def test_a_date_is_year_cycles_and_age():
    moments = np.array(["2020-02-29T06:00", "2021-12-31T18:00", "2023-05-01T00:00"], "datetime64[us]")
    encodings, out, _, _ = encodings_of(frame(d=moments), scale="none")
    cycles = [f"d: {part} {wave}" for part in ("month", "weekday", "hour") for wave in ("sin", "cos")]
    assert encodings.names == ("d: year", *cycles, "d: days since 2020-02-29")
    angles = 2 * np.pi * np.array([[1 / 12, 5 / 7, 6 / 24], [11 / 12, 4 / 7, 18 / 24], [4 / 12, 0, 0]])
    np.testing.assert_array_equal(out[:, 0], [2020, 2021, 2023])
    np.testing.assert_allclose(out[:, 1:7:2], np.sin(angles), atol=1e-6)
    np.testing.assert_allclose(out[:, 2:7:2], np.cos(angles), atol=1e-6)
    np.testing.assert_allclose(out[:, 7], [0.25, 671.75, 1157])


@pytest.mark.parametrize(
    ("moments", "parts"),
    [
        (["2020-03-01", "2020-03-05"], {"weekday", "days since 2020-03-01"}),
        (["2020-03-01", "2020-04-05"], {"month", "weekday", "days since 2020-03-01"}),
        (["2020-03-01T05:00", "2020-03-01T07:00"], {"hour", "days since 2020-03-01"}),
        (["2020-03-01T05:00", "2020-03-01T05:01"], {"days since 2020-03-01"}),
        (["1999-12-31", "2020-01-01"], {"year", "month", "weekday", "days since 1999-12-31"}),
        (["1950-01-01", "1969-12-31"], {"year", "month", "weekday", "days since 1950-01-01"}),
    ],
)
def test_parts_of_a_date_that_never_change_are_left_out(moments, parts):
    encodings, out, _, _ = encodings_of(frame(d=np.array(moments, "datetime64[us]")))
    assert {name.removeprefix("d: ").removesuffix(" sin").removesuffix(" cos") for name in encodings.names} == parts
    assert np.isfinite(out).all()
    assert np.ptp(out[:, -1]) > 1


def test_one_date_of_the_past_does_not_flatten_the_others():
    days = np.datetime64("2020-01-01") + np.arange(1000)
    days[0] = np.datetime64("0001-01-01")
    _encodings, out, rule, _ = encodings_of(frame(d=days))
    assert rule["robust"] == ["d"]
    assert out[1:, -1].std() > 0.3


def test_a_missing_date_is_told_and_in_the_middle():
    array = pa.array([None, 0, 86_400_000_000 * 400], pa.timestamp("us"))
    encodings, out, _, _ = encodings_of(frame(d=array))
    assert encodings.names[-1] == "d is missing"
    np.testing.assert_array_equal(out[0], [0] * (encodings.inputs - 1) + [1])


def test_the_calendar_is_numpys():
    days = np.arange(-800_000, 800_000, 997) * dates.DAY + 12_345
    year, month = dates.calendar(days)
    text = days.astype("datetime64[us]").astype("datetime64[D]").astype(str)
    assert [f"{y:04d}-{m:02d}" for y, m in zip(year, month, strict=True) if 0 < y < 10_000] == [
        t.rsplit("-", 1)[0] for t, y in zip(text, year, strict=True) if 0 < y < 10_000
    ]


@pytest.mark.parametrize(
    "plain", [{}, {"origin": 1.5, "cycles": []}, {"origin": 1, "cycles": ["second"]}, {"origin": 1}]
)
def test_dates_that_were_changed_are_refused(plain):
    with pytest.raises(ValueError, match="a date's encoding"):
        Date.from_plain(plain)
