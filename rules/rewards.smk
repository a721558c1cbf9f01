"""rewards: one verdict a completion, from the task's verifier or from a human."""


rule verify_samples:
    """Verify the completions of one shard."""
    input:
        samples=samples_to_verify,
        problems="<results>/{on}/problems/{split}.parquet",
        sheet=filled_sheet,
    output:
        rewards="<draws>/rewards/{shard}.parquet",
    log:
        "<draws>/rewards/{shard}.log",
    benchmark:
        "<draws>/rewards/{shard}.tsv"
    priority: urgency_of_draws
    params:
        **stage("rewards"),
    shell:
        "restem rewards"
        " --samples {input.samples:q}"
        " --problems {input.problems:q}"
        " --sheet {input.sheet:q}"
        " --shard {wildcards.shard}"
        " --output {output.rewards:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule write_sheet:
    """Write the sheet of completions that a human grades; `restem rewards` reads it filled in."""
    input:
        samples=shards_of("samples"),
        problems="<results>/{on}/problems/{split}.parquet",
    output:
        sheet="<draws>/sheet.csv",
    log:
        "<draws>/sheet.log",
    benchmark:
        "<draws>/sheet.tsv"
    params:
        **stage("sheet"),
    shell:
        "restem sheet"
        " --samples {input.samples:q}"
        " --problems {input.problems:q}"
        " --output {output.sheet:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
