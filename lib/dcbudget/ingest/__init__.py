"""What comes in: one file a format, over one landing that counts, types and rejects."""

from dcbudget.ingest import focus, gpu_trace, layouts, sacct, swf

# In the order in which a file is tried.
READERS = (focus.READER, *layouts.READERS, gpu_trace.READER, swf.READER, sacct.READER)
