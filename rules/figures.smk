"""figures: everything that a reader looks at, from the summary alone."""


rule draw_figure:
    """Draw one figure in three formats."""
    input:
        summary="<results>/summary.parquet",
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
        **stage("figure", figure_slice, "draw_figure"),
    shell:
        "restem figure"
        " --summary {input.summary:q}"
        " --output {output.pdf:q} {output.svg:q} {output.png:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule draw_plot:
    """Draw one figure of an experiment in three formats."""
    input:
        estimates=estimates_of_plot,
    output:
        pdf="<results>/paper/{plot}.pdf",
        svg="<results>/paper/{plot}.svg",
        png=report(
            "<results>/paper/{plot}.png",
            caption="captions/plot.rst",
            category="Paper",
            labels={"figure": "{plot}"},
        ),
    log:
        "<results>/paper/{plot}.log",
    benchmark:
        "<results>/paper/{plot}.tsv"
    params:
        **stage("plot", plot_slice, "draw_plot"),
    shell:
        "restem plot"
        " --estimates {input.estimates:q}"
        " --output {output.pdf:q} {output.svg:q} {output.png:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule write_methods:
    """Write the table of methods by property, from the presets themselves."""
    output:
        markdown="<results>/paper/T1.md",
    log:
        "<results>/paper/T1.log",
    benchmark:
        "<results>/paper/T1.tsv"
    params:
        **stage("methods", methods_slice, "write_methods"),
    shell:
        "restem methods"
        " --output {output.markdown:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule write_page:
    """Write the page that shows figures, claims and costs; it needs no server."""
    input:
        figures=all_plots(),
        claims="<results>/claims.parquet",
        ledger="<results>/ledger.parquet",
        methods="<results>/paper/T1.md",
    output:
        page="<results>/index.html",
    log:
        "<results>/index.log",
    benchmark:
        "<results>/index.tsv"
    params:
        **stage("page", page_slice, "write_page"),
    shell:
        "restem page"
        " --figures {input.figures:q}"
        " --claims {input.claims:q}"
        " --ledger {input.ledger:q}"
        " --methods {input.methods:q}"
        " --output {output.page:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule write_table:
    """Write the table of results for people, for LaTeX-free papers and for spreadsheets."""
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
        **stage("table", table_slice, "write_table"),
    shell:
        "restem table"
        " --summary {input.summary:q}"
        " --lifts {input.lifts:q}"
        " --output {output.markdown:q} {output.csv:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
