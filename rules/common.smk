"""What the rules share: the study, the digests that decide staleness, addresses and images."""

import os
import re
from functools import cache
from inspect import signature
from pathlib import Path

from snakemake.common import overwrite_function_params
from snakemake.io import apply_wildcards, update_wildcard_constraints
from snakemake.settings.types import DeploymentMethod

from restem import artifacts, recipes, reporting
from restem.arguments import as_argument
from restem.cli import fail_readably
from restem.config.load import load_published, load_study
from restem.deployment.images import Image, tell_apptainer, verified
from restem.deployment.snakemake_patches import (
    commands_written_once,
    garbage_looked_for_seldom,
    groups_checked_in_one_walk,
    one_alarm_at_a_time,
    signatures_looked_up_once,
)
from restem.artifacts.digests import code_digest, lock_digest
from restem.study.graph import Draws, Policy, Walk

with fail_readably():
    STUDY = load_study(config, Path(workflow.basedir) / "config")
    WALK = Walk(STUDY)
    PUBLISHED = load_published(Path(workflow.basedir) / "config")
    AUDITED = reporting.audited(WALK)

ENVIRONMENTS = Path(workflow.basedir) / "envs"
RESULTS = Path("results") / STUDY.study


# Decodings may carry a view (see `restem.study.addresses`); which rule makes what follows from it.
PLAIN = r"[^/+]+(\+(hint|batch-\d+-\d+))?"
SEARCHED = r"[^/+]+\+beam"
FROZEN = "|".join(map(re.escape, WALK.frozen)) or "none of them"
FITTED = rf"(?!({FROZEN})/)[^/]+"
BY_HAND = (
    "|".join(re.escape(t) for t in STUDY.tasks if WALK.by_hand(t)) or "none of them"
)
CHECKED = rf"(?!({BY_HAND})/)[^/]+"


wildcard_constraints:
    task="[^/]+",
    model="[^/]+",
    variant="[^/]+",
    seed=r"\d+",
    iteration=r"\d+",
    on="[^/]+",
    split="train|validation|test|shots",
    decoding="[^/]+",
    draw_seed=r"\d+",
    shard=r"\d+-of-\d+",
    image="[a-z]+",
    recipe="[0-9a-f]{12}",
    figure="[a-z_]+",
    plot="[A-Z][A-Za-z0-9-]*",


POLICY = "<results>/{task}/{model}/{variant}/seed-{seed}/iter-{iteration}"
DRAWS = "<policy>/{on}/{split}/{decoding}/seed-{draw_seed}"


def constrained(path, **narrower):
    """Write its wildcards' constraints into a path: Snakemake forgets them in path variables."""
    return update_wildcard_constraints(path, narrower, workflow.wildcard_constraints)


@cache
def digest_of_code(modules):
    """Return the digest of some modules' closure; it is one for all jobs of a plan."""
    return code_digest(modules)


@cache
def digest_of_lock(family):
    """Return the digest of a family's locked environment."""
    return lock_digest(ENVIRONMENTS / f"{family}.txt")


def stage(name, settings, rule):
    """Return the parameters that decide staleness of a rule's jobs, each as one string.

    Snakemake compares parameters as a set without names, hence one canonical string; it
    leaves out those that take more than wildcards. The count of remakes changes only when
    somebody edits an artifact by hand.
    """

    known = {}

    def told(wildcards):
        address = tuple(wildcards.items())
        if address not in known:
            known[address] = settings(wildcards)
        return known[address]

    def slice_of(wildcards):
        return as_argument(told(wildcards))

    def code_of(wildcards):
        return digest_of_code(tuple(recipes.modules(name, told(wildcards))))

    def environment_of(wildcards):
        return environment(name, told(wildcards))

    def remakes_of(wildcards):
        first = apply_wildcards(workflow.get_rule(rule).output[0], wildcards)
        return f"remakes: {artifacts.remakes(Path(first))}"

    parameters = {
        "settings": slice_of,
        "code": code_of,
        "environment": environment_of,
        "remakes": remakes_of,
    }
    for function in parameters.values():  # Snakemake would look again for every job
        overwrite_function_params(function, signature(function).parameters)
    return parameters


def environment(name, settings):
    """Return the digest of a stage's lock, and that of its image where images are used."""
    family = recipes.family(name, settings)
    lock = digest_of_lock(family)
    return f"{lock}@{IMAGE_DIGESTS[STUDY.images.of(family)]}" if CONTAINED else lock


@cache
def image_of(family):
    """Return the image that stages of a family of locked packages run in, where images are used."""
    return str(image_named(STUDY.images.of(family)).path)


def image_of_draws(wildcards):
    """Return the path of the image of a policy's engine."""
    return image_of(recipes.family("samples", samples_slice(wildcards)))


def image_named(name):
    return Image(name, Path(os.path.relpath(workflow.basedir)))


def locks_of_image(wildcards):
    """List the locks that an image installs."""
    return image_named(wildcards.image).locks


def all_images():
    """List the images that the study runs in, with their records."""
    paths = [image_named(name).path for name in IMAGES]
    return [str(file) for path in paths for file in (path, path.with_suffix(".json"))]


def verified_images():
    """Return the digest of every image; a missing or altered one ends the run here."""
    with fail_readably():
        return {name: verified(image_named(name)) for name in IMAGES}


def policy_of(wildcards):
    """Return the policy that a job's wildcards address."""
    return Policy(
        wildcards.task,
        wildcards.model,
        wildcards.variant,
        int(wildcards.seed),
        int(wildcards.iteration),
    )


def draws_of(wildcards):
    """Return the completions that a job's wildcards address."""
    decoding, _, view = wildcards.decoding.partition("+")
    return Draws(
        policy_of(wildcards),
        wildcards.on,
        wildcards.split,
        decoding,
        int(wildcards.draw_seed),
        view,
    )


def notice_what_people_did():
    """Mark artifacts that were edited by hand; free the space of those that were deleted."""
    if workflow.is_main_process:
        artifacts.mark_damaged(RESULTS)
        if not workflow.dryrun:
            artifacts.forget_deleted(RESULTS)


CONTAINED = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
ENGINES = {model.engine.name for model in STUDY.models.values()}
IMAGES = sorted({STUDY.images.of(name) for name in ("data", "model", *ENGINES)})
IMAGE_DIGESTS = verified_images() if CONTAINED else {}
if CONTAINED:
    tell_apptainer(Path(workflow.basedir))

garbage_looked_for_seldom()
one_alarm_at_a_time()
groups_checked_in_one_walk()
signatures_looked_up_once()
if workflow.dryrun:
    commands_written_once()
notice_what_people_did()
