"""What comes in: one file a format, over one landing that counts, types and rejects."""

from dcbudget.ingest import (
    aws_cur,
    azure,
    cloud_gpus,
    contract_commitments,
    focus,
    gcp,
    gpu_trace,
    layouts,
    oci,
    sacct,
    swf,
)

# In the order in which a file is tried.
READERS = (
    focus.READER,
    contract_commitments.READER,
    aws_cur.READER,
    azure.READER,
    gcp.READER,
    oci.READER,
    *layouts.READERS,
    cloud_gpus.READER,
    gpu_trace.READER,
    swf.READER,
    sacct.READER,
)
