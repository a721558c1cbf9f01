"""Which files the jobs read that no wildcard tells, and all artifacts of each kind."""

from restem.errors import RestemError
from restem.policies.sources import load_source
from restem.tasks.registry import load_task
from restem.tasks.splits import input_files


def estimates_of_plot(wildcards):
    """Return the table of estimates that a figure of an experiment is drawn from."""
    return f"<results>/{reporting.plot(WALK, wildcards.plot).table}.parquet"


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


def drawn_from_policy(wildcards):
    """List the samples of all completions that are drawn from a policy."""
    every = WALK.drawn_from(policy_of(wildcards))
    return [path for draws in every for path in sharded("samples", draws)]


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


def all_costs():
    policies = reporting.policies_of(WALK)
    return [f"<results>/{policy.path}/costs.parquet" for policy in policies]


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
