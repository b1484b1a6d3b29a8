-- grain: one column of a loaded file, in its order; first_value is text as it stands in the file, of times and amounts
-- key: load_id, position
create table load_columns (
    load_id bigint not null,
    position integer not null,
    column_name varchar not null,
    first_value varchar
)
