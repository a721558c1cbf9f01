"""Warm processes: jobs of a run on one machine start from a process that has imported packages.

Most of a small job is Python that starts and imports torch. A run of Snakemake on one machine
therefore keeps *warm processes*. They have imported the packages that jobs need, but nothing of
restem, and serve each job by a fork. The fork takes over the client's arguments, environment,
folder, search path and standard streams, and reads the code anew. So a job sees nothing of another
one, and writes the same bytes as one that starts cold. A client whose environment, limits or
namespaces differ in anything is served by another warm process.

The variable RESTEM_WARM names the folder of the run: `run.json` (see `run`) and one socket for each
warm process. Without it, as in a printed command that is pasted, every command starts cold. So it
does if anything goes wrong before the fork.
"""
