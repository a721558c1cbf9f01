"""policy: the M-step, from the weights that the method starts from."""


rule fine_tune_policy:
    """Fine-tune one policy on its examples, as long as the validation reward improves."""
    input:
        examples="<policy>/examples.parquet",
        start=start_of_policy,
        validation="<results>/{task}/problems/validation.parquet",
        shots="<results>/{task}/problems/shots.parquet",
    output:
        policy="<trained>/policy.json",
        checkpoint=directory("<trained>/checkpoint"),
    log:
        "<policy>/policy.log",
    benchmark:
        "<policy>/policy.tsv"
    container:
        image_of("training")
    threads: 1
    params:
        **stage("policy", policy_slice, "fine_tune_policy"),
    shell:
        "restem policy"
        " --examples {input.examples:q}"
        " --start {input.start:q}"
        " --validation {input.validation:q}"
        " --shots {input.shots:q}"
        " --threads {threads}"
        " --output {output.policy:q}"
        " --checkpoint {output.checkpoint:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule assemble_policy:
    """Make a policy whose weights are not fitted: a prompt, or a mean of two policies."""
    input:
        examples="<policy>/examples.parquet",
        start=start_of_policy,
        anchors=anchors_of_policy,
        validation="<results>/{task}/problems/validation.parquet",
        shots="<results>/{task}/problems/shots.parquet",
    output:
        policy="<frozen>/policy.json",
        checkpoint=directory("<frozen>/checkpoint"),
    log:
        "<policy>/policy.log",
    benchmark:
        "<policy>/policy.tsv"
    container:
        image_of("training")
    threads: 1
    params:
        **stage("frozen", policy_slice, "assemble_policy"),
    shell:
        "restem frozen"
        " --examples {input.examples:q}"
        " --start {input.start:q}"
        " --anchors {input.anchors:q}"
        " --validation {input.validation:q}"
        " --shots {input.shots:q}"
        " --threads {threads}"
        " --output {output.policy:q}"
        " --checkpoint {output.checkpoint:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
