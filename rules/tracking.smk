"""tracking: what was made, told to MLflow by one writer."""


rule publish_runs:
    """Tell MLflow about every policy and its metrics; a server that is down loses nothing."""
    input:
        policies=all_policies(),
        summary="<results>/summary.parquet",
        table="<results>/table.md",
    output:
        published="<results>/tracking/published.json",
    log:
        "<results>/tracking/published.log",
    benchmark:
        "<results>/tracking/published.tsv"
    params:
        **stage("tracking", tracking_slice),
    shell:
        "restem tracking"
        " --policies {input.policies:q}"
        " --summary {input.summary:q}"
        " --table {input.table:q}"
        " --output {output.published:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
