-- How text becomes values, and the arithmetic that views share. Of the former each returns null where the text is not such a value, so that the row can be rejected;
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

-- What an instrument or a trainer measured: a loss that diverged is NaN or Infinity, and that is what it says.
create or replace macro to_measure(v) as
    case when not contains(v, '_') then try_cast(v as double) end;

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

-- The first host of a Slurm node list, short and in lower case: node[003-010,12] is node003.
create or replace macro first_node(v) as
    nullif(lower(split_part(split_part(
        case when contains(v, '[') then regexp_replace(v, '\[([^\],-]+)[^\]]*\]', '\1', 'g') else v end, ',', 1), '.', 1)), '');

-- The part of a card that a MIG profile such as 1g.10gb is: its compute slices of the card's 7, of an A30's or an RTX
-- PRO 6000's 4; a compute instance 1c.3g.20gb is one slice. null where the name holds no profile.
-- source: NVIDIA Multi-Instance GPU User Guide, Supported MIG Profiles, docs.nvidia.com/datacenter/tesla/mig-user-guide
create or replace macro mig_profile(v) as
    nullif(regexp_extract(lower(v), '(?:^|[^a-z0-9])((?:\d+c\.)?\d+g\.\d+gb(?:[+.]\w+)*)$', 1), '');
create or replace macro mig_part(v) as
    regexp_extract(mig_profile(v), '^(\d+)[cg]', 1)::double
    / case
        when regexp_matches(upper(v), '(^|[^A-Z0-9])(A30|RTX[ _-]?PRO)') or regexp_matches(mig_profile(v), '(1g\.6|2g\.12|4g\.24)gb')
            then 4
        else 7
    end;

-- One name for a model, however drivers, clusters and clouds write it: NVIDIA A100-SXM4-80GB, a100_1g.10gb and
-- nvidia-a100-80gb are A100, as the bill has it; sizes of memory and forms of a card are no models. A name that is not
-- known stays, in upper case and without its vendor. GH100 is the chip of the H100.
create or replace macro accelerator_words(v) as
    trim(regexp_replace(
        regexp_replace(
            regexp_replace(upper(v), '(^|[^A-Z0-9])(MIG-)?(\d+C\.)?\d+G\.\d+GB([+.]\w+)*$', ''), '[^A-Z0-9]+', ' ', 'g'),
        '\b(NVIDIA( COM)?|TESLA|GEFORCE|QUADRO|AMD|INSTINCT|INTEL|HABANA|GOOGLE|CLOUD|AWS|XILINX|ALVEO|GPU) ?\b', '', 'g'));
create or replace macro accelerator_pattern() as
    '\b(GB[23]00|GH200|[BH][123]00|H800|H20|A[18]00|A40|A30|A16|A10G|A10|A2|L40S|L40|L4|L20|T4G|T4|V100|P100|P40|P4|K80|M60|MI\d{3}[AXP]?)(L|S|X|M\d+)?(SXM\d?|PCIE|NVL)?(\d+GB?)?\b';
create or replace macro accelerator_model(v) as
    nullif(case
        when upper(v) in ('A100', 'H100', 'H200', 'B200', 'V100', 'T4', 'L4', 'L40S', 'A10G') then upper(v)
        when regexp_matches(accelerator_words(v), '\bGH100\b') then 'H100'
        when regexp_matches(accelerator_words(v), accelerator_pattern())
            then regexp_extract(accelerator_words(v), accelerator_pattern(), 1)
        when regexp_matches(accelerator_words(v), '\bRTX ?PRO ?6000') then 'RTX PRO 6000'
        when regexp_matches(accelerator_words(v), '(\b|RTX)6000 ?ADA') then 'RTX 6000 ADA'
        when regexp_matches(accelerator_words(v), '^(RTX ?)?A[456][05]00$')
            then 'RTX ' || regexp_extract(accelerator_words(v), 'A\d{4}')
        when regexp_matches(accelerator_words(v), '\b[GR]TX ?\d{4}')
            then trim(regexp_replace(accelerator_words(v), '^.*\b([GR]TX) ?(\d{4}) ?(TI|SUPER)?.*$', '\1 \2 \3'))
        when regexp_matches(accelerator_words(v), '^(TPU ?)?V5 ?(E|LITE)') then 'TPU V5E'
        when regexp_matches(accelerator_words(v), '^TPU ?V\d')
            then 'TPU ' || regexp_extract(accelerator_words(v), 'V\d+[EP]?')
        when regexp_matches(accelerator_words(v), '^(GAUDI|TRAINIUM|INFERENTIA) ?\d?\b')
            then rtrim(regexp_replace(accelerator_words(v), '^(GAUDI|TRAINIUM|INFERENTIA) ?(\d?).*$', '\1\2'), '1')
        when regexp_matches(accelerator_words(v), '^U\d{2,3}[A-Z]?$') then 'ALVEO ' || accelerator_words(v)
        else accelerator_words(v)
    end, '');

-- GPUs of a TRES list. A typed and a plain entry are one GPU; where typed entries are slices of a card, which the plain
-- total counts as if they were cards, each is the part of a card that it is. What part of a GPU a gres/shard is,
-- stands in the cluster's configuration and in no log: shards count as no GPU.
-- source: slurm.schedmd.com/gres.html
create or replace macro tres_gpu_kinds(v) as
    list_transform(
        regexp_extract_all(v, 'gres/gpu:[^=,]+=\d+'),
        lambda e: {'name': regexp_extract(e, 'gpu:([^=]+)=', 1), 'n': regexp_extract(e, '=(\d+)$', 1)::double});
create or replace macro tres_gpus(v) as
    case
        when not contains(v, 'gres/gpu') then 0
        when contains(lower(v), 'gb') and len(list_filter(tres_gpu_kinds(v), lambda k: mig_profile(k.name) is not null)) > 0 then
            list_sum(list_transform(tres_gpu_kinds(v), lambda k: coalesce(k.n * mig_part(k.name), 0)))
            + greatest(
                coalesce(
                    tres(v, 'gres/gpu')
                    - list_sum(list_transform(tres_gpu_kinds(v), lambda k: case when mig_profile(k.name) is null then 0 else k.n end)),
                    0),
                list_sum(list_transform(tres_gpu_kinds(v), lambda k: case when mig_profile(k.name) is null then k.n else 0 end)))
        else coalesce(tres(v, 'gres/gpu'), list_sum(list_transform(tres_gpu_kinds(v), lambda k: k.n)), 0)
    end;

create or replace macro tres_gpu_model(v) as
    accelerator_model(nullif(regexp_extract(v, 'gres/gpu:([^=,]+)=', 1), ''));

-- The slices of cards in a TRES list by name, such as 1g.10gb or 1g.5gb+2g.10gb; shard where GPUs are shared.
create or replace macro tres_gpu_slice(v) as
    case
        when contains(lower(v), 'gb=') or contains(lower(v), 'gb+') or contains(lower(v), 'gb.') then
            nullif(array_to_string(list_sort(list_distinct(list_filter(
                list_transform(tres_gpu_kinds(v), lambda k: mig_profile(k.name)), lambda s: s is not null))), '+'), '')
        when regexp_matches(v, 'gres/shard(:[^=,]+)?=[1-9]') then 'shard'
    end;

-- A number of money in whole cents.
create or replace macro cents(v) as v::decimal(18, 2)::decimal(38, 24);

-- Depreciation of `cost` down to `residual` after n months in service: straight-line where `rate` is null, else a monthly
-- rate on the book value at the month's start, never below the residual, and straight-line from the month on in which
-- that writes down more (`switch_month`). It is what spreadsheets call VDB, with months as periods
-- (https://learn.microsoft.com/office/vba/api/excel.worksheetfunction.vdb). In whole cents, and at the end of the life
-- what it must be to the last digit.
create or replace macro switch_month(cost, residual, rate, life) as
    case when rate is not null then coalesce(list_filter(range(life),
        lambda n: cost::double * pow(1 - rate, n) * (1 - rate * (life - n)) >= residual::double)[1], life) end;

create or replace macro book_value(cost, residual, rate, n) as
    greatest(cost::double * pow(1 - rate, n), residual::double);

create or replace macro depreciated(cost, residual, rate, switch, life, n) as
    case
        when n <= 0 then 0
        when n >= life then cost - residual
        when rate is null then cents((cost - residual)::double * n / life)
        when n <= switch then cents(cost::double - book_value(cost, residual, rate, n))
        else cents((cost - residual)::double
            - (book_value(cost, residual, rate, switch) - residual::double) * (life - n) / (life - switch))
    end;
