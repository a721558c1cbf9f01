"""samples: completions that one policy draws on one split, for an E-step or an evaluation."""


rule draw_samples:
    """Sample the completions of one shard; those that were sampled before are kept."""
    input:
        policy="<policy>/policy.json",
        checkpoints=weights_of_policy,
        problems="<results>/{on}/problems/{split}.parquet",
        shots="<results>/{on}/problems/shots.parquet",
        first_try=first_try,
    output:
        samples="<draws>/samples/{shard}.parquet",
    log:
        "<draws>/samples/{shard}.log",
    benchmark:
        "<draws>/samples/{shard}.tsv"
    priority: urgency_of_draws
    container:
        image_of("samples")
    threads: 1
    params:
        **stage("samples"),
        replicas=replicas_of_model,
    shell:
        "restem samples"
        " --policy {input.policy:q}"
        " --problems {input.problems:q}"
        " --shots {input.shots:q}"
        " --first-try {input.first_try:q}"
        " --shard {wildcards.shard}"
        " --threads {threads}"
        " --replicas {params.replicas}"
        " --output {output.samples:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
