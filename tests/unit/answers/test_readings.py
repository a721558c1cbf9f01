"""Pairs that are easily judged wrongly: sentences as units, or as and, words as products."""

import pytest

from restem.rewards.math import compare
from restem.tools.grade import grade_pairs

EQUAL = [
    # words after a number
    ("6", "6\\text{ beads}"), ("6", "6 \\text{ beads in total}"), ("60", "60 miles per hour"),
    ("60\\text{ miles per hour}", "60 miles per hour"), ("60", "60 km/h"), ("9.8", "9.8 m/s^2"),
    ("5\\text{ m/s}", "5 m/s"), ("7", "7 dollars per week"), ("7", "7\\text{ mL}"),
    ("7", "7\\text{ g}"),
    ("440", "440\\text{ Hz}"), ("6", "6 beads per child"), ("10", "10\\text{th}"),
    ("9", "9\\text{ a.m.}"),
    ("8", "8\\text{ o'clock}"), ("3", "3\\text{ GB}"), ("5", "5\\text{ yrs}"), ("5", "5 hrs"),
    ("5", "5\\text{ pts}"), ("5", "5\\text{ UK pounds}"), ("50", "50\\text{ kWh}"),
    # braces
    ("9", "{x=9}"), ("x=9", "{9}"), ("9", "{{x=9}}"), ("x=9", "{x=9}"), ("x>3", "{x>3}"),
    ("y=2x+3", "{y=2x+3}"), ("\\{1,2\\}", "{1,2}"), ("1 < x < 3", "{1<x<3}"), ("9", "${x=9}$"),
    # functions
    ("y=2x+3", "f(x)=2x+3"), ("f(x)=2x+3", "y=3+2x"), ("y=x^2", "g(x)=x^2"), ("h(t)=t^2", "y=t^2"),
    ("2x+3", "f(x)=2x+3"), ("P(x)=x^2+1", "y=1+x^2"),
    # choices
    ("15", "\\textbf{(C)}\\ 15"), ("C", "\\textbf{(C)}\\ 15"), ("\\text{(C)}", "(C) 15"),
    ("15", "\\text{(C) }15"), ("15", "(C) 15"), ("15", "C. 15"), ("\\frac{1}{2}", "(B) \\frac12"),
    ("15", "$\\textbf{(C)}\\ 15$"), ("15", "\\textbf{(C) 15}"), ("\\$5", "(A) \\$5"),
    ("15", "C) 15"),
    ("-3", "\\textbf{(D)}~-3"), ("\\textbf{(C)}\\ 15", "\\text{(C)} 15"),
    # other digits and signs
    ("64", "６４"), ("6.5", "６．５"), ("1/2", "１／２"), ("-7", "－７"), ("(1,2)", "（1，2）"),
    ("50\\%", "５０％"), ("x=5", "ｘ＝５"), ("64", "٦٤"), ("64", "𝟔𝟒"), ("1234", "１，２３４"),
    ("90^\\circ", "90º"), ("90", "90º"), ("90^\\circ", "90˚"), ("90°", "90 degrees"),
    # lists
    ("100, 200", "100,200"), ("100,200", "100, 200"), ("100,200", "100 and 200"),
    ("100200", "100,200"),
    ("100,200,300", "300, 200, 100"), ("1,234", "1234"), ("5, 100, 200", "5,100,200"),
    ("|x|=2", "\\pm 2"), ("|x|=2", "2, -2"), ("|x|=2", "\\{-2,2\\}"), ("|x|=2", "x=2 or x=-2"),
    ("|x-1|=2", "3, -1"), ("|x|=2", "2 and -2"), ("a cat", "cat"), ("the cat", "cat"),
    ("|x|=2", "x=\\pm 2"), ("2, -2", "|x|=2"),
    ("2 and 3", "2 or 3"), ("x=2 and x=3", "x=2 or x=3"), ("x=1 and y=2", "x=1, y=2"),
    ("x=1 and y=2", "y=2 and x=1"), ("1<x<3", "x>1 and x<3"), ("1<x<3", "x>1, x<3"),
    ("x<3 or x>5", "x>5 or x<3"), ("(-\\infty,3)\\cup(5,\\infty)", "x<3 or x>5"),
    # words and products
    ("cat", "Cat"), ("cat", "\\text{cat}"), ("no", "No"), ("xy", "yx"), ("2ab", "2ba"),
    ("abc", "cba"),
    ("mn", "nm"), ("no, yes", "no, yes"), ("x+xyz", "zyx+x"), ("odd", "\\text{odd}"),
]  # fmt: skip

DIFFERENT = [
    ("6", "6 \\text{ is wrong, it is } 7"), ("2", "2\\text{x}"), ("2", "2\\text{xy}"),
    ("6", "6 \\text{ or more}"),
    ("6", "6\\text{ beads } 7"), ("6", "6 \\text{ is not the answer}"), ("6", "6 squared"),
    ("64", "64 \\text{ squared}"),
    ("5", "5\\text{k}"), ("5", "5\\text{abc}"), ("5", "5\\text{ mn}"), ("5", "5\\text{ no}"),
    ("3", "3 \\text{ if } x > 0"), ("5", "5 times"),
    ("60\\text{ miles per hour}", "60 miles per minute"), ("60 km/h", "60 m/s"), ("5", "5m"),
    ("2", "2s"),
    ("5\\text{ m}", "5 m/s"), ("9", "{x=8}"), ("x=9", "{y=9}"), ("(1,2)", "{1,2}"),
    ("y=2x+3", "f(x)=2x+4"), ("y=2x+3", "f(t)=2t+3"), ("x=5", "f(x)=5"), ("y=5", "x=5"),
    ("f(x)=2x", "g(x)=2x"),
    ("x=2y", "f(y)=2y"), ("15", "\\textbf{(C)}\\ 16"), ("D", "\\textbf{(C)}\\ 15"),
    ("\\textbf{(D)}\\ 15", "\\textbf{(C)}\\ 15"),
    ("3", "(C) - 3"), ("64", "６５"), ("90^\\circ", "91º"), ("100200", "100, 200"),
    ("300", "100,200"),
    ("1,234", "1, 235"), ("(100,200)", "100, 200"), ("|x|=2", "2, 3"), ("|x|=2", "2, -2, 0"),
    ("|y|=2", "x=2 or x=-2"), ("red cat", "cat red"), ("is it", "it is"), ("x=1 or y=2", "(1,2)"),
    ("1<x<3", "x>1 or x<3"), ("x<3 or x>5", "x<3 and x>5"), ("x=1 and y=2", "x=1 or y=2"),
    ("x=1, y=2", "x=1 or y=2"),
    ("x>1 and x<3", "x>1 or x<3"), ("x>1, x<3", "x>1 or x<3"),
    ("x \\le 1 \\lor x \\ge 2", "x \\le 1 \\land x \\ge 2"),
    ("p \\lor q", "p \\land q"), ("a=1 and b>2", "a=1 or b>2"),
    ("cat", "act"), ("no", "on"), ("dog", "god"), ("was", "saw"), ("tea", "eat"), ("is", "si"),
    ("red", "der"),
    ("cat, 5", "act, 5"), ("x=no", "x=on"), ("bad", "dab"), ("\\text{cat}", "act"),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_answers_are_equal_both_ways(left, right):
    assert compare(left, right)[0] and compare(right, left)[0]


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_answers_differ_both_ways(left, right):
    assert not compare(left, right)[0] and not compare(right, left)[0]


def test_they_are_judged_so_in_a_box():
    pairs = [(left, f"\\boxed{{{right}}}") for left, right in EQUAL]
    wrong = [p for p, v in zip(pairs, grade_pairs(pairs), strict=True) if v.verdict != "correct"]
    assert wrong == []
