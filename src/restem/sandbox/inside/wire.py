"""Send plain data over a socket, between host and sandbox. Nothing but data ever crosses.

A value is None, a bool, an int, a float, a str, a list, or a tagged tuple, set, dict, complex
number, bytes, decimal, fraction or built-in type. Instances of classes that the benchmark's own
prompt defines (list nodes, trees) are sent as a table of attributes. Anything else arrives as
`Opaque`, which equals nothing. An instance of a subclass arrives as the plain type, without the
methods that the program gave it.
"""

import json
import socket
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

FRAME = struct.Struct("!I")
MAX_OBJECTS = 200_000
SMALL_BITS = 1_000


class WireError(Exception):
    """Raised for bytes that are not plain data, or for too many of them."""


class Opaque:
    """Stand for a value that is not plain data; it raises TypeError when a test compares it."""

    def __init__(self, name: str) -> None:
        self.name = name

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object = None) -> bool:
        raise TypeError(f"the result is of type {self.name}, which is not plain data")

    __ne__ = __bool__ = __eq__


def send(channel: socket.socket, message: Any) -> None:
    """Send one message as a frame: four bytes of length, then JSON."""
    body = json.dumps(message).encode()
    channel.sendall(FRAME.pack(len(body)) + body)


def receive(channel: socket.socket, limit: int) -> Any:
    """Receive one message. Raises WireError if it is too long or the channel is closed."""
    (length,) = FRAME.unpack(_exactly(channel, FRAME.size))
    if length > limit:
        raise WireError(f"a message of {length} bytes is over the limit of {limit}")
    try:
        return json.loads(_exactly(channel, length))
    except (ValueError, RecursionError) as problem:
        raise WireError(f"a message is not JSON: {problem}") from None


def _exactly(channel: socket.socket, count: int) -> bytes:
    chunks = []
    while count:
        chunk = channel.recv(min(count, 1 << 20))
        if not chunk:
            raise WireError("the channel is closed")
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def pack(value: Any, classes: tuple[type, ...] = ()) -> list[Any]:
    """Return a value as JSON data; classes: those whose instances are sent as attributes."""
    objects: list[Any] = []
    seen: dict[int, tuple[int, Any]] = {}
    packed = _pack(value, classes, objects, seen)
    index = 0
    while index < len(objects):
        if index >= MAX_OBJECTS:
            raise WireError("the result holds too many objects")
        instance = objects[index]
        attributes = {k: _pack(v, classes, objects, seen) for k, v in vars(instance).items()}
        objects[index] = [type(instance).__name__, attributes]
        index += 1
    return [packed, objects] if objects else [packed]


def _pack(value: Any, classes: Any, objects: Any, seen: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is float:
        return value
    if kind is int:
        return value if value.bit_length() < SMALL_BITS else {"int": hex(value)}
    if kind is list:
        return [_pack(item, classes, objects, seen) for item in value]
    if kind in classes:
        if id(value) not in seen:
            seen[id(value)] = (len(objects), value)
            objects.append(value)
        return {"object": seen[id(value)][0]}
    return _pack_tagged(value, lambda item: _pack(item, classes, objects, seen))


def _pack_tagged(value: Any, inner: Any) -> Any:
    plain: Any
    for plain in (tuple, set, frozenset):
        if isinstance(value, plain):
            return {plain.__name__: [inner(item) for item in plain.__iter__(value)]}
    if isinstance(value, list):
        return [inner(item) for item in list.__iter__(value)]
    if isinstance(value, dict):
        return {"dict": [[inner(key), inner(item)] for key, item in dict.items(value)]}
    if isinstance(value, int):
        return inner(int.__int__(value))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": value.hex()}
    if isinstance(value, Decimal):
        return {"decimal": Decimal.__str__(value)}
    if isinstance(value, Fraction):
        return {"fraction": [hex(value.numerator), hex(value.denominator)]}
    if any(value is kind for kind in TYPES.values()):  # a program's own class may equal anything
        return {"type": value.__name__}
    return {"opaque": type(value).__name__}


# The built-in types that a test may pass as an argument.
TYPES = {kind.__name__: kind for kind in (int, float, str, bool, list, tuple, set, dict)}


def unpack(packed: Any, classes: Any = None) -> Any:
    """Return the value of JSON data made by `pack`. Raises WireError for any other data.

    classes: by name, those whose instances are accepted.
    """
    try:
        if not isinstance(packed, list) or len(packed) not in (1, 2):
            raise WireError("not a packed value")
        value, table = packed if len(packed) == 2 else (packed[0], [])
        objects = [_blank(name, classes or {}) for name, _ in table]
        for instance, (_, attributes) in zip(objects, table, strict=True):
            for name, attribute in attributes.items():
                object.__setattr__(instance, name, _unpack(attribute, objects))
        return _unpack(value, objects)
    except WireError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError):
        raise WireError("a value is not plain data") from None


def _blank(name: str, classes: Any) -> Any:
    if name not in classes:
        raise WireError(f"an instance of {name!r} is not plain data")
    return object.__new__(classes[name])


def _unpack(value: Any, objects: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_unpack(item, objects) for item in value]
    ((tag, body),) = value.items()
    if tag == "object":
        return objects[body]
    if tag == "opaque":
        return Opaque(str(body))
    return _PLAIN[tag](body, lambda item: _unpack(item, objects))


def _short(digits: str) -> int:
    """Read a part of a fraction; reducing long ones would take minutes."""
    if len(digits) > SMALL_BITS:
        raise WireError("the numbers of a fraction are too long")
    return int(digits, 16)


_PLAIN: dict[str, Any] = {
    "tuple": lambda body, inner: tuple(map(inner, body)),
    "set": lambda body, inner: set(map(inner, body)),
    "frozenset": lambda body, inner: frozenset(map(inner, body)),
    "dict": lambda body, inner: {inner(key): inner(item) for key, item in body},
    "int": lambda body, inner: int(body, 16),
    "complex": lambda body, inner: complex(*map(float, body)),
    "bytes": lambda body, inner: bytes.fromhex(body),
    "decimal": lambda body, inner: Decimal(body),
    "fraction": lambda body, inner: Fraction(_short(body[0]), _short(body[1])),
    "type": lambda body, inner: TYPES[body],
}
