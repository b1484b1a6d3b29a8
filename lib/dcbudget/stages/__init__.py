"""What each notebook tells: marts in, models over them, tables and charts out; one file a stage."""
