r"""Read the form of an answer: the structure around its expressions.

A bare list is unordered, as MATH's lists of solutions are; brackets keep their order and their
kind; `x=5` keeps its label. An answer without such a form is text, or raises UnreadableError.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Final

from restem.answers.expression import parse_expression
from restem.answers.forms import (
    Based,
    Form,
    Group,
    Listing,
    Matrix,
    NamedSet,
    Ratio,
    Relation,
    Scalar,
    SetOperation,
    Text,
)
from restem.answers.tokens import Token, tokenize
from restem.answers.tree import Node, UnreadableError, make, number
from restem.answers.units import canonical_unit, is_word, may_be_unit
from restem.answers.words import NOTHING, NUMERALS, REALS, named_text, simplified

MAX_NESTING: Final = 8
MAX_SIGNS: Final = 4
MAX_ITEMS: Final = 60

_WORDS = re.compile(r"\s*[A-Za-z][A-Za-z'’. -]*[A-Za-z.]\s*")
_TIME = re.compile(
    r"""\A[\s$]*(?:\\(?:text|mbox|textrm)\{\s*)?
    ([0-9]{1,2}(?:\s*\\?!?\s*:\s*\\?!?\s*[0-9]{2}){1,2})
    (?:[\s~,]|\\[,;\ ]|\\(?:text|mbox|textrm|mathrm)\{)*
    ([ap])\s*\.?\s*m\b[\s.}$]*\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_MATRICES: Final = {
    **dict.fromkeys(("pmatrix", "bmatrix", "matrix", "smallmatrix", "array", "Bmatrix"), "matrix"),
    **dict.fromkeys(("vmatrix", "Vmatrix"), "vmatrix"),
}  # fmt: skip


@lru_cache(maxsize=4096)
def read(answer: str) -> Form:
    """Return the form of an answer. Raises UnreadableError when it has no known form."""
    if time := _TIME.search(answer):
        return Text(re.sub(r"[^0-9:]", "", time[1]) + f" {time[2].lower()}m")
    words = answer.strip().strip("$").strip(" .")
    if _WORDS.fullmatch(words) and (form := _words(words)):
        return form
    return _listing(_trimmed(tokenize(answer)), 0)


def _words(text: str) -> Form | None:
    r"""Read words without \text; None where the letters are no words, such as xy and sin."""
    plain = simplified(text)
    if plain in NOTHING or plain in REALS or plain in NUMERALS:
        return named_text(text)
    tokens = tokenize(text)
    worded = any(token.kind == "text" for token in tokens)
    return Text(plain) if worded and {t.kind for t in tokens} <= {"text", "unit"} else None


def _trimmed(tokens: list[Token]) -> list[Token]:
    """Drop punctuation at the end, a relation sign at the start, and spaces."""
    kept = [token for token in tokens if token.kind != "space"]
    for place in range(1, len(kept) - 1):
        before, token, after = kept[place - 1 : place + 2]
        if token.value == "U" and (before.kind, after.kind) == ("close", "open"):
            kept[place] = Token("cup", "")  # (0,1) U (2,3)
    while kept and kept[-1].kind in ("point", "separator") and not _dotted(kept):
        kept.pop()
    if kept and (kept[0].kind, kept[0].value) in (("relation", "~"), ("relation", "=")):
        kept = kept[1:]
    if not kept:
        raise UnreadableError("nothing")
    return kept


def _dotted(tokens: Sequence[Token]) -> bool:
    return len(tokens) > 3 and all(token.kind == "point" for token in tokens[-3:])


def _split(tokens: Sequence[Token], separator: str) -> tuple[list[list[Token]], list[Token]]:
    """Split at tokens of one kind outside brackets; return the pieces and these tokens."""
    pieces: list[list[Token]] = [[]]
    cuts: list[Token] = []
    depth = 0
    for token in tokens:
        depth += (token.kind in ("open", "begin")) - (token.kind in ("close", "end"))
        if depth < 0:
            raise UnreadableError("a bracket is closed that was not opened")
        if depth == 0 and token.kind == separator:
            pieces.append([])
            cuts.append(token)
        else:
            pieces[-1].append(token)
    return pieces, cuts


def _listing(tokens: Sequence[Token], depth: int) -> Form:
    """Read items between separators; a single item is returned as it is."""
    if depth > MAX_NESTING:
        raise UnreadableError("nested too deeply")
    tokens = _without_braces(tokens)
    pieces, cuts = _split(tokens, "separator")
    pieces = [piece for piece in pieces if piece]  # "2, and 3" has two cuts in a row
    if len(pieces) > MAX_ITEMS or not pieces:
        raise UnreadableError("too many items, or none")
    items = [form for piece in pieces for form in _signed_items(piece, depth)]
    if len(items) == 1:
        return items[0]
    words = {cut.value for cut in cuts}
    return Listing(tuple(items), "or" if "or" in words else "and" if "and" in words else ",")


def _without_braces(tokens: Sequence[Token]) -> Sequence[Token]:
    """Drop braces around a whole relation, which LaTeX ignores; {1, 2} may be a set."""
    while len(tokens) > 2 and tokens[0] == Token("open", "{") and _encloses(tokens):
        inner = tokens[1:-1]
        if not _split(inner, "relation")[1] or _split(inner, "separator")[1]:
            break
        tokens = inner
    return tokens


def _encloses(tokens: Sequence[Token]) -> bool:
    """Return whether the first bracket is closed by the last token."""
    depth = 0
    for token in tokens[:-1]:
        depth += (token.kind == "open") - (token.kind == "close")
        if depth <= 0:
            return False
    return tokens[-1].kind == "close" and depth == 1


def _signed_items(tokens: Sequence[Token], depth: int) -> Iterator[Form]:
    r"""Read an item once for each choice of its \pm signs; \mp is the opposite of them all."""
    inside = tokens[0] == Token("open", "set") and _wrapped(tokens)  # left to the set's items
    places = [i for i, token in enumerate(tokens) if _is_sign(token, "pm") and not inside]
    if len(places) > MAX_SIGNS:
        raise UnreadableError("too many signs")
    opposed = any(_is_sign(token, "mp") for token in tokens) and not inside
    for choice in _choices(len(places), opposed):
        signed = list(tokens)
        for place, sign in zip(places, choice, strict=False):
            signed[place] = Token("operator", sign)
        opposite = Token("operator", "-" if choice[:1] == ("+",) else "+")
        if opposed:
            signed = [opposite if _is_sign(token, "mp") else token for token in signed]
        yield _item(signed, depth)


def _choices(signs: int, opposed: bool) -> Iterator[tuple[str, ...]]:
    if opposed:  # all \pm change together, and \mp needs at least one to oppose
        return iter([("+",) * max(1, signs), ("-",) * max(1, signs)])
    return product("+-", repeat=signs)


def _is_sign(token: Token, name: str) -> bool:
    return token.kind == "operator" and token.value == name


def _item(tokens: Sequence[Token], depth: int) -> Form:
    """Read one answer: a relation, a set operation, or a single item."""
    parts, cuts = _split(tokens, "cup")
    if cuts and all(any(token.kind == "relation" for token in part) for part in parts):
        return SetOperation("cup", tuple(_item(part, depth + 1) for part in parts))
    sides, operators = _split(tokens, "relation")
    if operators:
        if not all(sides):
            raise UnreadableError("a relation with an empty side")
        forms = tuple(_item(side, depth + 1) for side in sides)
        return Relation(forms, tuple(token.value for token in operators))
    if len(tokens) > 2 and tokens[0].kind == "set" and _is_sign(tokens[1], "-"):
        tokens = [tokens[0], Token("setminus", ""), *tokens[2:]]  # R - {2}
    for kind in ("cup", "setminus", "cap"):
        parts, cuts = _split(tokens, kind)
        if cuts:
            return SetOperation(kind, tuple(_item(part, depth + 1) for part in parts))
    return _single(tokens, depth)


def _single(tokens: Sequence[Token], depth: int) -> Form:
    if not tokens or depth > MAX_NESTING:
        raise UnreadableError("nothing, or nested too deeply")
    if tokens[0].kind == "set" and len(tokens) == 1:
        return NamedSet(tokens[0].value)
    if words := _spelled_words(tokens):
        return named_text(words)
    if all(token.kind in ("text", "unit", "point", "ratio", "number") for token in tokens):
        if any(token.kind == "text" for token in tokens) and tokens[0].kind != "number":
            return named_text(" ".join(token.value for token in tokens))
    if any(token.kind == "begin" for token in tokens):
        return _matrix(tokens, depth)
    if any(token.kind == "ratio" for token in tokens) and tokens[0].kind != "open":
        return _ratio(tokens)
    if _wrapped(tokens):
        return _group(tokens, depth)
    if _subscripted(tokens):
        return _based(tokens)
    return _scalar(tokens)


def _spelled_words(tokens: Sequence[Token]) -> str:
    """Return the words that adjacent letters spell, so that cat is not c times a times t."""
    if len(tokens) < 2 or any(t.kind != "symbol" or len(t.value) > 1 for t in tokens):
        return ""
    text = "".join(" " * token.spaced + token.value for token in tokens).strip()
    words = text.split()
    if words[0] in ("a", "A"):
        words = words[1:]
    return text if words and all(word.isalpha() and is_word(word) for word in words) else ""


def _wrapped(tokens: Sequence[Token]) -> bool:
    """Return whether one pair of brackets, perhaps a mixed one as in [0,1), holds everything."""
    if (tokens[0].kind, tokens[-1].kind) != ("open", "close"):
        return False
    depth = 0
    for token in tokens[1:-1]:
        depth += (token.kind == "open") - (token.kind == "close")
        if depth < 0:
            return False
    if depth or len(tokens) < 2:
        return False
    ends = {tokens[0].value, tokens[-1].value}
    if ends == {"{"}:  # {1, 2} is a set with the backslashes missing, {1} is just 1
        return len(_split(tokens[1:-1], "separator")[0]) > 1
    return ends <= {"(", "[", "<", "set"}


def _group(tokens: Sequence[Token], depth: int) -> Form:
    opening, closing = ("set" if end.value == "{" else end.value for end in (tokens[0], tokens[-1]))
    inner = tokens[1:-1]
    if not inner:
        if opening != "set":
            raise UnreadableError("empty brackets")
        return NamedSet("empty")
    if opening == "set" and (form := _set_builder(inner, depth)):
        return form
    form = _listing(inner, depth + 1)
    if isinstance(form, Listing) and form.word == ",":
        return Group(opening, closing, form.items)
    if opening == closing == "set":
        return Group("set", "set", form.items if isinstance(form, Listing) else (form,))
    if opening == closing and isinstance(form, Scalar | Text | Based | Relation | Listing):
        return form  # (x+1), (A), (x>3)
    raise UnreadableError("brackets around one item")


def _set_builder(inner: Sequence[Token], depth: int) -> Form | None:
    """Read { x | x > 3 } and { x : x > 3 } as its condition."""
    for kind in ("bar", "ratio"):
        parts, cuts = _split(inner, kind)
        if len(cuts) == 1 and len(parts[0]) in (1, 3) and parts[0][0].kind == "symbol":
            return _listing(parts[1], depth + 1)
    return None


def _ratio(tokens: Sequence[Token]) -> Form:
    """Read 1:2:3; with a.m. or p.m. after it, a time."""
    if tokens[-1].kind in ("text", "unit"):
        written = "".join(token.value + ":" * (token.kind == "ratio") for token in tokens)
        return Text(simplified(written.replace("::", ":")))
    parts, _ = _split(tokens, "ratio")
    return Ratio(tuple(parse_expression(part) for part in parts))


def _subscripted(tokens: Sequence[Token]) -> bool:
    """Return whether these are digits with a base: 101_2, -(101)_2, 1A_{16}."""
    places = [i for i, token in enumerate(tokens) if token.value == "_"]
    if len(places) != 1:
        return False
    head = [token for token in tokens[: places[0]] if token.value not in ("(", "{")]
    head = head[1:] if head and head[0].value == "-" else head
    return any(t.kind == "number" for t in head) and all(map(_is_digits, head))


def _is_digits(token: Token) -> bool:
    return token.kind in ("number", "point") or (token.kind == "symbol" and token.value.isupper())


def _based(tokens: Sequence[Token]) -> Form:
    kinds = [token.kind for token in tokens]
    if kinds.count("open") != kinds.count("close"):
        raise UnreadableError("a bracket is not closed")
    place = next(i for i, token in enumerate(tokens) if token.value == "_")
    head = (token for token in tokens[:place] if token.value not in ("(", "{"))
    digits = "".join("." if token.kind == "point" else token.value for token in head)
    base = [token.value for token in tokens[place + 1 :] if token.value not in "{}("]
    written = "".join(base).lower()
    if not (written in NUMERALS or (written.isdigit() and len(written) < 4)):
        raise UnreadableError("the base is not a number")
    return Based(digits, NUMERALS.get(written) or int(written))


def _matrix(tokens: Sequence[Token], depth: int) -> Form:
    """Read a matrix, perhaps with a factor before it."""
    start = next(i for i, token in enumerate(tokens) if token.kind == "begin")
    end = next((i for i, token in enumerate(tokens) if token.kind == "end"), None)
    if end is None or tokens[end].value != tokens[start].value:
        raise UnreadableError("a matrix is not closed")
    before, after = tokens[:start], tokens[end + 1 :]
    while before and before[-1].kind == "open" and after and after[0].kind in ("close", "point"):
        before, after = before[:-1], after[1:]
    kind = _MATRICES.get(tokens[start].value)
    if kind is None or after or any(t.kind == "begin" for t in tokens[start + 1 :]):
        raise UnreadableError("not one matrix")
    rows, _ = _split(tokens[start + 1 : end], "row")
    factor = _factor(before)
    cells = tuple(tuple(_cells(row, factor, depth)) for row in rows if row)
    if not cells or len({len(row) for row in cells}) != 1:
        raise UnreadableError("rows of different lengths")
    return Matrix(cells, kind)


def _factor(before: Sequence[Token]) -> Node | None:
    """Read the factor before a matrix."""
    while before and before[-1].value == "*":
        before = before[:-1]
    if len(before) == 1 and before[0].value == "-":
        return number(-1)
    return parse_expression(before) if before else None


def _cells(row: Sequence[Token], factor: Node | None, depth: int) -> Iterator[Form]:
    for cell in _split(row, "cell")[0]:
        form = _single(cell, depth + 1)
        if factor is None:
            yield form
        elif isinstance(form, Scalar):
            yield Scalar(make("mul", factor, form.node), form.unit)
        else:
            raise UnreadableError("a factor before an entry that is not a number")


# ---- single values ----


def _scalar(tokens: Sequence[Token]) -> Scalar:
    """Read an expression with a currency before it or a unit after it.

    Raises UnreadableError where it is neither a value nor a value with a unit.
    """
    tokens = _multiplied(tokens)
    currencies = [token.value for token in tokens if token.kind == "money"]
    unit = currencies[0].replace("$", "dollar") if currencies else ""
    tokens = [token for token in tokens if token.kind != "money"]
    units = (i for i, token in enumerate(tokens) if token.kind in ("text", "unit", "modulo"))
    start = next(units, len(tokens))
    if start == 0:
        raise UnreadableError("a unit without a number")
    if start < len(tokens):
        unit = _unit(tokens[start:])
    return _with_degrees(parse_expression(tokens[:start]), unit)


def _unit(tokens: Sequence[Token]) -> str:
    if tokens[0].kind == "modulo":
        return "mod " + "".join(token.value for token in tokens[1:] if token.value not in "{}(")
    allowed = ("text", "unit", "point", "open", "close", "number")
    for before, token in zip((tokens[0], *tokens), tokens, strict=False):
        of_quotient = token.kind == "symbol" and before.value == "/"
        if token.kind not in allowed and token.value not in ("^", "/", "*") and not of_quotient:
            raise UnreadableError("words inside an expression")
        if token.kind == "number" and before.kind == "text":
            raise UnreadableError("a number after words")
    words = " ".join(token.value for token in tokens if token.value not in "{}^*")
    if not may_be_unit(words):
        raise UnreadableError("words that are no unit")
    return canonical_unit(words)


def _multiplied(tokens: Sequence[Token]) -> Sequence[Token]:
    """Write 5 million as 5 times 10^6."""
    place = next((i for i, token in enumerate(tokens) if token.kind == "multiple"), 0)
    if not place:
        return tokens
    power = Token("number", str(10 ** int(tokens[place].value)))
    return [*tokens[:place], Token("operator", "*"), power, *tokens[place + 1 :]]


def _with_degrees(node: Node, unit: str) -> Scalar:
    """Make an outer degree sign the unit; inside an expression it is a factor."""
    if node.op == "degree" and unit in ("", "c", "f", "celsius", "fahrenheit"):
        return Scalar(node.args[0], f"degree {unit}".strip())
    if node.op == "neg" and node.args[0].op == "degree" and not unit:
        return Scalar(make("neg", node.args[0].args[0]), "degree")
    return Scalar(node, unit)
