"""The base of every configuration block: immutable, and unknown keys are refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator


class Strict(BaseModel):
    """Hold one block of configuration; a key that it does not know is an error.

    So are booleans and numbers that are not finite where a number belongs.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _mark_booleans(cls, stated: Any) -> Any:
        if not isinstance(stated, Mapping):
            return stated
        numbers = _fields_of_numbers(cls)
        return {k: _without_booleans(v) if k in numbers else v for k, v in stated.items()}


def share_of(share: float, count: int) -> Fraction:
    """Return a share of a count, of the decimal as it was written: 7 % of 100 is 7, and no more.

    The nearest float lies beside most decimals, so that rounding up would give 8.
    """
    return Fraction(str(share)) * count


class NotANumber:
    """Stands for a boolean where a number belongs, which pydantic would take for 0 or 1."""

    def __init__(self, value: bool) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"{self._value}; YAML reads yes, no, on and off as booleans"


@cache
def _fields_of_numbers(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of the fields, lists and mappings among them, where numbers are meant."""
    kinds = {name: _kinds(field.annotation) for name, field in model.model_fields.items()}
    return frozenset(n for n, k in kinds.items() if bool not in k and k & {int, float})


def _without_booleans(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_booleans(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_booleans(item) for item in value]
    return NotANumber(value) if isinstance(value, bool) else value


def _kinds(annotation: Any) -> set[Any]:
    """Collect the types inside annotations such as list[int] | None."""
    inner = get_args(annotation)
    if inner:
        return {kind for part in inner for kind in _kinds(part)}
    return {annotation} if isinstance(annotation, type) else set()


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as problem:
        raise ValueError(f"{path}: {problem}") from problem


UserPath = Annotated[Path, AfterValidator(_expanded)]
"""A path that may begin with ~."""


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
