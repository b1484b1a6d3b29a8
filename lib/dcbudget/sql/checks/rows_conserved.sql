-- Every row that was read is loaded or rejected.
select load_id, file, rows_read, rows_loaded, rows_rejected from loads where rows_read <> rows_loaded + rows_rejected
