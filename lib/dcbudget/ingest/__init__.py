"""What comes in: one file a format, over one landing that counts, types and rejects."""

from dcbudget.ingest import (
    aws_cur,
    azure,
    ecb,
    focus,
    gcp,
    gpu_trace,
    kubernetes,
    layouts,
    oci,
    opencost,
    sacct,
    sacct_json,
    swf,
)

# In the order in which a file is tried.
READERS = (
    focus.READER,
    aws_cur.READER,
    azure.READER,
    gcp.READER,
    oci.READER,
    *opencost.READERS,
    *layouts.READERS,
    ecb.READER,
    *kubernetes.READERS,
    gpu_trace.READER,
    swf.READER,
    sacct.READER,
    sacct_json.READER,
)
