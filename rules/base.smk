"""base: the policy of iteration 0, a pretrained model in the form that all stages read."""


rule make_base:
    """Fetch, convert, unpack or pretrain a base model."""
    input:
        files=model_files,
    output:
        policy="<base>/policy.json",
        checkpoint=directory("<base>/checkpoint"),
    log:
        "<base>/policy.log",
    benchmark:
        "<base>/policy.tsv"
    priority: lambda wildcards: URGENCY.of_policy(GRAPH.base(wildcards.model))
    container:
        image_of("base")
    params:
        **stage("base"),
    shell:
        "restem base"
        " --files {input.files:q}"
        " --output {output.policy:q}"
        " --checkpoint {output.checkpoint:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
