"""What the code tasks share: reading fields, and imports that benchmarks give."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from restem.errors import RestemError
from restem.rewards.code_spec import Spec

Fields = Mapping[str, Any]

# As the harness of APPS gives every program.
COMMON_IMPORTS: Final = (
    "import bisect, collections, copy, datetime, functools, heapq, itertools, math, operator, "
    "random, re, string, sys, time\n"
    "from typing import *\n"
    "from collections import Counter, OrderedDict, defaultdict, deque\n"
    "from functools import lru_cache, reduce\n"
    "from heapq import *\nfrom itertools import *\nfrom math import ceil, floor, gcd, sqrt, inf\n"
)


def text_of(fields: Fields, key: str, where: str) -> str:
    """Return a text field. Raises RestemError when it is missing or not text."""
    value = fields.get(key)
    if isinstance(value, str):
        return value
    raise RestemError(
        f"field {key!r} is {'not text' if key in fields else 'missing'}",
        where,
        f"give the benchmark's own fields; there are {', '.join(sorted(fields))}",
    )


def list_of(fields: Fields, key: str, where: str) -> list[str]:
    """Return a list of texts, which may be missing. Raises RestemError else."""
    value = fields.get(key)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    raise RestemError(f"field {key!r} is not a list of texts", where, "correct it")


def json_of(fields: Fields, key: str, where: str) -> Any:
    """Return a field that is a value, or the JSON text of one, as the hub's layout has it."""
    value = fields.get(key)
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as problem:
        raise RestemError(f"field {key!r} is not JSON: {problem}", where, "correct it") from problem


def checked(make: Callable[[], Spec], where: str) -> Spec:
    """Make a specification; raises RestemError naming where its fields stand."""
    try:
        return make()
    except ValueError as problem:
        raise RestemError(f"the tests are not whole: {problem}", where, "correct them") from problem
