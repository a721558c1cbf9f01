"""Where a stage runs: environments, container images, jobs on a cluster."""
