"""rewards: one verdict a completion, from the task's verifier."""


rule verify_samples:
    """Verify the completions of one shard."""
    input:
        samples="<draws>/samples/{shard}.parquet",
        problems="<results>/{on}/problems/{split}.parquet",
    output:
        rewards="<checked>/rewards/{shard}.parquet",
    log:
        "<draws>/rewards/{shard}.log",
    benchmark:
        "<draws>/rewards/{shard}.tsv"
    params:
        **stage("rewards", rewards_slice, "verify_samples"),
    shell:
        "restem rewards"
        " --samples {input.samples:q}"
        " --problems {input.problems:q}"
        " --output {output.rewards:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
