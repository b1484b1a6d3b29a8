-- grain: one result that took long to compute; its rows are the table kept.<name>_<key>
-- key: name, key
-- number counts up as results are kept; parameters is JSON, for people
create table results (
    name varchar not null,
    key varchar not null,
    number bigint not null,
    parameters varchar
)
