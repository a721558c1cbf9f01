"""search: solutions that a beam search with the verifier finds, for an E-step (ExIt)."""


rule search_solutions:
    """Search the solutions of one shard."""
    input:
        policy="<policy>/policy.json",
        problems="<results>/{on}/problems/{split}.parquet",
        shots="<results>/{on}/problems/shots.parquet",
    output:
        samples="<searched>/samples/{shard}.parquet",
    log:
        "<draws>/samples/{shard}.log",
    benchmark:
        "<draws>/samples/{shard}.tsv"
    container:
        image_of("model")
    threads: 1
    params:
        **stage("search", search_slice, "search_solutions"),
    shell:
        "restem search"
        " --policy {input.policy:q}"
        " --problems {input.problems:q}"
        " --shots {input.shots:q}"
        " --shard {wildcards.shard}"
        " --threads {threads}"
        " --output {output.samples:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
