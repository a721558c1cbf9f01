"""Turn what a validator found into sentences: the key's path, the problem, the nearest key."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from restem.errors import RestemError

Block = TypeVar("Block", bound=BaseModel)


def nearest(name: str, known: Collection[str]) -> str:
    """Return a hint that names the most similar known name, or lists all of them."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(known))}" if known else "; none is defined"


def validate(model: type[Block], stated: Mapping[str, Any], where: str) -> Block:
    """Return the block that a mapping states. Raises RestemError with all problems at once."""
    try:
        return model.model_validate(stated)
    except ValidationError as problem:
        raise _as_restem_error(_problems(problem, model, stated), where) from problem


def _problems(problem: ValidationError, model: type[BaseModel], stated: Any) -> list[str]:
    """Describe all problems, also those that unknown keys hide from the checks between blocks."""
    lines = described(problem, model)
    unknown = [error["loc"] for error in problem.errors() if error["type"] == "extra_forbidden"]
    if unknown:
        try:
            model.model_validate(_without(stated, unknown))
        except ValidationError as hidden:
            lines += [line for line in described(hidden, model) if line not in lines]
    return lines


def _without(stated: Any, unknown: Sequence[tuple[Any, ...]]) -> Any:
    """Leave out keys by their paths; a union's tag in a path is no key."""
    if not isinstance(stated, Mapping | list):
        return stated
    keys = range(len(stated)) if isinstance(stated, list) else stated.keys()
    paths = [path if path[0] in keys else path[1:] for path in unknown if path]
    kept = [k for k in keys if (k,) not in paths]
    inner = {k: _without(stated[k], [p[1:] for p in paths if p and p[0] == k]) for k in kept}
    return list(inner.values()) if isinstance(stated, list) else inner


def _as_restem_error(lines: Sequence[str], where: str) -> RestemError:
    count = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
    listed = "".join(f"\n  - {line}" for line in lines)
    return RestemError(
        f"the configuration has {count}:{listed}", where, "correct the keys named above"
    )


def described(problem: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each problem: the key's path and what is wrong with it."""
    return [line for error in problem.errors() for line in _lines(error, model)]


def _lines(error: Any, model: type[BaseModel]) -> list[str]:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return [f"{path}: unknown key{nearest(str(error['loc'][-1]), _keys(model, error['loc']))}"]
    if error["type"] == "missing":
        return [f"{path}: this key is required"]
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":
        return [f"{path}: {line}" if path else line for line in message.split("\n")]
    return [f"{path}: {message} (got {error['input']!r})"[:300]]


def _keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """List the keys that are valid where an unknown key was found."""
    candidates: list[Any] = [model]
    for part in location[:-1]:
        candidates = [inner for item in candidates for inner in _inside(item, part)]
    return [k for item in _models(candidates) for k in item.model_fields]


def _inside(annotation: Any, part: Any) -> list[Any]:
    """Step from an annotation into a field, an element, or (for its tag) a union's member."""
    tagged = [model for model in _models([annotation]) if part in _tags(model)]
    if tagged:
        return tagged
    steps: list[Any] = []
    for model in _models([annotation]):
        if part in model.model_fields:
            steps.append(model.model_fields[part].annotation)
    if steps:
        return steps
    inner = [a for a in get_args(annotation) if _models([a])]
    return inner or [annotation]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind else ()


def _models(annotations: Collection[Any]) -> list[type[BaseModel]]:
    """Find the configuration blocks inside annotations such as X | None or dict[str, X]."""
    found: list[type[BaseModel]] = []
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(annotation)
        elif not isinstance(annotation, type):
            found.extend(_models(get_args(annotation)))
        else:
            found.extend(_models([a for a in get_args(annotation) if a is not annotation]))
    return found
