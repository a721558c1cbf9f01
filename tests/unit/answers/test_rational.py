from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restem.answers.rational import parse_rational


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", "5"), ("-5", "-5"), ("+5", "5"), ("007", "7"), ("0.5", "1/2"), (".5", "1/2"),
        ("5.", "5"), ("-0.250", "-1/4"), ("1/2", "1/2"), ("-6/4", "-3/2"), ("1.5/2", "3/4"),
        (r"\frac{1}{2}", "1/2"), (r"-\frac{1}{2}", "-1/2"), (r"\frac{-1}{2}", "-1/2"),
        (r"\frac{1}{-2}", "-1/2"), (r"\frac{-1}{-2}", "1/2"), (r"-\frac{-1}{2}", "1/2"),
        (r"1\frac{1}{2}", "3/2"), (r"-1\frac{1}{2}", "-3/2"), ("1 1/2", "3/2"),
        ("50%", "1/2"), ("-12.5%", "-1/8"), ("100000000000000000001", "100000000000000000001"),
    ],
)  # fmt: skip
def test_numbers_are_read_exactly(text, value):
    assert parse_rational(text) == Fraction(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "-", ".", "x", "1/0", r"\frac{1}{0}", "0/0", "--5", "1,5", "1e5", "1E999999999",
        "1_000", "inf", "nan", "0x10", "２", "1/2/3", r"\frac{1}{2}\pi", r"3\frac{5}{2}",
        r"3\frac{-1}{2}", "50%%", "1 2", "5!", "2^{100}", "5\n", r"\frac{1}{2}{3}", "9" * 1001,
        "1/" + "9" * 1000,
    ],
)  # fmt: skip
def test_anything_else_is_no_number(text):
    assert parse_rational(text) is None


@given(st.fractions(max_denominator=10**6))
@settings(deadline=None, max_examples=200)
def test_every_fraction_is_read_back(value):
    sign, top = ("-" if value < 0 else ""), abs(value.numerator)
    assert parse_rational(str(value)) == value
    assert parse_rational(f"{sign}\\frac{{{top}}}{{{value.denominator}}}") == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
@settings(deadline=None, max_examples=200)
def test_every_decimal_is_read_back(value):
    assert parse_rational(f"{value:f}") == Fraction(value)
