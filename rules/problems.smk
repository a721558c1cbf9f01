"""problems: one table a split, and how much the splits overlap."""


rule load_problems:
    """Read one split of a task."""
    input:
        data=data_files,
    output:
        problems="<results>/{task}/problems/{split}.parquet",
    log:
        "<results>/{task}/problems/{split}.log",
    benchmark:
        "<results>/{task}/problems/{split}.tsv"
    params:
        **stage("problems"),
    shell:
        "restem problems"
        " --data {input.data:q}"
        " --output {output.problems:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule measure_overlap:
    """Compare every pair of splits: exact and n-gram overlap."""
    input:
        problems=all_problems(),
    output:
        overlap="<results>/overlap.parquet",
    log:
        "<results>/overlap.log",
    benchmark:
        "<results>/overlap.tsv"
    params:
        **stage("overlap"),
    shell:
        "restem overlap"
        " --problems {input.problems:q}"
        " --output {output.overlap:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
