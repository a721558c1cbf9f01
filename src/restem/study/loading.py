"""Load a study that is about to run: what its base models lack is refused, too."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from restem.config.errors import invalid
from restem.config.load import load_study
from restem.config.models import EmbeddedModel, HubModel, LocalModel, Model
from restem.config.study import Study
from restem.embedded import weights
from restem.errors import RestemError
from restem.policies.sources import hub
from restem.policies.sources.local import checkpoint_problems
from restem.study.references import known_shortages


def study_to_run(config: Mapping[str, Any], folder: Path, files: Iterable[Path] = ()) -> Study:
    """Return the study that Snakemake's config states, and that this machine can start.

    folder: of the repository's configuration. files: those that Snakemake read the config from.
    Raises RestemError with all problems at once.
    """
    study = load_study(config, folder, files)
    if problems := machine_problems(study):
        raise invalid(problems, f"study {study.study!r}")
    return study


def machine_problems(study: Study, results: Path = Path("results")) -> list[str]:
    """Describe what files on this machine show to be wrong with a study.

    results: the folder with the results of all studies.
    """
    shortages = known_shortages(study, results / study.study)
    problems = [*_incomplete(study), *beyond_the_context(study), *unlimited_thoughts(study)]
    problems += shortages
    return problems or list(unusable_templates(study))


def _incomplete(study: Study) -> Iterator[str]:
    """Describe what local models lack."""
    for name, model in study.models.items():
        if isinstance(model.source, LocalModel):
            where = f"models.{name}.source.directory: {model.source.directory}"
            yield from (f"{where}: {line}" for line in checkpoint_problems(model.source.directory))


def unusable_templates(study: Study) -> Iterator[str]:
    """Describe chat templates that are on this machine and cannot be used."""
    for name, model in study.models.items():
        folder = _folder(model) if model.prompt == "chat" else None
        if folder is None:
            continue
        from restem.policies.tokenizer import load_tokenizer  # takes seconds, for chat models only
        from restem.sampling.chat import chat_form

        try:
            chat_form([], load_tokenizer(folder), str(folder))
        except RestemError as problem:
            yield f"models.{name}.prompt: chat: {problem.where}: {problem.what}; {problem.fix}"


def _folder(model: Model) -> Path | None:
    """Return the folder of a checkpoint that is on this machine, else None."""
    if isinstance(model.source, LocalModel):
        folder = model.source.directory
        return None if checkpoint_problems(folder) else folder
    if isinstance(model.source, HubModel):
        with suppress(RestemError):
            return hub.download(model.source, local_only=True)
    return None


def beyond_the_context(study: Study) -> Iterator[str]:
    """Describe decodings whose completions fill a model's context, so that no prompt has room."""
    for name, model in study.models.items():
        limit = context_tokens(model)
        for decoding in sorted(_decodings(study, name)) if limit else ():
            longest = study.decodings[decoding].max_tokens
            if longest >= int(limit or 0):
                yield (
                    f"decodings.{decoding}.max_tokens: {longest} tokens leave no room for a prompt "
                    f"in the context of models.{name}, {limit} tokens; choose fewer"
                )


def unlimited_thoughts(study: Study) -> Iterator[str]:
    """Describe decodings with limited thoughts that an engine would have to do without."""
    limited = {n for n, d in study.decodings.items() if d.thinking_tokens is not None}
    validates = any(
        study.training_of(name, model).validations_planned
        for name, variant in study.variants.items()
        if study.method_of(name).m_step.kind == "fine_tune"
        for model in study.models_on(variant.task, variant.models)
    )
    for decoding in sorted(limited):
        if validates and study.decodings[decoding] is study.validation:
            yield (
                f"decodings.{decoding}.thinking_tokens: fine-tuning validates with transformers, "
                "which does not limit thoughts; name another validation_decoding"
            )
    for name, model in study.models.items():
        used = sorted(limited & _decodings(study, name))
        if used and model.engine.name == "transformers":
            yield (
                f"decodings.{used[0]}.thinking_tokens: models.{name} is sampled with transformers, "
                "which does not limit thoughts; set its engine: {name: vllm}"
            )


def _decodings(study: Study, model: str) -> set[str]:
    """Return the decodings that sample from a model or its policies."""
    used = {e.decoding for e in study.evaluations if model in study.models_on(e.task, e.models)}
    for name, variant in study.variants.items():
        if model in study.models_on(variant.task, variant.models):
            used |= set(study.method_of(name).decodings.values())
            used |= {n for n, d in study.decodings.items() if d is study.validation}
    return used


def context_tokens(model: Model) -> int | None:
    """Return the longest sequence of a model in tokens, where a local file or the study says."""
    limits = [model.engine.context_tokens]
    if isinstance(model.source, LocalModel):
        limits.append(_stated_context(model.source.directory))
    elif isinstance(model.source, EmbeddedModel):
        limits.append(_stated_context(weights.HERE / model.source.size))
    return min((limit for limit in limits if limit), default=None)


def _stated_context(folder: Path) -> int | None:
    with suppress(OSError, ValueError, AttributeError):
        config = json.loads((folder / "config.json").read_text())
        stated = config.get("text_config", config).get("max_position_embeddings")
        return stated if isinstance(stated, int) else None
    return None
