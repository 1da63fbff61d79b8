"""One job, done by rsmtl and by what its users would take instead, each side in processes of its own.

The module of a side has `prepared(job)`, a context that loads what there is to load and yields what does the job. It
returns when both maps were on the disk, by `perf_counter`, or nothing if they are all it makes.
"""
