"""Base models: are they complete, may they be fetched, and what is known of their data?"""

import os
from typing import Final

from restem.config.models import (
    PACKAGED,
    EmbeddedModel,
    HubModel,
    LocalModel,
    PackageModel,
    family_of,
)
from restem.doctor.configuration import from_lines
from restem.doctor.findings import Findings, check, error, ok, skipped, warning
from restem.doctor.subject import Subject
from restem.errors import RestemError
from restem.pages.ledger import readable
from restem.policies.sources import hub, load_source
from restem.policies.sources.local import checkpoint_problems
from restem.study.loading import beyond_the_context, unlimited_thoughts, unusable_templates
from restem.tasks.hub import UnreachableError

LATER: Final = "; whether tensors and tokenizer fit is checked when its base policy is made"
INCOMPLETE: Final = "point to a directory that `save_pretrained` wrote, or fetch what is missing"


@check("models")
def are_complete(subject: Subject) -> Findings:
    """Look for configuration, tokenizer and every shard of the weights."""
    for name, model in subject.study.models.items():
        source = model.source
        if isinstance(source, LocalModel):
            problems = checkpoint_problems(source.directory)
            yield from (
                error(f"{name}: {source.directory}: {line}", INCOMPLETE) for line in problems
            )
            if not problems:
                yield ok(f"{name}: {source.directory} has all files{LATER}")
        elif isinstance(source, HubModel):
            yield from _of_hub(subject, name, source)
        elif isinstance(source, PackageModel):
            if load_source(source.kind).files(source):
                yield ok(f"{name}: the package {source.package} is installed")
            else:
                yield error(
                    f"{name}: the package {source.package} is missing",
                    PACKAGED[source.package].install,
                )
        elif isinstance(source, EmbeddedModel):
            how = "is pretrained here" if source.pretrain else "is part of restem"
            yield ok(f"{name}: {source.size} {how}")


def _of_hub(subject: Subject, name: str, source: HubModel) -> Findings:
    """Look for a model in the hub's cache; if it is not there, ask the hub for it."""
    where = f"{name}: {source.id}"
    try:
        folder = hub.download(source, local_only=True)
    except UnreachableError:
        yield from _elsewhere(subject, where, source)
    except RestemError as problem:
        yield error(f"{where}: {problem.what}", problem.fix)
    else:
        yield ok(f"{where} has all files, in {folder}{LATER}")


def _elsewhere(subject: Subject, where: str, source: HubModel) -> Findings:
    try:
        subject.ask(lambda: hub.check_access(source))
        size = readable(subject.ask(lambda: hub.size(source)))
    except UnreachableError as problem:
        fetch = f"restem data fetch --configfile {subject.path}, where there is a network"
        token = _token(subject, source)
        yield error(f"{where} is not on this machine: {problem.what}", f"{fetch}{token}")
    except RestemError as problem:
        yield error(f"{where}: {problem.what}", problem.fix)
    else:
        yield warning(
            f"{where} is not on this machine; a job would download {size}",
            f"restem data fetch --configfile {subject.path}",
        )


def _token(subject: Subject, source: HubModel) -> str:
    """Say what a gated model needs besides, where no token is set."""
    families = subject.families.values()
    is_gated = any(family.gated and source.id in family.models for family in families)
    if not is_gated or has_token():
        return ""
    return (
        f"; it is gated: accept its terms at https://huggingface.co/{source.id}, and put a token "
        "into HF_TOKEN or run `hf auth login` first"
    )


def has_token() -> bool:
    """Tell whether the hub's client has a token."""
    from huggingface_hub import get_token

    return bool(os.environ.get("HF_TOKEN") or get_token())


@check("models")
def have_room(subject: Subject) -> Findings:
    """Look for completions that fill a model's context, and for thoughts without their limit."""
    yield from from_lines(beyond_the_context(subject.study))
    yield from from_lines(unlimited_thoughts(subject.study))


@check("models")
def can_be_asked_in_turns(subject: Subject) -> Findings:
    """Look for chat templates that cannot be divided into prompt, answer and end of turn."""
    yield from from_lines(unusable_templates(subject.study))


@check("models")
def are_clean(subject: Subject) -> Findings:
    """Say what is known of the data that the models were trained on."""
    known = {
        name: family
        for model in subject.study.models.values()
        if (name := family_of(model, subject.families))
        for family in (subject.families[name],)
    }
    for name, family in known.items():
        text = f"training data of {name}: {family.data} ({family.source})"
        if family.contaminated:
            fix = "run another family too, such as config/paper/olmo2.yaml, and compare"
            yield warning(text, fix)
        else:
            yield ok(text)
    for name, model in subject.study.models.items():
        if isinstance(model.source, HubModel) and family_of(model, subject.families) is None:
            yield skipped(f"training data of {name}: nothing is recorded of {model.source.id}")
