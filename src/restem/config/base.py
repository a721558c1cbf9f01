"""The base of every configuration block: immutable, and unknown keys are refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Hold one block of configuration; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def optional(key: str) -> Callable[[dict[str, Any]], None]:
    """Mark a key in a JSON schema as one that a study may leave out; loading it fills it in."""

    def change(schema: dict[str, Any]) -> None:
        schema["required"] = [name for name in schema["required"] if name != key]
        if not schema["required"]:
            del schema["required"]

    return change


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes over a base, mapping by mapping."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


@dataclass(frozen=True)
class Loads:
    """A settings field whose value decides which module is loaded, which no import shows.

    module: a format string; `{}` stands for the value, `{kind}` for a field of it. A field that
    is empty or false loads nothing.
    """

    module: str

    def named_by(self, value: Any) -> str:
        """Return the dotted name of the module."""
        fields = dict(value) if isinstance(value, Strict) else {}
        return self.module.format(value, **fields)


LOADS_VERIFIER = Loads("restem.rewards.{}")
TaskModule = Annotated[str, Loads("restem.tasks.{}")]
VerifierModule = Annotated[str, LOADS_VERIFIER]
FigureModule = Annotated[str, Loads("restem.figures.{}")]
