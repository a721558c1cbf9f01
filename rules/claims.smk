"""claims: what holds of the paper, in which groups of problems, and at what cost."""


rule break_down_metrics:
    """Estimate every quantity in groups of problems."""
    input:
        metrics=all_metrics(),
    output:
        breakdown="<results>/breakdown.parquet",
    log:
        "<results>/breakdown.log",
    benchmark:
        "<results>/breakdown.tsv"
    params:
        **stage("breakdown"),
    shell:
        "restem breakdown"
        " --metrics {input.metrics:q}"
        " --output {output.breakdown:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule count_costs:
    """Count what a policy cost to make, and all completions sampled from it."""
    input:
        policy="<policy>/policy.json",
        samples=sampled_from_policy,
        problems=splits_used_in_part,
    output:
        costs="<policy>/costs.parquet",
    log:
        "<policy>/costs.log",
    benchmark:
        "<policy>/costs.tsv"
    params:
        **stage("costs"),
    shell:
        "restem costs"
        " --policy {input.policy:q}"
        " --samples {input.samples:q}"
        " --problems {input.problems:q}"
        " --output {output.costs:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule sum_costs:
    """Add up what every policy, variant and experiment cost."""
    input:
        costs=all_costs(),
    output:
        ledger="<results>/ledger.parquet",
        page="<results>/ledger.md",
    log:
        "<results>/ledger.log",
    benchmark:
        "<results>/ledger.tsv"
    params:
        **stage("ledger"),
    shell:
        "restem ledger"
        " --costs {input.costs:q}"
        " --output {output.ledger:q}"
        " --page {output.page:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule test_claims:
    """Test the claims of the paper."""
    input:
        metrics=all_metrics(),
        ledger="<results>/ledger.parquet",
        false_positives=table_of_false_positives(),
        rechecks=all_rechecks(),
    output:
        claims="<results>/claims.parquet",
        page=report(
            "<results>/claims.md",
            caption="captions/claims.rst",
            category="Paper",
            labels={"figure": "claims"},
        ),
    log:
        "<results>/claims.log",
    benchmark:
        "<results>/claims.tsv"
    params:
        **stage("claims"),
    shell:
        "restem claims"
        " --metrics {input.metrics:q}"
        " --ledger {input.ledger:q}"
        " --false-positives {input.false_positives:q}"
        " --rechecks {input.rechecks:q}"
        " --output {output.claims:q}"
        " --page {output.page:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
