#!/usr/bin/env bash
# What tests/cluster needs on a bare Debian 12, as root. No service is started.
set -euo pipefail

for program in munged slurmctld slurmd sbatch; do
    command -v "$program" >/dev/null && continue
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
    fi
    apt-get update --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
        munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins
    break
done
