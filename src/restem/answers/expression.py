r"""Parse an expression by recursive descent: tokens to a tree, without computing anything.

Juxtaposition multiplies and binds like a product, so 1/2x is (1/2)x. A function without brackets
applies to the product that follows it, up to the next function: \sin 2x \cos x is sin(2x) cos(x).
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from restem.answers.tokens import Token
from restem.answers.tree import Node, UnreadableError, make, negated, number, symbol

MAX_DEPTH: Final = 40
MAX_CHAIN: Final = 60
MAX_DIGITS: Final = 60  # of a number that ends in dots
_END: Final = Token("end of text", "")
_CLOSED: Final = {"(": "(", "[": "[", "{": "{", "floor": "floor", "ceil": "ceil"}
_OPERANDS: Final = frozenset(("number", "scientific", "symbol", "function", "command", "open"))
_NAMES: Final = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log"}
_UNKNOWN_FUNCTIONS: Final = frozenset(("f", "g"))
_INVERSES: Final = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}


def parse_expression(tokens: Sequence[Token]) -> Node:
    """Return the tree of an expression. Raises UnreadableError for anything else."""
    parser = _Parser(tokens)
    node = parser.expression()
    if parser.token is not _END:
        raise UnreadableError(f"{parser.token.kind} {parser.token.value!r}")
    return node


def _product(factors: Sequence[Node]) -> Node:
    return factors[0] if len(factors) == 1 else make("mul", *factors)


class _Parser:
    """The position in the tokens and the depth of the descent."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0
        self.bars = 0
        self.chained = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position] if self.position < len(self.tokens) else _END

    def ahead(self, offset: int) -> Token:
        place = self.position + offset
        return self.tokens[place] if place < len(self.tokens) else _END

    def take(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def accepts(self, kind: str, *values: str) -> Token | None:
        token = self.token
        if token.kind == kind and (not values or token.value in values):
            self.position += 1
            return token
        return None

    def need(self, kind: str, *values: str) -> Token:
        if token := self.accepts(kind, *values):
            return token
        raise UnreadableError(f"{kind} {values} expected, {self.token.kind} found")

    def link(self, op: str, *args: Node) -> Node:
        """Make a node of a chain such as a/b/c or x!!!, which is deep without brackets."""
        self.chained += 1
        if self.chained > MAX_CHAIN:
            raise UnreadableError("too long a chain")
        return make(op, *args)

    def expression(self) -> Node:
        """Read a sum."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError("too deep")
        terms = [self.signed_term()]
        while token := self.accepts("operator", "+", "-"):
            term = self.signed_term()
            terms.append(negated(term) if token.value == "-" else term)
        self.depth -= 1
        return terms[0] if len(terms) == 1 else make("add", *terms)

    def signed_term(self) -> Node:
        sign = 1
        for _ in range(4):
            token = self.accepts("operator", "+", "-")
            if token is None:
                break
            sign = -sign if token.value == "-" else sign
        term = self.term()
        return negated(term) if sign < 0 else term

    def term(self) -> Node:
        """Read a product of factors, with or without operators between them."""
        factors = [self.factor()]
        while True:
            if token := self.accepts("operator", "*", "/"):
                other = self.signed_factor()
                if token.value == "/":
                    factors = [self.link("div", _product(factors), other)]
                else:
                    factors.append(other)
            elif self.starts_operand():
                if self.token.kind in ("number", "scientific") and self.after_number():
                    raise UnreadableError("two numbers beside each other")
                factors.append(self.factor())
            else:
                return _product(factors)

    def signed_factor(self) -> Node:
        negative = False
        while self.accepts("operator", "-"):
            negative = not negative
        node = self.factor()
        return negated(node) if negative else node

    def starts_operand(self) -> bool:
        token = self.token
        if token.kind == "bar":
            return not self.bars
        return token.kind in _OPERANDS and token.value not in ("choose", "over")

    def after_number(self) -> bool:
        return self.position > 0 and self.tokens[self.position - 1].kind == "number"

    def factor(self) -> Node:
        """Read an operand and what follows it: powers, factorials, degrees, percent."""
        node = self.operand()
        while True:
            if self.accepts("operator", "^"):
                node = self.powered(node)
            elif self.token.kind in ("factorial", "degree", "percent", "prime"):
                node = self.link(self.take().kind, node)
            else:
                return node

    def powered(self, base: Node) -> Node:
        if self.accepts("degree"):
            return make("degree", base)
        if self.accepts("prime"):
            return make("prime", base)
        if self.token.value == "{" and self.ahead(1).kind in ("degree", "prime"):
            self.take()
            node = make(self.take().kind, base)
            self.need("close", "{")
            return node
        exponent = self.argument()
        if self.accepts("operator", "^"):  # 9^9^9 is a tower, not (9^9)^9
            exponent = self.powered(exponent)
        return self.link("pow", base, exponent)

    def argument(self) -> Node:
        """Read the argument of a command, a power or a subscript: a group or one operand."""
        if self.accepts("operator", "-"):
            return negated(self.argument())
        self.accepts("operator", "+")
        return self.operand()

    def digit(self) -> Node:
        r"""Read an argument of \frac: only one digit of a number, as in \frac12."""
        token = self.token
        if token.kind != "number" or len(token.value) == 1 or not token.value.isdigit():
            return self.argument()
        rest = Token("number", token.value[1:])
        self.tokens = [*self.tokens[: self.position], rest, *self.tokens[self.position + 1 :]]
        return number(int(token.value[0]))

    def operand(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return self.number(token)
        if token.kind == "scientific":
            mantissa, _, exponent = token.value.lower().partition("e")
            power = make("pow", number(10), number(int(exponent)))
            return make("mul", number(Fraction(mantissa)), power)
        if token.kind == "symbol":
            return self.symbol(token)
        if token.kind == "open":
            return self.group(token)
        if token.kind == "bar":
            return self.absolute(token)
        if token.kind == "function":
            return self.function(token.value)
        if token.kind == "command":
            return self.command(token.value)
        raise UnreadableError(f"{token.kind} {token.value!r}")

    def number(self, token: Token) -> Node:
        """Read a number, or a mixed number where a proper fraction follows."""
        value = Fraction(token.value)
        if token.value.isdigit() and (part := self.proper_fraction()):
            return number(value + part)
        repeated = _repeating(token.value, self)
        return number(value if repeated is None else repeated)

    def proper_fraction(self) -> Fraction | None:
        start, tokens = self.position, self.tokens
        part: Fraction | None = None
        if self.accepts("command", "frac"):
            try:
                top, bottom = self.digit(), self.digit()
            except UnreadableError:
                top = bottom = number(0)
            if top.op == bottom.op == "number" and 0 < top.value < bottom.value:
                whole = top.value.denominator == bottom.value.denominator == 1
                part = top.value / bottom.value if whole else None
        elif self.token.kind == "number" and self.token.spaced and self.ahead(1).value == "/":
            top_token, _, bottom_token = self.take(), self.take(), self.take()
            if top_token.value.isdigit() and bottom_token.value.isdigit():
                above, below = int(top_token.value), int(bottom_token.value)
                part = Fraction(above, below) if 0 < above < below else None
        if part is None:
            self.position, self.tokens = start, tokens
        return part

    def symbol(self, token: Token) -> Node:
        name = token.value
        if self.accepts("operator", "_"):
            name += "_" + "".join(self.subscript())
        while self.accepts("prime"):
            name += "'"
        if token.value in _UNKNOWN_FUNCTIONS and self.token == Token("open", "("):
            return Node("apply", (self.operand(),), name=name)
        return symbol(name)

    def subscript(self) -> list[str]:
        if not self.accepts("open", "{"):
            return [self.take().value]
        values = []
        while not self.accepts("close", "{"):
            if self.token is _END or self.token.kind == "open":
                raise UnreadableError("a subscript that is no name")
            values.append(self.take().value)
        return values

    def group(self, opening: Token) -> Node:
        if opening.value not in _CLOSED:
            raise UnreadableError(f"bracket {opening.value!r}")
        bars, self.bars = self.bars, 0
        node = self.expression()
        if opening.value in "({" and self.accepts("command", "choose", "over"):
            over = self.tokens[self.position - 1].value == "over"
            node = make("div" if over else "binomial", node, self.expression())
        self.bars = bars
        self.need("close", opening.value)
        return make(opening.value, node) if opening.value in ("floor", "ceil") else node

    def absolute(self, opening: Token) -> Node:
        self.bars += 1
        node = self.expression()
        self.need("bar", opening.value)
        self.bars -= 1
        return make("abs" if opening.value == "|" else "norm", node)

    def function(self, name: str) -> Node:
        """Read a function's power, base and argument."""
        base, power = None, None
        for _ in range(2):
            if self.accepts("operator", "_"):
                base = self.argument()
            elif self.accepts("operator", "^"):
                power = self.argument()
        if power == number(-1) and name in _INVERSES:
            name, power = _INVERSES[name], None
        node = self.applied(_NAMES.get(name, name), base)
        return node if power is None else make("pow", node, power)

    def applied(self, name: str, base: Node | None) -> Node:
        argument = self.function_argument()
        if name == "log":
            return make("log", argument, base or number(10))
        if base is not None:
            raise UnreadableError(f"{name} with a base")
        if name == "cis":
            turned = make("mul", symbol("i"), make("sin", argument))
            return make("add", make("cos", argument), turned)
        if name == "ln":
            return make("log", argument, symbol("e"))
        return make("pow", symbol("e"), argument) if name == "exp" else make(name, argument)

    def function_argument(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError("too deep")
        negative = self.accepts("operator", "-")
        bracketed = self.token.kind == "open"
        factors = [self.operand() if bracketed else self.factor()]
        while not bracketed and self.continues_argument():
            if self.accepts("operator", "/"):
                factors = [self.link("div", _product(factors), self.factor())]
            else:
                factors.append(self.factor())
        self.depth -= 1
        return negated(_product(factors)) if negative else _product(factors)

    def continues_argument(self) -> bool:
        token = self.token
        if token.kind == "operator" and token.value == "/":
            return self.ahead(1).kind in ("number", "symbol")
        return token.kind in ("number", "symbol") or (
            token.kind == "command" and token.value in ("frac", "sqrt")
        )

    def command(self, name: str) -> Node:
        if name == "frac":
            top = self.digit()
            return make("div", top, self.digit())
        if name == "sqrt":
            return self.root()
        if name == "binom":
            top = self.digit()
            return make("binomial", top, self.digit())
        if name == "log":
            return self.function("log")
        if name == "abs":
            return make("abs", self.argument())
        if name == "underline":
            return self.argument()
        if name in ("vec", "hat", "bar", "tilde", "overline"):
            return self.decorated(name)
        if name in ("phantom", "hphantom", "vphantom"):
            if not self.accepts("operator", "-"):
                self.argument()
            return self.factor()
        raise UnreadableError(f"\\{name}")

    def root(self) -> Node:
        degree = number(2)
        if self.accepts("open", "["):
            degree = self.expression()
            self.need("close", "[")
        return make("root", self.argument(), degree)

    def decorated(self, name: str) -> Node:
        """Read a decorated name; a line over several capitals only marks a segment."""
        node = self.argument()
        if node.op != "symbol":
            raise UnreadableError(f"{name} over more than a name")
        segment = name == "overline" and node.name.isupper() and len(node.name) > 1
        return node if segment else symbol(f"{name} {node.name}")


_BLOCK = re.compile(r"([0-9]+?)\1{2,}\Z|([0-9]{2,})\2\Z")


def _repeating(text: str, parser: _Parser) -> Fraction | None:
    r"""Read notation for repeating digits: 0.1\overline{6} and 0.333\ldots."""
    if parser.token.kind == "point" and parser.ahead(1).value in ("overline", "bar"):
        return _overlined(f"{text}.", parser, 1) if text.isdigit() else None
    if parser.token.kind == "command" and parser.token.value in ("overline", "bar"):
        return _overlined(text, parser, 0) if "." in text else None
    whole, point, digits = text.partition(".")
    if not point or not _accept_dots(parser):
        return None
    block = _BLOCK.search(digits[:MAX_DIGITS])
    if block is None or len(digits) > MAX_DIGITS:
        raise UnreadableError("dots behind digits that do not repeat")
    return _periodic(whole, digits[: block.start()], block[1] or block[2])


def _accept_dots(parser: _Parser) -> bool:
    if parser.accepts("dots"):
        return True
    if all(parser.ahead(offset).kind == "point" for offset in range(3)):
        parser.position += 3
        return True
    return False


def _overlined(text: str, parser: _Parser, skipped: int) -> Fraction | None:
    opening, block, closing = (parser.ahead(skipped + place) for place in (1, 2, 3))
    if (opening.value, block.kind, closing.value) != ("{", "number", "{"):
        return None
    if not block.value.isdigit():
        return None
    parser.position += skipped + 4
    whole, _, digits = text.partition(".")
    return _periodic(whole, digits, block.value)


def _periodic(whole: str, head: str, block: str) -> Fraction:
    """Return the exact value of whole.head block block …."""
    tail = Fraction(int(block), 10 ** len(block) - 1)
    return int(whole or 0) + Fraction(int(head or 0) + tail, 10 ** len(head))
