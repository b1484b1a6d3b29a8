-- grain: one rule; within one target (`assign`) the first rule that matches, by x_source_row, decides
-- key: assign, field, pattern
create table project_rules (
    assign varchar not null,
    field varchar not null,
    pattern varchar not null,
    value varchar not null,
    x_load_id bigint,
    x_source_row bigint
)
