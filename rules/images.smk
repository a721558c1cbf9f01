"""images: the containers of the stages, named after their definition and their locks."""


rule build_image:
    """Build one container image, and record its content."""
    input:
        definition="containers/{image}.def",
        locks=locks_of_image,
    output:
        image="containers/{image}-{digest}.sif",
        record="containers/{image}-{digest}.json",
    log:
        "containers/{image}-{digest}.log",
    benchmark:
        "containers/{image}-{digest}.tsv"
    handover: True  # Apptainer's own build: local, in no container
    container:
        None
    resources:
        mem_mb=8000,  # without any, it would ask for all cores: a cluster's profile states none
    params:
        build=command_of_image,
    shell:
        "{params.build}" " 2>&1 | tee {log:q}"
