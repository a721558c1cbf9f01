"""Read a single value: an expression, apart from its currency, unit or degrees."""

from collections.abc import Sequence

from restem.answers.expression import parse_expression
from restem.answers.forms import Scalar
from restem.answers.tokens import Token
from restem.answers.tree import Node, UnreadableError, make
from restem.answers.units import canonical_unit


def scalar(tokens: Sequence[Token]) -> Scalar:
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
    for token in tokens:
        if token.kind not in allowed and token.value not in ("^", "/", "*"):
            raise UnreadableError("words inside an expression")
    return canonical_unit(" ".join(token.value for token in tokens if token.value not in "{}^*"))


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
