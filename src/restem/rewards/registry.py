"""Find a verifier by the name of its module."""

import importlib
import importlib.util
from typing import Protocol, cast

from restem.errors import RestemError
from restem.rewards.verdict import Verdict


class Grade(Protocol):
    """Grade one completion; what no verifier may do is raise because of its text."""

    def __call__(
        self,
        gold: str,
        completion: str,
        policy: str,
        markers: tuple[str, ...] = ...,
        max_answer_characters: int = ...,
    ) -> Verdict:
        """Return the verdict on a completion, given the gold answer."""
        ...


def load_verifier(name: str) -> Grade:
    """Return the `grade` of `restem.rewards.<name>`.

    Raises RestemError when there is no such verifier.
    """
    module = f"restem.rewards.{name}"
    if name.isidentifier() and importlib.util.find_spec(module):
        grade = getattr(importlib.import_module(module), "grade", None)
        if grade is not None:
            return cast(Grade, grade)
    raise RestemError(
        f"there is no verifier {name!r}",
        "restem.rewards",
        "name a module there that defines grade(), such as math",
    )
