"""Describe what is wrong with a configuration: the key's path, the problem, the nearest key."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from restem.config.names import NAME
from restem.errors import RestemError, nearest

Block = TypeVar("Block", bound=BaseModel)


class ConfigurationError(RestemError):
    """Report all problems of a configuration at once. lines: one for each."""

    def __init__(self, what: str, where: str, fix: str, lines: Sequence[str]) -> None:
        super().__init__(what, where, fix)
        self.lines = lines

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.where, self.fix, self.lines)


_NO_PUBLIC_SOURCE: Final = (
    ": the task's module has no public source; state data.source, such as {kind: local, directory: "
    "data}"
)
_IN_YAML: Final = {
    "tuple_type": "must be a list, such as [a, b]",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must be a mapping, such as {key: value}",
    "model_type": "must be a mapping, such as {key: value}",
    "int_parsing": "must be a whole number",
}
RENAMED: Final[Mapping[str, Mapping[str, str]]] = {
    "Study": {"audit": "false_positives", "stand_ins": "claim_models"},
    "TaskBlock": {"graded": "graded_sheets"},
    "Reward": {"policy": "extraction"},
    "Method": {"matched": "solved_by_base"},
    "FalsePositives": {"steps": "equations"},
    "Training": {"validations_per_epoch": "validations"},
}
"""By block: the new name of every key that was renamed."""


def undefined(path: str, value: str | Sequence[str] | None, defined: Collection[str]) -> list[str]:
    """Describe the names, in one value or a list, that are not defined."""
    names = [value] if isinstance(value, str) else value or []
    return [
        f"{path}: {name!r} is not defined{nearest(name, defined)}"
        for name in names
        if name not in defined
    ]


def validate(
    model: type[Block], stated: Mapping[str, Any], where: str, context: Any = None
) -> Block:
    """Return the block that a mapping states. Raises RestemError with all problems at once.

    context: what the validators of the block may want to know.
    """
    try:
        return model.model_validate(stated, context=context)
    except ValidationError as problem:
        raise invalid(_problems(problem, model, stated), where) from None


def invalid(
    lines: Sequence[str], where: str, what: str = "configuration", named: str = "keys"
) -> ConfigurationError:
    """Return the error that lists all problems, one in a line."""
    count = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
    listed = "".join(f"\n  - {line}" for line in lines)
    return ConfigurationError(
        f"the {what} has {count}:{listed}", where, f"correct the {named} named above", lines
    )


def _problems(problem: ValidationError, model: type[BaseModel], stated: Any) -> list[str]:
    """Describe all problems, including those that unknown keys hide from checks across blocks."""
    lines = described(problem, model)
    unknown = [error["loc"] for error in problem.errors() if error["type"] == "extra_forbidden"]
    if unknown:
        try:
            model.model_validate(_without(stated, unknown))
        except ValidationError as hidden:
            lines += [line for line in described(hidden, model) if line not in lines]
    return lines


def _without(stated: Any, unknown: Sequence[tuple[Any, ...]]) -> Any:
    """Leave out keys by their paths; a union's tag in a path is not a key."""
    if not isinstance(stated, Mapping | list):
        return stated
    keys = range(len(stated)) if isinstance(stated, list) else stated.keys()
    paths = [path if path[0] in keys else path[1:] for path in unknown if path]
    kept = [k for k in keys if (k,) not in paths]
    inner = {k: _without(stated[k], [p[1:] for p in paths if p and p[0] == k]) for k in kept}
    return list(inner.values()) if isinstance(stated, list) else inner


def described(problem: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each problem: the key's path and what is wrong with it."""
    return [line for error in problem.errors() for line in _lines(error, model)]


def _lines(error: Any, model: type[BaseModel]) -> list[str]:
    path = ".".join(_shortened(str(part)) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return [f"{path}: {_unknown_key(str(error['loc'][-1]), _blocks(model, error['loc']))}"]
    if error["type"] == "missing":
        place = tuple(error["loc"])
        is_source = place[0] == "tasks" and place[2:] in (("data",), ("data", "source"))
        return [f"{path}: this key is required{_NO_PUBLIC_SOURCE if is_source else ''}"]
    message = str(error["msg"]).removeprefix("Value error, ")
    message = _IN_YAML.get(error["type"], message)
    if error.get("ctx", {}).get("pattern") == NAME:
        message = "use letters, digits, '.', '_' and '-', and begin with a letter or a digit"
    if error["type"] == "value_error":
        return [f"{path}: {line}" if path else line for line in message.split("\n")]
    return [f"{path}: {message} (got {error['input']!r})"[:300]]


def _shortened(name: str) -> str:
    """Cut a name that is too long to be one, so that the message after it can be read."""
    return name if len(name) <= 80 else f"{name[:60]}…"


def _unknown_key(key: str, blocks: Sequence[type[BaseModel]]) -> str:
    """Say what an unknown key is called now, or which known key is the most similar."""
    for block in blocks:
        if new_name := RENAMED.get(block.__name__, {}).get(key):
            meaning = block.model_fields[new_name].description or ""
            return f"this key is now called {new_name!r}: {meaning[:1].lower()}{meaning[1:]}"
    return "unknown key" + nearest(key, [name for block in blocks for name in block.model_fields])


def _blocks(model: type[BaseModel], location: tuple[Any, ...]) -> list[type[BaseModel]]:
    """List the blocks that can be where an unknown key was found."""
    candidates: list[Any] = [model]
    for part in location[:-1]:
        candidates = [inner for item in candidates for inner in _inside(item, part)]
    return _models(candidates)


def _inside(annotation: Any, part: Any) -> list[Any]:
    """Step from an annotation into a field, an element, or (for its tag) a union's member."""
    models = _models([annotation])
    tagged = [model for model in models if part in _tags(model)]
    if tagged:
        return tagged
    fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
    return fields or [a for a in get_args(annotation) if _models([a])] or [annotation]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind else ()


def _models(annotations: Collection[Any]) -> list[type[BaseModel]]:
    """Find the configuration blocks inside annotations such as X | None or dict[str, X]."""
    models: list[type[BaseModel]] = []
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            models.append(annotation)
        else:
            models += _models([a for a in get_args(annotation) if a is not annotation])
    return models
