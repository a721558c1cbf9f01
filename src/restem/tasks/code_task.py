"""What the code tasks share: their declaration, their fields, and imports that benchmarks give."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from restem.config.data import DataSource
from restem.errors import RestemError
from restem.rewards.code_spec import Spec
from restem.tasks.problem import Problem
from restem.tasks.sources import Reader
from restem.tasks.task import Task

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


def code_task(
    name: str,
    files: Callable[[DataSource, str], tuple[str, ...]],
    load: Callable[[Reader, str], list[Problem]],
    question: Callable[[str], str],
    answer: Callable[[str], str],
    stop: tuple[str, ...],
    spec_of: Callable[[Fields, str], Spec],
) -> Task:
    """Declare a task that is verified by running programs; spec_of: its tests, of its fields."""
    return Task(
        name=name, files=files, load=load, question=question, answer=answer, stop=stop,
        verifier="code", markers=(), gold=lambda fields, where: spec_of(fields, where).dump(),
        hint="",
    )  # fmt: skip


def list_of(fields: Fields, key: str, where: str) -> list[str]:
    """Return a list of texts, empty where it is missing. Raises RestemError for anything else."""
    value = fields.get(key)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    raise RestemError(f"field {key!r} is not a list of texts", where, "correct it")


def json_of(fields: Fields, key: str, where: str) -> Any:
    """Return a field that is a value or, as on the hub, a value's JSON text."""
    value = fields.get(key)
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise RestemError(f"field {key!r} is not JSON: {error}", where, "correct it") from error


def make_spec(where: str, **fields: Any) -> Spec:
    """Make a test specification. Raises RestemError where its fields do not make one."""
    try:
        return Spec(**fields)
    except ValueError as error:
        raise RestemError(f"the tests are not complete: {error}", where, "correct them") from error
