"""tracking: every policy and its metrics, published to MLflow by one writer."""


rule publish_runs:
    """Publish every policy and its metrics to MLflow; a server that is down loses nothing."""
    input:
        policies=all_policies(),
        summary="<results>/summary.parquet",
        changes=changed_problems(),
        files=[*all_tables(), *figures_to_show()],
    output:
        published="<results>/tracking/published.json",
    log:
        "<results>/tracking/published.log",
    benchmark:
        "<results>/tracking/published.tsv"
    params:
        **stage("tracking"),
    shell:
        "restem tracking"
        " --policies {input.policies:q}"
        " --summary {input.summary:q}"
        " --changes {input.changes:q}"
        " --files {input.files:q}"
        " --output {output.published:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
