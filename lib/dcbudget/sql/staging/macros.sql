-- How text becomes values. Each returns null where the text is not such a value, so that the row can be rejected;
-- none of them rounds money or drops a zone. The session's time zone is UTC.

-- A decimal that has at most 12 decimals and few digits before them, or null. Through 64 bits DuckDB casts it some thirty
-- times faster than through the 128 that money and quantities are kept in. `e` is where its exponent begins, or 0.
create or replace macro to_short_decimal(v, e) as
    case
        when e = 0 and length(v) - strpos(v, '.') <= 12 then try_cast(v as decimal(18, 12))
        when e > 1 and if(contains(v, '.'), e - 1 - strpos(v, '.'), 0) + greatest(0, -try_cast(substr(v, e + 1) as int)) <= 12
            then try_cast(v as decimal(18, 12))
    end;

-- Money: 24 decimals, nothing rounded; an exponent is allowed where no digit is lost.
create or replace macro to_money(v) as
    case
        when length(v) <= 24 and not contains(v, 'e') and not contains(v, 'E') and not contains(v, '_')
            then coalesce(to_short_decimal(v, 0)::decimal(38, 24), try_cast(v as decimal(38, 24)))
        when regexp_full_match(trim(v), '[+-]?\d*\.?\d{0,24}0*')
            then try_cast(v as decimal(38, 24))
        when regexp_full_match(trim(v), '[+-]?\d*\.?\d*[eE][+-]?\d+')
            and length(rtrim(regexp_extract(v, '\.(\d*)', 1), '0')) <= 24 + try_cast(regexp_extract(v, '[eE](.+)', 1) as int)
            then coalesce(to_short_decimal(v, strpos(lower(v), 'e'))::decimal(38, 24), try_cast(v as decimal(38, 24)))
    end;

-- Quantities and unit prices: 18 decimals.
create or replace macro to_quantity(v) as
    case
        when contains(v, '_') then null
        else coalesce(to_short_decimal(v, strpos(lower(v), 'e'))::decimal(38, 18), try_cast(v as decimal(38, 18)))
    end;

create or replace macro to_double(v) as
    case when not contains(v, '_') and isfinite(try_cast(v as double)) then try_cast(v as double) end;

-- Whole numbers; DuckDB's own cast would round 1.7 to 2.
create or replace macro to_integer(v) as
    case
        when regexp_full_match(v, '[+-]?\d+') then try_cast(v as bigint)
        when to_double(v) = floor(to_double(v)) then try_cast(to_double(v) as bigint)
    end;

-- Times: with a zone they are moved to UTC (a plain cast to timestamp would drop the offset), without one they are
-- times of `zone`.
create or replace macro to_utc(v, zone) as
    case
        when length(v) < 10 or left(v, 4) not between '1900' and '2999' then null
        when length(v) > 16 and regexp_matches(v, '[+-]\d\d(:?\d\d){0,2}$')
            then timezone('UTC', try_cast(v as timestamptz))
        when zone <> 'UTC' and right(v, 1) <> 'Z' and right(v, 3) <> 'UTC' then timezone('UTC', timezone(zone, try_cast(v as timestamp)))
        else try_cast(v as timestamp)
    end;

-- Dates: midnight may stand behind one, any other time of day is not cut off; a month stands for its first day.
create or replace macro to_day(v) as
    case
        when regexp_full_match(v, '(19|2\d)\d\d-\d\d') then try_cast(v || '-01' as date)
        when left(v, 4) between '1900' and '2999' and regexp_matches(v, '^[\d/-]+([T ]00:00(:00(\.0+)?)?Z?)?$')
            then try_cast(left(v, 10) as date)
    end;

-- Slurm durations: [D-][HH:]MM:SS[.fff], or minutes alone; UNLIMITED and Partition_Limit are no durations.
create or replace macro slurm_seconds(v) as
    case
        when regexp_full_match(v, '\d+-\d{1,2}(:\d{1,2}){0,2}') then
            split_part(v, '-', 1)::double * 86400
            + coalesce(try_cast(split_part(split_part(v, '-', 2), ':', 1) as double), 0) * 3600
            + coalesce(try_cast(split_part(split_part(v, '-', 2), ':', 2) as double), 0) * 60
            + coalesce(try_cast(split_part(split_part(v, '-', 2), ':', 3) as double), 0)
        when regexp_full_match(v, '\d+:\d{1,2}:\d{1,2}(\.\d+)?') then
            split_part(v, ':', 1)::double * 3600 + split_part(v, ':', 2)::double * 60 + split_part(v, ':', 3)::double
        when regexp_full_match(v, '\d+:\d{1,2}(\.\d+)?') then
            split_part(v, ':', 1)::double * 60 + split_part(v, ':', 2)::double
        when regexp_full_match(v, '\d+') then v::double * 60
    end;

-- Slurm memory: 199G, 31000Mn, 4000Mc (per core), 62.50G; a bare number is megabytes. In gibibytes, per job.
create or replace macro slurm_gib(v, cpus, nodes) as
    try_cast(regexp_extract(v, '^([\d.]+)', 1) as double)
    * case upper(regexp_extract(v, '^[\d.]+([KMGTP]?)', 1))
        when 'K' then 1.0 / 1048576 when 'G' then 1 when 'T' then 1024 when 'P' then 1048576 else 1.0 / 1024 end
    * case regexp_extract(v, '([nc])$', 1) when 'c' then coalesce(cpus, 1) when 'n' then coalesce(nodes, 1) else 1 end;

-- One count out of a Slurm TRES list such as 'billing=8,cpu=8,gres/gpu:v100=1,gres/gpu=1,mem=50G'.
create or replace macro tres(v, name) as
    try_cast(nullif(regexp_extract(',' || v, ',' || name || '=([\d.]+)', 1), '') as double);

-- GPUs of a TRES list: the plain total where it stands, else the sum over kinds; a typed and a plain entry are one GPU.
create or replace macro tres_gpus(v) as
    coalesce(
        tres(v, 'gres/gpu'),
        list_sum(list_transform(regexp_extract_all(v, 'gres/gpu:[^=,]+=(\d+)', 1), lambda n: n::double)),
        0
    );

create or replace macro tres_gpu_model(v) as
    upper(nullif(regexp_extract(v, 'gres/gpu:([^=,]+)=', 1), ''));
