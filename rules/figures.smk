"""figures: everything that a reader looks at, from tables of estimates alone."""


rule plot_figure:
    """Plot one figure in three formats."""
    input:
        estimates=estimates_of_figure,
        ledger=ledger_of_figure,
    output:
        pdf="<results>/figures/{figure}.pdf",
        svg="<results>/figures/{figure}.svg",
        png=report(
            "<results>/figures/{figure}.png",
            caption="captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "<results>/figures/{figure}.log",
    benchmark:
        "<results>/figures/{figure}.tsv"
    params:
        **stage("figure"),
    shell:
        "restem figure"
        " --estimates {input.estimates:q}"
        " --ledger {input.ledger:q}"
        " --output {output.pdf:q} {output.svg:q} {output.png:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule write_methods:
    """Write the table of methods by property, from the presets themselves."""
    output:
        markdown="<results>/methods.md",
    log:
        "<results>/methods.log",
    benchmark:
        "<results>/methods.tsv"
    params:
        **stage("methods"),
    shell:
        "restem methods"
        " --output {output.markdown:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule find_changes:
    """Find which test problems the main methods gained and lost."""
    input:
        samples=compared("samples"),
        rewards=compared("rewards"),
        problems=compared_problems(),
    output:
        changes="<results>/changes.parquet",
    log:
        "<results>/changes.log",
    benchmark:
        "<results>/changes.tsv"
    params:
        **stage("changes"),
    shell:
        "restem changes"
        " --samples {input.samples:q}"
        " --rewards {input.rewards:q}"
        " --problems {input.problems:q}"
        " --output {output.changes:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule write_page:
    """Write the page of the study: one file that needs no server and no other file."""
    input:
        figures=shown_figures(),
        tables=shown_tables(),
        summary="<results>/summary.parquet",
        lifts="<results>/lifts.parquet",
        changes=changed_problems(),
        claims=verdicts_on_claims(),
        ledger="<results>/ledger.parquet",
        overlap="<results>/overlap.parquet",
        problems=all_problems(),
        methods=methods_by_property(),
    output:
        page=report(
            "<results>/index.html",
            caption="captions/page.rst",
            category="Study",
            labels={"page": "everything on one page"},
        ),
    log:
        "<results>/index.log",
    benchmark:
        "<results>/index.tsv"
    params:
        **stage("page"),
        origin=origin_of_study,
    shell:
        "restem page"
        " --figures {input.figures:q}"
        " --tables {input.tables:q}"
        " --summary {input.summary:q}"
        " --lifts {input.lifts:q}"
        " --changes {input.changes:q}"
        " --claims {input.claims:q}"
        " --ledger {input.ledger:q}"
        " --overlap {input.overlap:q}"
        " --problems {input.problems:q}"
        " --methods {input.methods:q}"
        " --origin {params.origin:q}"
        " --output {output.page:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule write_table:
    """Write the table of results for people and for spreadsheets."""
    input:
        summary="<results>/summary.parquet",
        lifts="<results>/lifts.parquet",
    output:
        markdown="<results>/table.md",
        csv=report(
            "<results>/table.csv",
            caption="captions/table.rst",
            category="Tables",
            labels={"table": "results"},
        ),
    log:
        "<results>/table.log",
    benchmark:
        "<results>/table.tsv"
    params:
        **stage("table"),
    shell:
        "restem table"
        " --summary {input.summary:q}"
        " --lifts {input.lifts:q}"
        " --output {output.markdown:q} {output.csv:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
