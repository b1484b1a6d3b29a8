"""What comes in: one file a format, over one landing that counts, types and rejects."""

from dcbudget.ingest import (
    aws_cur,
    azure,
    codecarbon,
    ecb,
    focus,
    gcp,
    gpu_trace,
    layouts,
    metrics,
    mlflow,
    mllog,
    oci,
    sacct,
    serving,
    swf,
    tensorboard,
    trainer_state,
)  # fmt: skip

# In the order in which a file is tried.
READERS = (
    focus.READER,
    aws_cur.READER,
    azure.READER,
    gcp.READER,
    oci.READER,
    *layouts.READERS,
    ecb.READER,
    gpu_trace.READER,
    swf.READER,
    sacct.READER,
    mllog.READER,
    trainer_state.READER,
    tensorboard.READER,
    *mlflow.READERS,
    codecarbon.READER,
    *serving.READERS,
    *metrics.READERS,
)
