-- grain: one file that was loaded; rows_read = rows_loaded + rows_rejected, rows_skipped are not records (steps, comments)
-- key: load_id
create table loads (
    load_id bigint not null,
    file varchar not null,
    path varchar not null,
    fingerprint varchar not null,
    bytes bigint not null,
    modified_ns bigint not null,
    format varchar not null,
    dataset varchar not null,
    rows_read bigint not null,
    rows_loaded bigint not null,
    rows_rejected bigint not null,
    rows_skipped bigint not null,
    status varchar not null,
    loaded_at timestamp not null
)
