"""What the rules share: the study, the digests that decide staleness, addresses and images."""

import os
from functools import cache, partial
from inspect import signature
from pathlib import Path

from snakemake.common import overwrite_function_params
from snakemake.io import update_wildcard_constraints
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

from restem.artifacts.digests import code_digest, lock_digest
from restem.artifacts.pins import named_pins
from restem.artifacts.sharing import store as shared_store
from restem.cli import fail_readably
from restem.config.load import load_published
from restem.deployment.containers import Containers, named_paths
from restem.deployment import invocation, needs
from restem.deployment.engines import choose, in_words, slow_on_this_cpu, with_engines
from restem.deployment.images import configure_apptainer
from restem.deployment.origin import origin
from restem.deployment.site import enter, load_site
from restem.deployment.snakemake_patches import apply_patches
from restem.stages.declaration import load_stage
from restem.stages.execution import as_argument
from restem.staleness.commands import check_options
from restem.staleness.snakemake import let_seals_decide
from restem.study import slices
from restem.study.addresses import Draws, Policy
from restem.study.graph import StudyGraph
from restem.study.loading import study_to_run
from restem.study.page import figures_of_page
from restem.study.urgency import Urgency
from restem.tracking import follow
from restem.warm import run as warm

with fail_readably():
    SITE = load_site()
    enter(SITE, os.environ)
    shared_store()  # a folder that is missing is an error now, not in the middle of a run
    STUDY = study_to_run(
        config, Path(workflow.basedir) / "config", workflow.overwrite_configfiles
    )
    ENGINE = choose(SITE, workflow)
    if workflow.is_main_process:
        logger.info(in_words(STUDY, ENGINE))
        if not invocation.is_remote() and (slow := slow_on_this_cpu(STUDY)):
            logger.info(f"engine: {slow}")
    STUDY = with_engines(STUDY, ENGINE)
    PINNED = named_pins(Path("results") / STUDY.study)
    PUBLISHED = load_published(Path(workflow.basedir) / "config")
    GRAPH = StudyGraph(STUDY, PUBLISHED, PINNED)
    URGENCY = Urgency(GRAPH)
    RECHECKED = slices.rechecked(GRAPH)

# What captions of `snakemake --report` read; the study itself has been loaded.
config.update(study=STUDY.study, description=STUDY.description, label=GRAPH.label)
config.update(main_figure="".join(f"{f.name}.png" for f in figures_of_page(GRAPH)[:1]))

ENVIRONMENTS = Path(workflow.basedir) / "envs"


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
    digest="[0-9a-f]{12}",
    figure="[A-Za-z0-9][A-Za-z0-9._-]*",


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


def stage(name):
    """Return the parameters of a stage's jobs, each as one string.

    The stage's declaration (restem.stages) and its slice of the configuration
    (restem.study.slices) say what they are. The seal of a job's outputs records them, and
    restem.staleness compares them with it.
    """

    slice_of_stage = slices_of(name)

    def settings(wildcards):
        return as_argument(slice_of_stage(wildcards))

    def code(wildcards):
        modules = load_stage(name).modules(slice_of_stage(wildcards))
        return digest_of_code(tuple(modules))

    def environment(wildcards):
        return digest_of_lock(load_stage(name).family(slice_of_stage(wildcards)))

    functions = (settings, code, environment)
    for (
        function
    ) in functions:  # Snakemake would look at the signature again for every job
        overwrite_function_params(function, signature(function).parameters)
    return {function.__name__: function for function in functions}


@cache
def origin_of_study(wildcards):
    """Return as JSON how the study is made again; a record, on which nothing depends."""
    return as_argument(origin(workflow, GRAPH, ENVIRONMENTS))


def cache_by_wildcards(function):
    """Let a function of wildcards compute each result once."""
    results = {}

    def cached(wildcards):
        key = tuple(wildcards.items())
        if key not in results:
            results[key] = function(wildcards)
        return results[key]

    return cached


@cache
def slices_of(name):
    """Return the function of wildcards that gives a stage its slice of the configuration."""
    with fail_readably():
        return cache_by_wildcards(partial(slices.of_stage(name), GRAPH))


def image_of(name):
    """Return a function that names the image of a stage's jobs, where images are used."""

    def path(wildcards):
        return image_of_family(load_stage(name).family(slices_of(name)(wildcards)))

    return path


@cache
def image_of_family(family):
    """Return the image that holds a family of locked packages."""
    return CONTAINERS.path(family)


def image_named(name):
    return needs.image(STUDY, name, Path(os.path.relpath(workflow.basedir)))


def locks_of_image(wildcards):
    """List the locks that an image installs."""
    return image_named(wildcards.image).locks


def command_of_image(wildcards):
    """Return the command that builds an image."""
    return image_named(wildcards.image).command


def all_images():
    """List the images that the study runs in, with their records."""
    paths = [image_named(name).path for name in IMAGES]
    return [str(file) for path in paths for file in (path, path.with_suffix(".json"))]


# `workflow.dryrun` is always false while the rules are read.
DRYRUN = workflow.output_settings.dryrun
CONTAINED = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
ENGINES = {model.engine.name for model in STUDY.models.values()}
IMAGES = sorted({STUDY.images.of(name) for name in ("data", "model", *ENGINES)})
CONTAINERS = Containers(STUDY, Path(os.path.relpath(workflow.basedir)), CONTAINED)
if CONTAINED:
    configure_apptainer(Path(workflow.basedir), named_paths(STUDY), create=not DRYRUN)


def check_containers(graph):
    """Look for the images and environments of the jobs of a plan, before they run."""
    with fail_readably():
        CONTAINERS.check(graph)


with fail_readably():
    let_seals_decide(check_containers)
apply_patches(DRYRUN)


def begin_run():
    """Keep warm processes for jobs on this machine; let MLflow see trainings while they run."""
    with fail_readably():
        if not CONTAINED:
            invocation.require_command()
    warm.start(not invocation.is_remote() and not CONTAINED)
    if follow.is_wanted(STUDY.tracking):
        settings = as_argument(slices.tracking(GRAPH, None))
        follow.start(Path("results") / STUDY.study, settings)


def end_run():
    """End the warm processes."""
    warm.stop()
