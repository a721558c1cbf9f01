"""Which files the jobs read that no wildcard tells, and all artifacts of each kind.

What many tables are read into is sorted by path, so that the order of keys in a study changes
nothing.
"""

from restem.errors import RestemError
from restem.policies.sources import load_source
from restem.tasks.registry import load_task
from restem.study.comparisons import comparisons
from restem.study.figure_needs import figure_needs
from restem.study.sharing import any_problems_left, parts, policies_of
from restem.tasks.splits import input_files


def estimates_of_figure(wildcards):
    """Return the table of estimates that a figure is plotted from."""
    settings = slices.figure(GRAPH, wildcards)
    return f"<results>/{settings.get('table', 'summary')}.parquet"


def ledger_of_figure(wildcards):
    """Return the ledger for a figure that shows costs; other figures do not wait for it."""
    needs = figure_needs()[slices.figure(GRAPH, wildcards)["figure"]]
    return ["<results>/ledger.parquet"] if "costs" in needs.options else []


def data_files(wildcards):
    """List the local files that a split is read from; none for embedded and hub data."""
    task = load_task(GRAPH.module(wildcards.task))
    return input_files(task, STUDY.tasks[wildcards.task].data, wildcards.split)


def model_files(wildcards):
    """List the local files that a base model is read from."""
    source = STUDY.models[wildcards.model].source
    return load_source(source.kind).files(source)


def urgency_of_policy(wildcards):
    """Return the priority of the jobs that make a policy."""
    return URGENCY.of_policy(Policy.of(wildcards))


def urgency_of_draws(wildcards):
    """Return the priority of sampling and verifying completions."""
    return URGENCY.of_draws(Draws.of(wildcards))


def start_of_policy(wildcards):
    """Return the policy whose weights a fine-tuning starts from."""
    return f"<results>/{GRAPH.start(Policy.of(wildcards)).path}/policy.json"


def policies_averaged_with(wildcards):
    """List the policies whose weights are averaged with those of the start."""
    others = GRAPH.averaged_with(Policy.of(wildcards))
    return [f"<results>/{policy.path}/policy.json" for policy in others]


def validation_problems_of(wildcards):
    """Return the problems that an M-step measures its reward on; none if it measures none."""
    if not GRAPH.validations(Policy.of(wildcards)):
        return []
    return [f"<results>/{wildcards.task}/problems/validation.parquet"]


def checkpoints_read_by(wildcards):
    """List the checkpoints that an M-step reads; a pruned one has to be made again for it."""
    policy = Policy.of(wildcards)
    read = [GRAPH.start(policy), *GRAPH.averaged_with(policy)]
    return [path for start in read for path in weights(start)]


def weights_of_policy(wildcards):
    """List the checkpoints that sampling from a policy reads."""
    return weights(Policy.of(wildcards))


def replicas_of_model(wildcards):
    """Return how many engines a sampling job starts; what it draws does not depend on it."""
    return STUDY.models[wildcards.model].engine.replicas


def weights(policy):
    """List the checkpoint of a policy, and those below it if it is an adapter."""
    policies = [policy, *GRAPH.weights_below(policy)]
    return [f"<results>/{p.path}/checkpoint" for p in policies]


def first_try(wildcards):
    """List the verdicts of the draws that a second try, with hints, follows."""
    before = GRAPH.first_try(Draws.of(wildcards))
    if before is None:
        return []
    return [f"<results>/{before.path}/rewards/{wildcards.shard}.parquet"]


def sharded(kind, draws):
    """List the shards of the samples or rewards of some completions."""
    return [
        f"<results>/{draws.path}/{kind}/{s}.parquet" for s in GRAPH.shards(draws.split)
    ]


def drawn_for(kind):
    """Return a function that lists the shards that a policy's examples are selected from."""

    def shards(wildcards):
        feeds = GRAPH.feeds(Policy.of(wildcards))
        return [path for draws in feeds for path in sharded(kind, draws)]

    return shards


def sampled_from_policy(wildcards):
    """List the samples of all completions that are sampled from a policy."""
    every = GRAPH.sampled_from(Policy.of(wildcards))
    return [path for draws in every for path in sharded("samples", draws)]


def splits_used_in_part(wildcards):
    """List the splits of a policy's completions, where some problems only are used of them."""
    used = parts(GRAPH)
    every = GRAPH.sampled_from(Policy.of(wildcards))
    partly = [draws for draws in every if any_problems_left(used.get(draws.path, ()))]
    return sorted({f"<results>/{d.task}/problems/{d.split}.parquet" for d in partly})


def shards_of(kind):
    """Return a function that lists the shards that a job's wildcards address."""
    return lambda wildcards: sharded(kind, Draws.of(wildcards))


def samples_to_verify(wildcards):
    """List the shard that a verifier reads; a human's sheet answers for all shards at once."""
    if GRAPH.by_hand(wildcards.on):
        return sharded("samples", Draws.of(wildcards))
    return ["<draws>/samples/{shard}.parquet"]


def filled_sheet(wildcards):
    """List the filled sheet of completions that a human grades; none for a verifier."""
    if not GRAPH.by_hand(wildcards.on):
        return []
    sheet = GRAPH.filled(Draws.of(wildcards))
    if sheet is None:
        raise RestemError(
            "nobody has graded these completions",
            f"tasks.{wildcards.on}.graded_sheets",
            "make the sheets (snakemake sheets), fill them in, and name their folder there",
        )
    return [str(sheet)]


def all_sheets():
    return [
        f"<results>/{draws.path}/sheet.csv"
        for draws in GRAPH.evaluations()
        if GRAPH.by_hand(draws.task)
    ]


def all_problems():
    return [
        f"<results>/{task}/problems/{split}.parquet" for task, split in GRAPH.splits()
    ]


def all_shots():
    tasks = dict.fromkeys(task for task, _ in GRAPH.splits())
    return [f"<results>/{task}/problems/shots.parquet" for task in tasks]


def all_policies():
    policies = [*map(GRAPH.base, STUDY.models), *GRAPH.trained]
    return sorted(f"<results>/{policy.path}/policy.json" for policy in policies)


def all_costs():
    policies = policies_of(GRAPH)
    return sorted(f"<results>/{policy.path}/costs.parquet" for policy in policies)


def all_examples():
    return [f"<results>/{policy.path}/examples.parquet" for policy in GRAPH.trained]


def all_samples():
    return [path for draws in GRAPH.sampled() for path in sharded("samples", draws)]


def all_rewards():
    judged = filter(GRAPH.judged, GRAPH.sampled())
    return [path for draws in judged for path in sharded("rewards", draws)]


def all_metrics():
    """List the metrics of what has verdicts; what waits for a human has none yet."""
    judged = filter(GRAPH.judged, GRAPH.evaluations())
    return sorted(f"<results>/{draws.path}/metrics.parquet" for draws in judged)


def all_estimates():
    """List the table of estimates, unless all that is evaluated waits for a human."""
    judged = any(map(GRAPH.judged, GRAPH.evaluations()))
    return ["<results>/summary.parquet"] if judged else []


def all_figures():
    """List every figure in three formats."""
    if not all_estimates():
        return []
    kinds = ("pdf", "svg", "png")
    names = [*GRAPH.figures, *slices.figures_of_experiments(GRAPH)]
    return [f"<results>/figures/{name}.{kind}" for name in names for kind in kinds]


def figures_to_show():
    """List every figure as PNG."""
    return [path for path in all_figures() if path.endswith(".png")]


def figures_of_experiments():
    """List the figures of the experiments, as SVG."""
    names = slices.figures_of_experiments(GRAPH)
    return [f"<results>/figures/{name}.svg" for name in names]


def all_pages():
    """List the page of the study, and those on claims and groups where a study asks for them."""
    pages = ["ledger.md"]
    pages += ["false_positives.md"] if RECHECKED else []
    if all_estimates():
        pages += ["index.html"]
        pages += ["claims.md"] if STUDY.claims else []
        pages += ["breakdown.parquet"] if GRAPH.metrics.breakdowns else []
    return [f"<results>/{page}" for page in pages]


def shown_figures():
    """List the figures that the page of the study shows, as SVG."""
    return [f"<results>/figures/{figure.name}.svg" for figure in figures_of_page(GRAPH)]


def shown_tables():
    """List the tables of estimates that the figures of the page are plotted from."""
    names = dict.fromkeys(figure.table for figure in figures_of_page(GRAPH))
    return [f"<results>/{name}.parquet" for name in names if name != "summary"]


def verdicts_on_claims():
    """List the verdicts on claims; only a study with claims has them."""
    return ["<results>/claims.parquet"] if STUDY.claims else []


def methods_by_property():
    """List the table of methods; it belongs to the experiments of a paper."""
    return ["<results>/methods.md"] if STUDY.experiments else []


def changed_problems():
    """List what has changed between base and trained policies; nothing where none is compared."""
    return ["<results>/changes.parquet"] if comparisons(GRAPH) else []


def compared(kind):
    """List the shards of all completions that are compared problem by problem."""
    pairs = [(pair.before, pair.after) for pair in comparisons(GRAPH)]
    return [path for pair in pairs for draws in pair for path in sharded(kind, draws)]


def compared_problems():
    """List the splits that compared policies were asked."""
    pairs = [pair.after for pair in comparisons(GRAPH)]
    paths = [f"<results>/{d.task}/problems/{d.split}.parquet" for d in pairs]
    return list(dict.fromkeys(paths))


def table_of_false_positives():
    """List the rates of false positives; only a study that looks for them has them."""
    return ["<results>/false_positives.parquet"] if RECHECKED else []


def all_rechecks():
    return [f"<results>/{policy.path}/recheck.parquet" for policy in RECHECKED]


def all_tables():
    return ["<results>/table.md"] if all_estimates() else []


def all_records():
    """List what says that MLflow has everything."""
    return ["<results>/tracking/published.json"] if all_estimates() else []
