"""What the rules share: the study, the digests that decide staleness, and paths of addresses."""

import os
import re
from functools import cache
from pathlib import Path

from snakemake.io import apply_wildcards
from snakemake.settings.types import DeploymentMethod

from restem import artifacts, recipes, reporting
from restem.cli import fail_readably
from restem.config.load import load_published, load_study
from restem.deployment.images import Image, use_gpus_and_links, verified
from restem.errors import RestemError
from restem.models.registry import load_source
from restem.provenance import canonical_json, code_digest, lock_digest
from restem.tasks.registry import load_task
from restem.tasks.splits import input_files
from restem.workflow import Draws, Policy, Walk

with fail_readably():
    STUDY = load_study(config, Path(workflow.basedir) / "config")
    WALK = Walk(STUDY)
    PUBLISHED = load_published(Path(workflow.basedir) / "config")
    AUDITED = reporting.audited(WALK)

ENVIRONMENTS = Path(workflow.basedir) / "envs"
RESULTS = Path("results") / STUDY.study


# Decodings may carry a view (see `restem.addresses`); which rule makes what follows from it.
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
    on="[^/]+",
    split="train|validation|test|shots",
    decoding="[^/]+",
    draw_seed=r"\d+",
    shard=r"\d+-of-\d+",
    image="[a-z]+",
    recipe="[0-9a-f]{12}",
    figure="[a-z_]+",
    plot="[A-Z][A-Za-z0-9-]*",


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

    Snakemake compares parameters as a set without names, hence one canonical JSON string; it
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
        return canonical_json(told(wildcards))

    def code_of(wildcards):
        return digest_of_code(tuple(recipes.modules(name, told(wildcards))))

    def environment_of(wildcards):
        return environment(name, told(wildcards))

    def remakes_of(wildcards):
        first = apply_wildcards(workflow.get_rule(rule).output[0], wildcards)
        return f"remakes: {artifacts.remakes(Path(first))}"

    return {
        "settings": slice_of,
        "code": code_of,
        "environment": environment_of,
        "remakes": remakes_of,
    }


def environment(name, settings):
    """Return the digest of a stage's lock, and that of its image where images are used."""
    family = recipes.family(name, settings)
    lock = digest_of_lock(family)
    return f"{lock}@{IMAGE_DIGESTS[STUDY.images.of(family)]}" if CONTAINED else lock


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


def problems_slice(wildcards):
    return WALK.problems_settings(wildcards.task, wildcards.split)


def nothing(wildcards):
    """Return the slice of a stage that reads nothing of the configuration."""
    return {}


def overlap_slice(wildcards):
    return WALK.overlap_settings()


def base_slice(wildcards):
    return WALK.base_settings(wildcards.model)


def samples_slice(wildcards):
    return WALK.samples_settings(draws_of(wildcards))


def search_slice(wildcards):
    return WALK.search_settings(draws_of(wildcards))


def rewards_slice(wildcards):
    return WALK.rewards_settings(wildcards.on, wildcards.split)


def examples_slice(wildcards):
    return WALK.examples_settings(policy_of(wildcards))


def policy_slice(wildcards):
    return WALK.policy_settings(policy_of(wildcards))


def metrics_slice(wildcards):
    return WALK.metrics_settings(draws_of(wildcards))


def summary_slice(wildcards):
    return WALK.summary_settings()


def breakdown_slice(wildcards):
    return reporting.breakdown_settings(WALK)


def ledger_slice(wildcards):
    return reporting.ledger_settings(WALK)


def claims_slice(wildcards):
    return reporting.claims_settings(WALK)


def recheck_slice(wildcards):
    return reporting.recheck_settings(WALK, policy_of(wildcards))


def audits_slice(wildcards):
    return reporting.audits_settings(WALK)


def figure_slice(wildcards):
    return WALK.figure_settings(wildcards.figure)


def plot_slice(wildcards):
    return reporting.plot_settings(WALK, PUBLISHED, wildcards.plot)


def methods_slice(wildcards):
    return reporting.methods_settings(WALK, PUBLISHED)


def page_slice(wildcards):
    return reporting.page_settings(WALK)


def estimates_of_plot(wildcards):
    """Return the table of estimates that a figure of an experiment is drawn from."""
    return f"<results>/{reporting.plot(WALK, wildcards.plot).table}.parquet"


def table_slice(wildcards):
    return WALK.table_settings()


def tracking_slice(wildcards):
    return WALK.tracking_settings()


def data_files(wildcards):
    """List the local files that a split is read from; none for embedded and hub data."""
    task = load_task(WALK.module(wildcards.task))
    return input_files(task, STUDY.tasks[wildcards.task].data, wildcards.split)


def model_files(wildcards):
    """List the local files that a base model is read from."""
    source = STUDY.models[wildcards.model].source
    return load_source(source.kind).files(source)


def start_of_policy(wildcards):
    """Return the policy whose weights a fine-tuning starts from."""
    return f"<results>/{WALK.start(policy_of(wildcards)).path}/policy.json"


def anchors_of_policy(wildcards):
    """List the policies that are averaged with the start of a policy."""
    anchors = WALK.anchors(policy_of(wildcards))
    return [f"<results>/{policy.path}/policy.json" for policy in anchors]


def first_try(wildcards):
    """List the verdict of the draws that a second try, with hints, follows."""
    before = WALK.first_try(draws_of(wildcards))
    if before is None:
        return []
    return [f"<results>/{before.path}/rewards/{wildcards.shard}.parquet"]


def sharded(kind, draws):
    """List the shards of the samples or rewards of some completions."""
    return [
        f"<results>/{draws.path}/{kind}/{s}.parquet" for s in WALK.shards(draws.split)
    ]


def drawn_for(kind):
    """Return a function that lists the shards that a policy's examples are selected from."""

    def shards(wildcards):
        feeds = WALK.feeds(policy_of(wildcards))
        return [path for draws in feeds for path in sharded(kind, draws)]

    return shards


def shards_of(kind):
    """Return a function that lists the shards that a job's wildcards address."""
    return lambda wildcards: sharded(kind, draws_of(wildcards))


def filled_sheet(wildcards):
    """Return the filled sheet of completions that a human grades."""
    sheet = WALK.filled(draws_of(wildcards))
    if sheet is None:
        raise RestemError(
            "nobody has graded these completions",
            f"tasks.{wildcards.on}.graded",
            "make the sheets (snakemake sheets), fill them in, and name their folder there",
        )
    return str(sheet)


def all_sheets():
    return [
        f"<results>/{draws.path}/sheet.csv"
        for draws in WALK.evaluations()
        if WALK.by_hand(draws.task)
    ]


def all_problems():
    return [
        f"<results>/{task}/problems/{split}.parquet" for task, split in WALK.splits()
    ]


def all_shots():
    tasks = dict.fromkeys(task for task, _ in WALK.splits())
    return [f"<results>/{task}/problems/shots.parquet" for task in tasks]


def all_policies():
    policies = [*map(WALK.base, STUDY.models), *WALK.trained]
    return [f"<results>/{policy.path}/policy.json" for policy in policies]


def all_examples():
    return [f"<results>/{policy.path}/examples.parquet" for policy in WALK.trained]


def all_samples():
    return [path for draws in WALK.sampled() for path in sharded("samples", draws)]


def all_rewards():
    judged = filter(WALK.judged, WALK.sampled())
    return [path for draws in judged for path in sharded("rewards", draws)]


def all_metrics():
    """List the metrics of what has verdicts; what waits for a human has none yet."""
    judged = filter(WALK.judged, WALK.evaluations())
    return [f"<results>/{draws.path}/metrics.parquet" for draws in judged]


def all_figures():
    kinds = ("pdf", "svg", "png")
    return [
        f"<results>/figures/{name}.{kind}" for name in STUDY.figures for kind in kinds
    ]


def all_plots():
    """List the figures of the experiments, as SVG for the page."""
    return [f"<results>/paper/{name}.svg" for name in reporting.plots(WALK)]


def all_reports():
    """List the pages on claims, cost and groups; only a study that asks for them has them."""
    pages = ["claims.md", "ledger.md"] if STUDY.claims else []
    pages += ["breakdown.parquet"] if STUDY.metrics.breakdowns else []
    pages += ["audit.md"] if AUDITED else []
    pages += ["index.html"] if STUDY.experiments and STUDY.claims else []
    return [f"<results>/{page}" for page in pages]


def the_audit():
    """Return the rates of false positives, which only a study with an audit has."""
    return ["<results>/audit.parquet"] if AUDITED else []


def all_rechecks():
    return [f"<results>/{policy.path}/recheck.parquet" for policy in AUDITED]


def all_tables():
    """List the table of test results; a study that tests nothing has none."""
    tested = any(evaluation.split == "test" for evaluation in STUDY.evaluations)
    return ["<results>/table.md"] if tested else []


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
    use_gpus_and_links(Path(workflow.basedir))

notice_what_people_did()
