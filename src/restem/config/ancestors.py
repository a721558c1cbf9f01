"""Check that every variant has the ancestors that its method needs, and that none is its own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from restem.config.errors import nearest

if TYPE_CHECKING:
    from restem.config.study import Study


def bad_ancestors(study: "Study") -> list[str]:
    """Name every `sft` and `teacher` that is missing, unknown or does not exist where needed."""
    found = [line for name in study.variants for line in _bad_variant(study, name)]
    return found or _circles(study)


def _bad_variant(study: "Study", name: str) -> Iterator[str]:
    variant = study.variants[name]
    method = study.method_of(name)
    for key, needed, given in (
        ("sft", method.needs_sft, variant.sft),
        ("teacher", method.needs_teacher, variant.teacher),
    ):
        if needed and given is None:
            yield f"variants.{name}.{key}: method {variant.method!r} needs one"
        if given is not None and not needed:
            yield f"variants.{name}.{key}: method {variant.method!r} has no use for it"
    models = study.models_on(variant.task, variant.models)
    yield from _bad_sft(study, name, models)
    yield from _bad_teacher(study, name)


def _bad_sft(study: "Study", name: str, models: list[str]) -> Iterator[str]:
    variant = study.variants[name]
    if variant.sft is None:
        return
    if variant.sft not in study.variants:
        yield f"variants.{name}.sft: {variant.sft!r} is not defined" + nearest(
            variant.sft, study.variants
        )
        return
    sft = study.variants[variant.sft]
    if sft.task != variant.task:
        yield f"variants.{name}.sft: {variant.sft!r} is trained on another task, {sft.task}"
    trained = study.models_on(sft.task, sft.models)
    missing = [model for model in models if model not in trained]
    if missing:
        yield f"variants.{name}.sft: {variant.sft!r} is not trained on {', '.join(missing)}"


def _bad_teacher(study: "Study", name: str) -> Iterator[str]:
    variant = study.variants[name]
    teacher = variant.teacher
    if teacher is None:
        return
    path = f"variants.{name}.teacher"
    if teacher.model not in study.models:
        yield f"{path}.model: {teacher.model!r} is not defined" + nearest(
            teacher.model, study.models
        )
    if teacher.variant is None:
        return
    if teacher.variant not in study.variants:
        yield f"{path}.variant: {teacher.variant!r} is not defined" + nearest(
            teacher.variant, study.variants
        )
        return
    taught = study.variants[teacher.variant]
    if taught.task != variant.task:
        yield f"{path}.variant: {teacher.variant!r} is trained on another task, {taught.task}"
    if teacher.model not in study.models_on(taught.task, taught.models):
        yield f"{path}.variant: {teacher.variant!r} is not trained on {teacher.model}"
    last = taught.iterations or study.method_of(teacher.variant).iterations
    if teacher.iteration and teacher.iteration > last:
        yield f"{path}.iteration: {teacher.variant!r} has {last}"


def _circles(study: "Study") -> list[str]:
    """Find variants that are among their own ancestors."""
    parents = {
        name: [v.sft] * (v.sft is not None)
        + ([v.teacher.variant] if v.teacher and v.teacher.variant else [])
        for name, v in study.variants.items()
    }
    found = []
    for name in study.variants:
        seen: set[str] = set()
        waiting = [parent for parent in parents[name] if parent]
        while waiting:
            parent = waiting.pop()
            if parent not in seen:
                seen.add(parent)
                waiting += [p for p in parents[parent] if p]
        if name in seen:
            found.append(f"variants.{name}: it is its own ancestor, by sft or teacher")
    return found
