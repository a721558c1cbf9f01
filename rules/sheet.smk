"""sheet: what a human grades, and the verdicts that follow from the points."""


rule write_sheet:
    """Write the sheet of completions that a human grades."""
    input:
        samples=shards_of("samples"),
        problems="<results>/{on}/problems/{split}.parquet",
    output:
        sheet="<by_hand>/sheet.csv",
    log:
        "<draws>/sheet.log",
    benchmark:
        "<draws>/sheet.tsv"
    params:
        **stage("sheet", nothing, "write_sheet"),
    shell:
        "restem sheet"
        " --samples {input.samples:q}"
        " --problems {input.problems:q}"
        " --output {output.sheet:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"


rule read_points:
    """Turn the points of a filled sheet into the verdicts of one shard."""
    input:
        sheet=filled_sheet,
        samples=shards_of("samples"),
        problems="<results>/{on}/problems/{split}.parquet",
    output:
        rewards="<by_hand>/rewards/{shard}.parquet",
    log:
        "<draws>/rewards/{shard}.log",
    benchmark:
        "<draws>/rewards/{shard}.tsv"
    params:
        **stage("points", nothing, "read_points"),
    shell:
        "restem points"
        " --sheet {input.sheet:q}"
        " --samples {input.samples:q}"
        " --problems {input.problems:q}"
        " --shard {wildcards.shard}"
        " --output {output.rewards:q}"
        " --settings {params.settings:q}"
        " --code {params.code} --environment {params.environment}"
        " 2>&1 | tee {log:q}"
