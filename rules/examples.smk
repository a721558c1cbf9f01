"""examples: which completions are kept, with which weights, and why the others are not."""


rule select_examples:
    """Select the training examples of one policy."""
    input:
        samples=drawn_for("samples"),
        rewards=drawn_for("rewards"),
        problems="<results>/{task}/problems/train.parquet",
        shots="<results>/{task}/problems/shots.parquet",
    output:
        examples="<policy>/examples.parquet",
    log:
        "<policy>/examples.log",
    benchmark:
        "<policy>/examples.tsv"
    priority: urgency_of_policy
    params:
        **stage("examples"),
    shell:
        "restem examples"
        " --samples {input.samples:q}"
        " --rewards {input.rewards:q}"
        " --problems {input.problems:q}"
        " --shots {input.shots:q}"
        " --output {output.examples:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
