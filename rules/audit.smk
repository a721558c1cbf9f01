"""audit: how many of the solutions that policies are trained on are false positives."""


rule recheck_examples:
    """Judge a sample of what a policy is trained on a second time."""
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
        **stage("recheck", recheck_slice, "recheck_examples"),
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


rule report_audit:
    """Estimate the rates of false positives from the rechecks of all audited policies."""
    input:
        rechecks=all_rechecks(),
    output:
        audit="<results>/audit.parquet",
        page=report(
            "<results>/audit.md",
            caption="captions/audit.rst",
            category="Paper",
            labels={"figure": "audit"},
        ),
    log:
        "<results>/audit.log",
    benchmark:
        "<results>/audit.tsv"
    params:
        **stage("audits", audits_slice, "report_audit"),
    shell:
        "restem audits"
        " --rechecks {input.rechecks:q}"
        " --output {output.audit:q}"
        " --page {output.page:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
