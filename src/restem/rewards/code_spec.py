"""The test specification of a code problem, which is its gold answer, as JSON.

An object with a `kind` and the fields of that kind:

* `stdin`: `inputs` and `expected`, as many texts each; `compare` is `lines`, `numbers` (decimals
  may differ by rounding) or `unordered`.
* `calls`: `inputs`, lists of arguments, and `expected`, the results, all JSON; `entry` is the
  function; `compare` is `exact` or `sequences` (tuples are lists; a result may be in a list of
  one, as in APPS).
* `asserts`: `tests`, the benchmark's own code: assertions, or `check(candidate)`; `bind` is the
  name by which they call the entry (`candidate`) or empty; `setup` runs after the program and may
  use its classes; `classes` are classes of the preamble with instances as arguments or results.

For all kinds: `preamble` is code that runs before the program; `prefix` is the start of the program
in the prompt, which a completion may continue. Only `inputs`, `setup`, `preamble` and `prefix`, and
the calls in `tests`, ever enter the sandbox of a program.
"""

import json
from functools import lru_cache
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from restem.config.base import Strict
from restem.errors import RestemError


class Spec(Strict):
    """The tests of one problem."""

    kind: Literal["stdin", "calls", "asserts"]
    entry: str = ""
    preamble: str = ""
    prefix: str = ""
    inputs: list[Any] = Field(default_factory=list)
    expected: list[Any] = Field(default_factory=list)
    compare: Literal["lines", "numbers", "unordered", "exact", "sequences"] = "lines"
    setup: str = ""
    tests: str = ""
    bind: str = ""
    classes: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "asserts" and not self.tests.strip():
            raise ValueError("there are no tests")
        if self.kind != "asserts" and not 0 < len(self.inputs) == len(self.expected):
            raise ValueError("inputs and expected must have the same length, at least one")
        if self.kind == "stdin" and not all(
            isinstance(text, str) for text in self.inputs + self.expected
        ):
            raise ValueError("inputs and expected must be texts")
        if self.kind == "calls" and not all(isinstance(item, list) for item in self.inputs):
            raise ValueError("inputs must be lists of arguments")
        if (self.compare in ("exact", "sequences")) != (self.kind == "calls"):
            if self.kind != "asserts":
                raise ValueError(f"compare {self.compare!r} is not for kind {self.kind!r}")
        return self

    def dump(self) -> str:
        """Return the gold answer: JSON without the fields that have their default."""
        return json.dumps(self.model_dump(exclude_defaults=True), ensure_ascii=False)


@lru_cache(maxsize=4096)
def read_spec(gold: str) -> Spec:
    """Read a gold answer. Raises RestemError when it is not a test specification."""
    try:
        return Spec.model_validate_json(gold)
    except ValidationError as problem:
        reasons = "; ".join(error["msg"] for error in problem.errors()[:3])
        raise RestemError(
            f"the tests of a problem cannot be read: {reasons}",
            f"gold answer {gold[:80]!r}",
            "use the fields that restem.rewards.code_spec describes",
        ) from problem
