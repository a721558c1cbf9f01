"""Equations are read as written and worked out exactly; nothing is ever executed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restem.answers.equations import all_hold, equations, holds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b=a+7=6+7=13", [("6+7", "13")]),
        ("She has 2 + 3 * 4 = 14 eggs", [("2+3*4", "14")]),
        ("48/2 = 24 clips, 48+24 = 72", [("48/2", "24"), ("48+24", "72")]),
        ("$2 \\times 3 = 6$", [("2*3", "6")]),
        ("it costs 3*2=$6", [("3*2", "6")]),
        ("f=e-4+4=94-4+4=94,g=f+1=94+1=95", [("94-4+4", "94"), ("94+1", "95")]),
        ("x + 2 - 1 = 5, so x = 4", []),
        ("x^2 + 1 = 5", []),
        ("(1 + 2) * 3 + 1 = 10", []),
        ("1 + 2 = 5 - 2 = 3", [("5-2", "3")]),
        ("1 + 2 = 4 - x", []),
        ("2 + 3 = 5 - the rest", [("2+3", "5")]),
        ("60 x 60/100 = 36", [("60*60/100", "36")]),
        ("40 students x 1/10 = 4 students", []),
        ("100 / 5 = 5A / 5", []),
        ("1,000 + 5 = 1,005", [("1000+5", "1005")]),
        ("5+3=8, 120 are left", [("5+3", "8")]),
        ("17 / 5 = 3 remainder 2", [("17/5", "3R2")]),
        ("17 ÷ 5 = 3 R 2", [("17/5", "3R2")]),
        ("17/5=3r2", [("17/5", "3R2")]),
        ("17 / 5 = 3, remainder 2.", [("17/5", "3R2")]),
        ("17 / 5 = 3 with a remainder of 2", [("17/5", "3R2")]),
        ("17 / 5 = 3 with 2 apples left over", [("17/5", "3R2")]),
        ("20 / 4 = 5 and 2 left the room", [("20/4", "5")]),
        ("2 + 3 = 5 and 4 left", [("2+3", "5")]),
        ("17 / 5 = 3 2/5 cups", [("17/5", "3+2/5")]),
        ("1/4 = 25%, 3/4 = 75\\%", [("1/4", "25%"), ("3/4", "75%")]),
        ("05 + 3 = 8", [("05+3", "8")]),
        ("7:30 + 2 = 9:30", []),
        ("√9 + 1 = 4", []),
        ("2² + 1 = 5", []),
        ("2 + 7 = 3²", []),
        ("x = 5", []),
        ("", []),
    ],
)
def test_equations_are_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert list(equations(text)) == expected


@pytest.mark.parametrize(
    ("left", "right", "right_or_wrong"),
    [
        ("2+3", "5", True),
        ("2+3", "6", False),
        ("2+3*4", "14", True),
        ("1/3", "0.33", True),
        ("1/3", "0.34", False),
        ("0.1+0.2", "0.3", True),
        ("7/2", "3", False),
        ("5/0", "5", False),
        ("-3*-2", "6", True),
        ("010+1", "11", True),
        ("05+3", "8", True),
        ("05+3", "9", False),
        ("100+007", "107", True),
        ("0.5+0.50", "1", True),
        ("1.05+2", "3.05", True),
        ("17/5", "3R2", True),
        ("17/5", "3R1", False),
        ("17/5", "2R7", False),
        ("17/0", "3R2", False),
        ("2*17/5", "6R4", True),
        ("17/5", "3+2/5", True),
        ("-7/2", "-3+1/2", True),
        ("17/5", "3+3/5", False),
        ("1/4", "25%", True),
        ("0.25*100", "25%", True),
        ("1/3", "33.3%", True),
        ("1/4", "26%", False),
    ],
)
def test_equations_hold_to_the_digits_they_give(
    left: str, right: str, right_or_wrong: bool
) -> None:
    assert holds((left, right)) == right_or_wrong


@given(st.integers(-999, 999), st.integers(-999, 999), st.sampled_from("+-*"), st.integers(-9, 9))
def test_every_true_equation_holds_and_no_other(a: int, b: int, sign: str, error: int) -> None:
    value = {"+": a + b, "-": a - b, "*": a * b}[sign] + error
    assert holds((f"{a}{sign}{b}", str(value))) == (error == 0)


@given(
    st.integers(0, 9999),
    st.integers(1, 99),
    st.sampled_from(["{} remainder {}", "{}R{}", "{} r {}", "{}, with a remainder of {}"]),
    st.integers(0, 2),
    st.integers(0, 2),
)
def test_a_division_leaves_its_rest_and_no_other(
    a: int, b: int, form: str, zeros: int, error: int
) -> None:
    quotient, rest = divmod(a, b)
    text = f"{'0' * zeros}{a} / {b} = {form.format(quotient, rest + error)}"
    assert len(equations(text)) == 1
    assert all_hold(text) == (error == 0)


@given(st.text("0123456789+-*/=. ()a$\\R%", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    all_hold(text)


def test_powers_and_endless_terms_are_not_worked_out() -> None:
    assert equations("9**9**9**9 = 1") == ()
    assert equations("+".join(["1"] * 5000) + "=5000") == ()
