"""false_positives: how many of the solutions that policies are trained on are false positives."""


rule recheck_examples:
    """Give a second verdict on a sample of what a policy is trained on."""
    input:
        examples="<policy>/examples.parquet",
        samples=drawn_for("samples"),
        rewards=drawn_for("rewards"),
        problems="<results>/{task}/problems/train.parquet",
    output:
        recheck="<policy>/recheck.parquet",
    log:
        "<policy>/recheck.log",
    benchmark:
        "<policy>/recheck.tsv"
    params:
        **stage("recheck"),
    shell:
        "restem recheck"
        " --examples {input.examples:q}"
        " --samples {input.samples:q}"
        " --rewards {input.rewards:q}"
        " --problems {input.problems:q}"
        " --output {output.recheck:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule estimate_false_positives:
    """Estimate the rates of false positives from the rechecks of all policies."""
    input:
        rechecks=all_rechecks(),
    output:
        rates="<results>/false_positives.parquet",
        page=report(
            "<results>/false_positives.md",
            caption="captions/false_positives.rst",
            category="Paper",
            labels={"figure": "false positives"},
        ),
    log:
        "<results>/false_positives.log",
    benchmark:
        "<results>/false_positives.tsv"
    params:
        **stage("false_positives"),
    shell:
        "restem false-positives"
        " --rechecks {input.rechecks:q}"
        " --output {output.rates:q}"
        " --page {output.page:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
