"""figures: everything that a reader looks at, from the summary alone."""


rule draw_figure:
    """Draw one figure in three formats."""
    input:
        summary="<results>/summary.parquet",
    output:
        pdf="<results>/figures/{figure}.pdf",
        svg="<results>/figures/{figure}.svg",
        png="<results>/figures/{figure}.png",
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


rule write_table:
    """Write the table of results for people, for LaTeX-free papers and for spreadsheets."""
    input:
        summary="<results>/summary.parquet",
        lifts="<results>/lifts.parquet",
    output:
        markdown="<results>/table.md",
        csv="<results>/table.csv",
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
