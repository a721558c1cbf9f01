"""ReST-EM as a workflow: a rule says what depends on what, `restem` commands do the work."""

from snakemake.utils import min_version

min_version("9.27")


include: "rules/common.smk"
include: "rules/inputs.smk"


pathvars:
    results=f"results/{STUDY.study}",
    base=constrained("<results>/pretrained/{model}/base/seed-0/iter-0"),
    policy=constrained(POLICY),
    trained=constrained(POLICY, iteration="[1-9][0-9]*"),
    draws=constrained(DRAWS),


report: "rules/captions/study.rst"


# Used with --software-deployment-method apptainer; the code itself comes from the checkout.
container: image_of_family("data")


include: "rules/problems.smk"
include: "rules/base.smk"
include: "rules/samples.smk"
include: "rules/rewards.smk"
include: "rules/examples.smk"
include: "rules/policy.smk"
include: "rules/metrics.smk"
include: "rules/claims.smk"
include: "rules/false_positives.smk"
include: "rules/figures.smk"
include: "rules/tracking.smk"
include: "rules/images.smk"


with fail_readably():
    check_options(rule.shellcmd for rule in workflow.rules)


onstart:
    begin_run()


onsuccess:
    end_run()


onerror:
    end_run()


localrules:
    all,
    images,
    build_image,
    figures,
    paper,
    policies,
    evaluations,
    sheets,
    write_sheet,
    count_costs,
    sum_costs,
    find_changes,
    load_problems,  # may need the network, which compute nodes often lack
    plot_figure,
    write_methods,
    write_page,
    write_table,
    publish_runs,


# The whole study: every artifact, so that a deleted one is noticed and made again.
rule all:
    default_target: True
    input:
        all_figures(),
        all_policies(),
        all_metrics(),
        all_examples(),
        all_rewards(),
        all_samples(),
        all_sheets(),
        all_problems(),
        all_shots(),
        "<results>/overlap.parquet",
        all_tables(),
        all_pages(),
        all_records(),


rule images:
    input:
        all_images(),


rule figures:
    input:
        all_figures(),
        all_tables(),


# A paper: figures, tables, claims and costs of every experiment that the study lists.
rule paper:
    input:
        figures_of_experiments(),
        all_pages(),
        all_sheets(),


rule policies:
    input:
        all_policies(),


# What a human has to grade, and nothing that waits for it.
rule sheets:
    input:
        all_sheets(),


rule evaluations:
    input:
        all_metrics(),
        all_sheets(),
        "<results>/overlap.parquet",
        all_estimates(),
