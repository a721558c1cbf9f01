"""Say how a recipe differs from the one in a seal: by key, module, lock, input or file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from restem.artifacts.digests import code_digests, flatten
from restem.stages.declaration import Stage

NO_SEAL = "it has no readable seal"
_SHOWN: Final = 60  # characters of a value


def changes(
    seal: Mapping[str, Any],
    stage: Stage,
    planned: Mapping[str, Any],
    files: Mapping[str, Sequence[Path]],
) -> Iterator[str]:
    """Name what differs between a seal and a planned recipe.

    planned: settings, options, environment, and inputs: contents by name, None where a content is
    not known because the file will be made again. files: the inputs' paths by name.
    """
    if seal["stage"] != stage.name:
        yield f"stage {seal['stage']} -> {stage.name}"
    for kind in ("settings", "options"):
        for key, change in changed_keys(seal[kind], planned[kind]):
            yield f"{'key' if kind == 'settings' else 'option'} {key}: {change}"
    yield from _changed_modules(seal["code"], code_digests(stage.modules(planned["settings"])))
    if seal["environment"] != planned["environment"]:
        yield f"envs/{stage.family(planned['settings'])}.txt changed"
    yield from _changed_inputs(seal["inputs"], planned["inputs"], files)


def is_of_code(reason: str) -> bool:
    """Tell whether a reason names code or locked packages, and no key, option, input or file."""
    return reason.startswith(("module ", "envs/"))


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every key of the settings that differs, and how."""
    for key, before, after in differing_keys(old, new):
        yield key, f"{before} -> {after}"


def differing_keys(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yield every key of the settings that differs, and both values as JSON.

    Of long values only the part in which they begin to differ.
    """
    old, new = flatten(old), flatten(new)
    keys = sorted(old.keys() | new.keys())
    inner = {key.rpartition(".")[0] for key in keys}  # one side may have nothing in it
    for key in keys:
        if key not in inner and old.get(key) != new.get(key):
            values = [json.dumps(values.get(key, "default")) for values in (old, new)]
            pairs = enumerate(zip(*values, strict=False))
            common = next((i for i, (a, b) in pairs if a != b), min(map(len, values)))
            start = common - _SHOWN // 3 if common > _SHOWN // 2 else 0
            before, after = (f"{'…' * bool(start)}{v[start : start + _SHOWN]}" for v in values)
            yield key, before, after


def _changed_modules(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    yield from (f"module {name} changed" for name in new if old.get(name, new[name]) != new[name])
    now, before = [n for n in new if n not in old], [n for n in old if n not in new]
    for names, change in ((now, "now used"), (before, "no longer used")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield f"module {names[0]}{more} {'are' if more else 'is'} {change}"


def _changed_inputs(
    old: Mapping[str, list[str]],
    new: Mapping[str, list[str | None]],
    files: Mapping[str, Sequence[Path]],
) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, []), new.get(name, [])
        if len(before) != len(after):
            yield f"input {name}: {len(before)} -> {len(after)} files"
            continue
        for path, was, is_now in zip(files.get(name, []), before, after, strict=True):
            if is_now is not None and was != is_now:
                yield f"input {name}: {path} has other content"
