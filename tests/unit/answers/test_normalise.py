"""Normal forms of answers, and the exact numbers that they state."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restem.answers.normalise import NormalForm, normalise, parse_rational
from restem.answers.units import canonical_unit


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (r"\frac12", r"\frac{1}{2}"),
        (r"\frac1{72}", r"\frac{1}{72}"),
        (r"\frac{1}2", r"\frac{1}{2}"),
        (r"\dfrac 1 2", r"\frac{1}{2}"),
        (r"\tfrac{1}{2}", r"\frac{1}{2}"),
        (r"\frac{\sqrt3}2", r"\frac{\sqrt{3}}{2}"),
        (r"\frac\pi2", r"\frac{\pi}{2}"),
        (r"\pi/2", r"\frac{\pi}{2}"),
        (r"-1/2", r"-\frac{1}{2}"),
        (r"\sqrt[3]2", r"\sqrt[3]{2}"),
        (r"\sqrt5", r"\sqrt{5}"),
        (r"√5", r"\sqrt{5}"),
        ("x^2", "x^{2}"),
        ("1_7", "1_{7}"),
        (r"\left( 1, 2 \right]", "(1,2]"),
        (r"\leftarrow", r"\leftarrow"),
        (r"2 \pi r", r"2\pi r"),
        (r"$5$", "5"),
        (r"$$5$$", "5"),
        (r"\(5\)", "5"),
        (r"\[5\]", "5"),
        (r"\boxed{5}", "5"),
        ("{5}", "5"),
        ("5.", "5"),
        ("5,", "5"),
        ("+5", "5"),
        ("−5", "-5"),
        (".5", "0.5"),
        ("1,234,567", "1234567"),
        (r"1,\!234", "1234"),
        ("1{,}234", "1234"),
        (r"10\,000", "10000"),
        ("12 500", "12500"),
        ("1, 234", "1,234"),
        ("12,34", "12,34"),
        ("(1,234)", "(1,234)"),
        ("0,123", "0,123"),
        ("1,234.56", "1234.56"),
        ("1 1/2", "1 1/2"),
        ("1 100/200", "1 100/200"),
        ("2 3", "2 3"),
        (r"50\%", "50%"),
        ("50 %", "50%"),
        (r"50\text{ percent}", "50%"),
        (r"\text{(B)}", "B"),
        (r"(\text{B})", "B"),
        (r"\text{Yes}", "yes"),
        ("AB", "AB"),
        (r"\mathbf{2340}", "2340"),
        (r"x \neq 2", r"x\ne2"),
        (r"3 \times 4", r"3\cdot4"),
        ("3*4", r"3\cdot4"),
        ("5!", "5!"),
        (r"x \text{ is even}", "xiseven"),
        (r"10\text{ or }20", "10or20"),
        ("x=1,y=2", "x=1,y=2"),
        (r"\{1,2\}", r"\{1,2\}"),
        ("", ""),
    ],
)
def test_body(answer, body):
    assert normalise(answer).body == body


@pytest.mark.parametrize(
    ("answer", "body", "unit"),
    [
        (r"90^\circ", "90", "degree"),
        (r"90^{\circ}", "90", "degree"),
        ("90°", "90", "degree"),
        (r"90\text{ degrees}", "90", "degree"),
        (r"\$5", "5", "dollar"),
        ("$5", "5", "dollar"),
        (r"-\$0.50", "-0.50", "dollar"),
        ("18 dollars", "18", "dollar"),
        (r"5\text{ cm}", "5", "centimeter"),
        ("5 cm", "5", "centimeter"),
        (r"15\mbox{ cm}^2", "15", "centimeter 2"),
        (r"32\text{ square cm}", "32", "centimeter 2"),
        (r"34\text{ sq. units}", "34", "unit 2"),
        (r"5\ \mathrm{ft/sec}", "5", "foot/second"),
        (r"\frac{1}{2}\text{ hour}", r"\frac{1}{2}", "hour"),
        ("2s", "2s", ""),
        ("5m", "5m", ""),
        ("12 monkeys", "12monkeys", ""),
        (r"10\text{ in base 3}", "10inbase3", ""),
        (r"\sin 30^\circ", r"\sin30^{\circ}", ""),
        (r"1.85\ \text{USD}", "1.85", "dollar"),
        (r"90\ ^\circ", "90", "degree"),
    ],
)
def test_units_are_set_aside(answer, body, unit):
    assert normalise(answer) == NormalForm(body, unit)


@pytest.mark.parametrize(
    ("answer", "label", "body"),
    [
        ("x=5", "x", "5"),
        (r"\theta = 5", r"\theta", "5"),
        ("x_1=5", "x_{1}", "5"),
        ("f(x)=5x", "f(x)", "5x"),
        (r"x \in [0,1]", "x", "[0,1]"),
        ("2x=5", "", "2x=5"),
        ("x<5", "", "x<5"),
        ("=5", "", "=5"),
    ],
)
def test_labels_are_set_aside(answer, label, body):
    assert normalise(answer) == NormalForm(body, "", label)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("cm^2", "square centimeters"),
        ("sq. cm", "cm^{2}"),
        ("miles per hour", "mph"),
        ("feet", "foot"),
        ("cubic inches", "in^3"),
    ],
)
def test_a_unit_has_one_name(left, right):
    assert canonical_unit(left) == canonical_unit(right)


def test_a_power_is_another_unit():
    assert len({canonical_unit(unit) for unit in ("cm", "cm^2", "cm^3")}) == 3


# ---- numbers ----


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
