"""policy: the M-step, from the weights that the method starts from."""


rule make_policy:
    """Make the next policy of its examples: fine-tuned weights, a prompt, or averaged weights."""
    input:
        examples="<policy>/examples.parquet",
        start=start_of_policy,
        averaged_with=policies_averaged_with,
        checkpoints=checkpoints_read_by,
        validation=validation_problems_of,
        shots="<results>/{task}/problems/shots.parquet",
    output:
        policy="<trained>/policy.json",
        checkpoint=directory("<trained>/checkpoint"),
    log:
        "<policy>/policy.log",
    benchmark:
        "<policy>/policy.tsv"
    priority: urgency_of_policy
    container:
        image_of("policy")
    threads: 1
    params:
        **stage("policy"),
    shell:
        "restem policy"
        " --examples {input.examples:q}"
        " --start {input.start:q}"
        " --averaged-with {input.averaged_with:q}"
        " --validation {input.validation:q}"
        " --shots {input.shots:q}"
        " --threads {threads}"
        " --output {output.policy:q}"
        " --checkpoint {output.checkpoint:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
