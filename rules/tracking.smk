"""tracking: what was made, told to MLflow by one writer."""


rule publish_runs:
    """Tell MLflow about every policy and its metrics; a server that is down loses nothing."""
    input:
        policies=all_policies(),
        summary="<results>/summary.parquet",
        tables=all_tables(),
    output:
        published="<results>/tracking/published.json",
    log:
        "<results>/tracking/published.log",
    benchmark:
        "<results>/tracking/published.tsv"
    params:
        **stage("tracking", tracking_slice, "publish_runs"),
    shell:
        "restem tracking"
        " --policies {input.policies:q}"
        " --summary {input.summary:q}"
        " --tables {input.tables:q}"
        " --output {output.published:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
