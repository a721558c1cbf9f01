"""metrics: how often each problem was solved, and the summary with its intervals."""


rule count_correct:
    """Count the correct completions of every problem."""
    input:
        samples=shards_of("samples"),
        rewards=shards_of("rewards"),
        problems="<results>/{on}/problems/{split}.parquet",
        policy="<policy>/policy.json",
    output:
        metrics="<draws>/metrics.parquet",
    log:
        "<draws>/metrics.log",
    benchmark:
        "<draws>/metrics.tsv"
    params:
        **stage("metrics"),
    shell:
        "restem metrics"
        " --samples {input.samples:q}"
        " --rewards {input.rewards:q}"
        " --problems {input.problems:q}"
        " --policy {input.policy:q}"
        " --output {output.metrics:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule summarise_metrics:
    """Estimate every quantity, and every lift, with its interval."""
    input:
        metrics=all_metrics(),
    output:
        summary="<results>/summary.parquet",
        lifts="<results>/lifts.parquet",
    log:
        "<results>/summary.log",
    benchmark:
        "<results>/summary.tsv"
    params:
        **stage("summary"),
    shell:
        "restem summary"
        " --metrics {input.metrics:q}"
        " --output {output.summary:q}"
        " --lifts {output.lifts:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
