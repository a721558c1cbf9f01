"""Construct labelled pairs whose labels follow from how they are made; write JSON lines.

Run as `python tests/data/construct_pairs.py >> tests/data/math_pairs.jsonl`. Nothing here uses the
verifier: a positive is one value in two notations, a negative is a value and a changed one.
"""

import json
import random
from collections.abc import Iterator
from fractions import Fraction

Pair = tuple[str, str, str, bool, str]
RNG = random.Random(20261121)


def whole(low: int = 2, high: int = 60) -> int:
    return RNG.randint(low, high)


def fractions() -> Iterator[Pair]:
    for _ in range(12):
        value, factor = Fraction(whole(), whole()), whole(2, 9)
        top, bottom = value.numerator, value.denominator
        scaled = f"\\frac{{{factor * top}}}{{{factor * bottom}}}"
        plain = f"\\frac{{{top}}}{{{bottom}}}"
        yield "fractions", plain, scaled, True, "scale both by the same number"
        yield "fractions", plain, f"{top}/{bottom + 1}", False, "change the denominator"


def decimals() -> Iterator[Pair]:
    for _ in range(10):
        cents = whole(1, 999)
        fraction = Fraction(cents, 100)
        written = f"\\dfrac{{{fraction.numerator}}}{{{fraction.denominator}}}"
        yield "decimals", f"{cents / 100:.2f}", written, True, "hundredths as a fraction"
        other = f"{(cents + 1) / 100:.2f}"
        yield "decimals", written, other, False, "one hundredth more"


def radicals() -> Iterator[Pair]:
    for _ in range(10):
        root, square = RNG.choice((2, 3, 5, 6, 7, 10, 11)), whole(2, 9)
        plain = f"{square}\\sqrt{{{root}}}"
        inside = f"\\sqrt{{{square * square * root}}}"
        yield "radicals", plain, inside, True, "a sqrt(b) = sqrt(a a b)"
        if root != square:
            turned = f"{root}\\sqrt{{{square}}}"
            yield "radicals", plain, turned, False, "exchange factor and radicand"
        rational = f"\\frac{{{square}}}{{\\sqrt{{{root}}}}}"
        without = f"\\frac{{{square}\\sqrt{{{root}}}}}{{{root}}}"
        yield "radicals", rational, without, True, "rationalise"


def polynomials() -> Iterator[Pair]:
    for _ in range(14):
        a, b, c, d = (RNG.choice((-1, 1)) * whole(1, 9) for _ in range(4))
        factored = f"({a}x{b:+d})({c}x{d:+d})"
        middle, last = a * d + b * c, b * d
        expanded = f"{a * c}x^2{middle:+d}x{last:+d}"
        yield "polynomials", factored, expanded, True, "multiply out"
        changed = f"{a * c}x^2{middle:+d}x{last + 1:+d}"
        yield "polynomials", factored, changed, False, "multiply out, add one"
        yield "polynomials", expanded, expanded.replace("x", "y"), False, "another variable"


def complex_numbers() -> Iterator[Pair]:
    for _ in range(8):
        a, b, c, d = (whole(1, 9) for _ in range(4))
        product = f"{a * c - b * d}{a * d + b * c:+d}i"
        yield "complex", f"({a}+{b}i)({c}+{d}i)", product, True, "multiply"
        wrong = f"{a * c + b * d}{a * d + b * c:+d}i"
        yield "complex", f"({a}+{b}i)({c}+{d}i)", wrong, False, "forget that i i = -1"


def sequences() -> Iterator[Pair]:
    for size in (2, 3, 4, 5) * 3:
        items = RNG.sample(range(-30, 60), size)
        turned = items[1:] + items[:1]
        first, second = (", ".join(map(str, each)) for each in (items, turned))
        yield "lists", first, second, True, "a bare list has no order"
        yield "sets", f"\\{{{first}\\}}", f"\\{{{second}\\}}", True, "a set has no order"
        yield "tuples", f"({first})", f"({second})", False, "a tuple has an order"
        yield "lists", first, ", ".join(map(str, items[:-1])), False, "leave one out"


def intervals() -> Iterator[Pair]:
    for opening, closing in (("(", ")"), ("[", ")"), ("(", "]"), ("[", "]")) * 2:
        low = whole(-20, 20)
        high = low + whole(1, 20)
        interval = f"{opening}{low},{high}{closing}"
        signs = "\\le" if opening == "[" else "<", "\\le" if closing == "]" else "<"
        yield "intervals", interval, f"{low}{signs[0]} x{signs[1]} {high}", True, "as an inequality"
        other = f"{'(' if opening == '[' else '['}{low},{high}{closing}"
        yield "intervals", interval, other, False, "another bracket"


def equations() -> Iterator[Pair]:
    for _ in range(8):
        slope, offset, factor = whole(2, 9), whole(1, 9), whole(2, 5)
        line = f"y={slope}x+{offset}"
        scaled = f"{factor}y-{factor * slope}x-{factor * offset}=0"
        yield "equations", line, scaled, True, "bring to one side and scale"
        yield "equations", line, f"y={slope}x-{offset}", False, "change a sign"
        yield "equations", f"x={slope}", f"t={slope}", False, "another name"


def bases() -> Iterator[Pair]:
    for base in (2, 3, 5, 7, 8, 9):
        digits = "".join(str(RNG.randrange(1, base)) for _ in range(5))
        yield "bases", f"{digits}_{base}", f"{digits}_{{{base}}}", True, "braces"
        yield "bases", f"{digits}_{base}", f"{digits}_{base + 1}", False, "another base"


def powers() -> Iterator[Pair]:
    for _ in range(8):
        base, exponent = whole(2, 9), whole(90, 900)
        power = f"{base}^{{{exponent}}}"
        yield "powers", power, f"{base}\\cdot {base}^{{{exponent - 1}}}", True, "split a factor off"
        yield "powers", power, f"{power}+1", False, "add one to a large number"
        yield (
            "powers",
            f"{base}^{{-{exponent}}}",
            f"{base}^{{-{exponent - 1}}}",
            False,
            "next power",
        )


def near_misses() -> Iterator[Pair]:
    for _ in range(12):
        tens, ones = RNG.sample(range(1, 10), 2)
        yield "integers", f"{tens}{ones}", f"{ones}{tens}", False, "exchange two digits"
        yield "integers", f"{tens}{ones}", f"-{tens}{ones}", False, "change the sign"
        yield "decimals", f"{tens}.{ones}", f"{tens}{ones}", False, "lose the decimal point"
        yield "units", f"{tens}\\text{{ cm}}", f"{ones}\\text{{ cm}}", False, "another amount"
        yield "thousands", f"{tens},{ones}00", f"{tens},{ones}01", False, "one more"


def matrices() -> Iterator[Pair]:
    for _ in range(8):
        a, b, c = (whole() for _ in range(3))
        column = f"\\begin{{pmatrix}}{a}\\\\{b}\\\\{c}\\end{{pmatrix}}"
        brackets = column.replace("pmatrix", "bmatrix").replace("\\\\", " \\\\ ")
        yield "matrices", column, brackets, True, "square brackets and blanks"
        row = column.replace("\\\\", "&")
        yield "matrices", column, row, False, "a row for a column"
        other = f"\\begin{{pmatrix}}{a}\\\\{b}\\\\{c + 1}\\end{{pmatrix}}"
        yield "matrices", column, other, False, "change an entry"


RULES = (
    near_misses, matrices, fractions, decimals, radicals, polynomials, complex_numbers, sequences,
    intervals, equations, bases, powers,
)  # fmt: skip

if __name__ == "__main__":
    for rule in RULES:
        for form, gold, candidate, equal, reason in rule():
            row = {"form": form, "gold": gold, "candidate": candidate, "equal": equal}
            print(json.dumps(row | {"source": f"constructed: {reason}"}))
