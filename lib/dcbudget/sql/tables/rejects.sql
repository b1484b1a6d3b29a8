-- grain: one source row that was not loaded, and why; line counts from 1, the header included
-- key: load_id, line
create table rejects (
    load_id bigint not null,
    file varchar not null,
    line bigint not null,
    column_name varchar,
    found varchar,
    reason varchar not null,
    currency varchar,
    cost decimal(38, 24),
    source_row varchar
)
