"""Which part of the configuration the jobs of each stage read: nothing else makes them stale."""


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


def costs_slice(wildcards):
    return reporting.costs_settings(WALK, policy_of(wildcards))


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


def table_slice(wildcards):
    return WALK.table_settings()


def tracking_slice(wildcards):
    return WALK.tracking_settings()
