"""What a study asks for in one place and takes away in another, known before anything runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from restem.config.claims import Claim, Contrast
from restem.config.data import EmbeddedSource
from restem.config.models import EmbeddedModel

if TYPE_CHECKING:
    from restem.config.study import Study

_ALL = ("train", "validation", "test")
_NOT_OF_A_VERIFIER = ("majority", "random", "none")


def contradictions(study: "Study") -> list[str]:
    """Describe every contradiction between splits, methods, decodings and estimates."""
    return [
        *_empty_for_training(study),
        *_empty_for_evaluations(study),
        *_beyond_the_pool(study),
        *_too_many_shots(study),
        *_bad_difficulty(study),
        *_stop_without_a_reward(study),
        *_chat(study),
    ]


def size(study: "Study", task: str, split: str) -> int | None:
    """Return the stated number of problems of a split; None if it is not known yet."""
    data = study.tasks[task].data
    stated: int | None = getattr(data, split)
    held_out: int | None = getattr(data.source, "held_out", None)
    if split != "validation" or held_out is None:
        return stated
    return held_out if stated is None else min(stated, held_out)


def _where(study: "Study", task: str, split: str) -> str:
    """Return the key that makes a split empty."""
    is_stated = getattr(study.tasks[task].data, split) == 0
    return f"tasks.{task}.data.{split if is_stated else 'source.held_out'}: 0"


def _empty_for_training(study: "Study") -> Iterator[str]:
    readers: dict[tuple[str, str], list[str]] = {}
    for name, variant in study.variants.items():
        reads = {"train": _reads_train(study, name), "validation": _reads_validation(study, name)}
        for split in reads:
            if reads[split] and size(study, variant.task, split) == 0:
                readers.setdefault((variant.task, split), []).append(name)
    for (task, split), names in readers.items():
        if split == "train":
            why = "is trained on; set it, for instance to 200, or to null for all problems"
        else:
            why = (
                "takes the validation reward from; set it, for instance to 50; test problems are "
                "never used for it"
            )
        yield f"{_where(study, task, split)}, a split that variants.{', '.join(names)} {why}"


def _reads_train(study: "Study", variant: str) -> bool:
    return study.method_of(variant).m_step.kind != "interpolate"


def _reads_validation(study: "Study", variant: str) -> bool:
    """Tell whether an M-step measures the reward on the validation split."""
    stated, kind = study.variants[variant], study.method_of(variant).m_step.kind
    models = study.models_on(stated.task, stated.models)
    planned = [study.training_of(variant, model).validations_planned for model in models]
    return kind == "prompt" or (kind == "fine_tune" and any(planned))


def _empty_for_evaluations(study: "Study") -> Iterator[str]:
    for i, evaluation in enumerate(study.evaluations):
        if size(study, evaluation.task, evaluation.split) == 0:
            yield (
                f"{_where(study, evaluation.task, evaluation.split)}, but evaluations.{i} is of "
                f"this split; set it, or leave the evaluation out"
            )


def _beyond_the_pool(study: "Study") -> Iterator[str]:
    for task, block in study.tasks.items():
        source = block.data.source
        if not isinstance(source, EmbeddedSource):
            continue
        for split in _ALL:
            stated = getattr(block.data, split)
            if stated is not None and stated > source.pool:
                yield (
                    f"tasks.{task}.data.{split}: {stated} problems of {source.pool}; raise "
                    "source.pool, or choose fewer"
                )


def _too_many_shots(study: "Study") -> Iterator[str]:
    """Describe prompts that are to hold more worked examples than there are problems."""
    for name, variant in study.variants.items():
        method, train = study.method_of(name), size(study, variant.task, "train")
        if method.m_step.kind not in ("shots", "prompt") or not train:
            continue
        used = method.selection.first_problems(train)
        if method.m_step.shots > used:
            yield (
                f"variants.{name}: m_step.shots: {method.m_step.shots} examples of different "
                f"problems, and the training split has {used}; choose fewer shots or more problems"
            )


def _bad_difficulty(study: "Study") -> Iterator[str]:
    """Describe difficulty bins without draws of the base model to sort the problems by."""
    name, bins = study.metrics.difficulty, "difficulty" in study.metrics.breakdowns
    if name is None:
        if bins:
            yield "metrics.breakdowns: difficulty needs metrics.difficulty, a decoding of its own"
        return
    if study.experiments:  # what they share may be more than the chosen ones need
        return
    if bins and name in study.decodings and all(e.decoding != name for e in study.evaluations):
        yield (
            f"metrics.difficulty: no evaluation draws with {name}; add {{task: ..., split: test, "
            f"decoding: {name}, variants: []}} to evaluations"
        )


def _stop_without_a_reward(study: "Study") -> Iterator[str]:
    """Describe methods that do without a reward, but would stop training by it."""
    for name, variant in study.variants.items():
        method = study.method_of(name)
        reward = method.selection.reward
        if reward not in _NOT_OF_A_VERIFIER or method.m_step.kind != "fine_tune":
            continue
        models = study.models_on(variant.task, variant.models)
        if any(study.training_of(name, m).stop == "validation_reward" for m in models):
            yield (
                f"variants.{name}: selection.reward: {reward} does without the verifier, so "
                "training may not stop by its reward; set training.stop: epochs"
            )


def _chat(study: "Study") -> Iterator[str]:
    """Describe what does not go with the turns of a chat template."""
    chat = [name for name, model in study.models.items() if model.prompt == "chat"]
    for name in chat:
        if isinstance(study.models[name].source, EmbeddedModel):
            yield f"models.{name}.prompt: embedded models have no chat template; leave it out"
    for variant, stated in study.variants.items():
        for name in study.models_on(stated.task, stated.models):
            if name in chat:
                yield from _unlike_turns(study, variant, name, chat)


def _unlike_turns(study: "Study", variant: str, model: str, chat: list[str]) -> Iterator[str]:
    """Describe what a variant would teach a model with chat prompts besides turns."""
    is_trained = study.method_of(variant).m_step.kind == "fine_tune"
    if is_trained and study.training_of(variant, model).end_of_text:
        yield (
            f"variants.{variant}: training.end_of_text: the targets of model {model} (prompt: "
            "chat) end with the end of the turn; leave it out"
        )
    teacher = study.variants[variant].teacher
    if teacher and teacher.model not in chat:
        yield (
            f"variants.{variant}.teacher: {teacher.model} writes running text, and {model} learns "
            "turns; set prompt: chat for both, or for neither"
        )


# ---- claims that a study states itself ----


def unmeasured_claims(study: "Study") -> list[str]:
    """Describe the tests of claims that no evaluation gives a result for."""
    return [
        f"claims: {claim.id}: {reason}"
        for claim in study.tested_claims
        for test in (*claim.tests, *([claim.premise] if claim.premise else []))
        for side in (*test.plus, *test.minus)
        for reason in _unmeasured(study, claim, test, side)
    ]


def _unmeasured(study: "Study", claim: Claim, test: Contrast, side: str) -> Iterator[str]:
    address, _, split = side.partition("@")
    model, variant, iteration = (*address.split("/"), "0")[:3]
    task = test.task or claim.task
    if model not in study.models:
        yield f"{side}: the study has no model {model!r}; it has {', '.join(study.models)}"
        return
    if variant != "base" and not _is_trained(study, model, variant):
        yield f"{side}: no variant {variant!r} is trained on {model}; correct the name, or add it"
        return
    numbered = variant != "base" and iteration not in ("last", "all")
    if numbered and int(iteration) > _last(study, variant):
        yield f"{side}: the last iteration of {variant} is {_last(study, variant)}"
    elif claim.quantity == "false_positives":
        if not study.false_positives.sample:
            yield f"{side}: nothing is judged twice; set false_positives.sample, such as to 200"
    elif not _is_measured(study, claim, task, split or claim.split, model, variant, iteration):
        kind = "greedily" if claim.quantity == "accuracy" else f"with {claim.decoding}"
        yield (
            f"{side}: no evaluation measures it {kind} on {task} {split or claim.split}; add one, "
            "or leave the claim out"
        )


def _is_trained(study: "Study", model: str, variant: str) -> bool:
    stated = study.variants.get(variant)
    return stated is not None and model in study.models_on(stated.task, stated.models)


def _last(study: "Study", variant: str) -> int:
    return study.variants[variant].iterations or study.method_of(variant).iterations


def _is_measured(
    study: "Study", claim: Claim, task: str, split: str, model: str, variant: str, iteration: str
) -> bool:
    for e in study.evaluations:
        is_greedy = study.decodings[e.decoding].greedy
        is_last = variant == "base" or iteration in ("last", str(_last(study, variant)))
        if (
            (e.task, e.split) == (task, split)
            and claim.decoding in (None, e.decoding)
            and (claim.quantity == "score" or is_greedy == (claim.quantity == "accuracy"))
            and model in study.models_on(e.task, e.models)
            and (variant == "base" or e.variants is None or variant in e.variants)
            and (e.iterations == "all" or is_last)
        ):
            return True
    return False
