"""Check the `sft` and the `teacher` of every variant: its ancestors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from restem.config.errors import undefined

if TYPE_CHECKING:
    from restem.config.study import Study


def bad_ancestors(study: "Study") -> list[str]:
    """Describe every `sft` and `teacher` that is missing, unknown, untrained or circular."""
    problems = [line for name in study.variants for line in _bad_variant(study, name)]
    return problems or list(_circular(study))


def _bad_variant(study: "Study", name: str) -> Iterator[str]:
    variant, method = study.variants[name], study.method_of(name)
    for key, is_needed, value in (
        ("sft", method.needs_sft, variant.sft),
        ("teacher", method.needs_teacher, variant.teacher),
    ):
        if is_needed and value is None:
            yield f"variants.{name}.{key}: method {variant.method!r} needs one"
        if value is not None and not is_needed:
            yield f"variants.{name}.{key}: method {variant.method!r} has no use for it"
    yield from _bad_sft(study, name)
    yield from _bad_teacher(study, name)


def _bad_sft(study: "Study", name: str) -> Iterator[str]:
    variant = study.variants[name]
    path = f"variants.{name}.sft"
    if variant.sft is None:
        return
    if variant.sft not in study.variants:
        yield from undefined(path, variant.sft, study.variants)
        return
    sft = study.variants[variant.sft]  # perhaps on another task: a curriculum
    trained = study.models_on(sft.task, sft.models)
    models = study.models_on(variant.task, variant.models)
    missing = [model for model in models if model not in trained]
    if missing:
        yield f"{path}: {variant.sft!r} is not trained on {', '.join(missing)}"


def _bad_teacher(study: "Study", name: str) -> Iterator[str]:
    variant = study.variants[name]
    teacher = variant.teacher
    if teacher is None:
        return
    path = f"variants.{name}.teacher"
    model, taught_by = teacher.model, teacher.variant
    yield from undefined(f"{path}.model", model, study.models)
    if taught_by is None:
        return
    if taught_by not in study.variants:
        yield from undefined(f"{path}.variant", taught_by, study.variants)
        return
    source = study.variants[taught_by]
    if source.task != variant.task:
        yield f"{path}.variant: {taught_by!r} is trained on another task, {source.task}"
    if model not in study.models_on(source.task, source.models):
        yield f"{path}.variant: {taught_by!r} is not trained on {model}"
    last = source.iterations or study.method_of(taught_by).iterations
    if teacher.iteration and teacher.iteration > last:
        yield f"{path}.iteration: the last iteration of {taught_by!r} is {last}"


def _circular(study: "Study") -> Iterator[str]:
    """Describe the variants that are among their own ancestors."""
    parents = {
        name: [p for p in (v.sft, v.teacher.variant if v.teacher else None) if p is not None]
        for name, v in study.variants.items()
    }
    for name in study.variants:
        ancestors: set[str] = set()
        waiting = parents[name].copy()
        while waiting:
            parent = waiting.pop()
            if parent not in ancestors:
                ancestors.add(parent)
                waiting += parents[parent]
        if name in ancestors:
            yield f"variants.{name}: it is its own ancestor, by sft or teacher"
