"""What the readers of the clouds' own billing exports share: FOCUS columns written as SQL over the export's fields.

A mapping is a dict from FOCUS column to SQL in which `[name]` stands for a field of the export: a decimal where the
format lists it among its amounts, a text otherwise. A field that a file lacks is null, so that one mapping serves
every edition of a format.
"""

import re
from collections.abc import Callable, Mapping

from dcbudget.ingest.focus import MONEY, QUANTITY, TIME
from dcbudget.ingest.plan import MACROS, Column, Options, Rule, ref
from dcbudget.quoting import literal

Find = Callable[[str], str | None]

# A row without one of these is no charge; EffectiveCost is null where an export does not tell it.
REQUIRED = (
    "BilledCost", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargePeriodEnd",
    "ChargePeriodStart",
)  # fmt: skip
_PLACE = re.compile(r"\[([A-Za-z][\w./:]*)\]")


def unique(header: list[str]) -> list[str]:
    """Names that differ in more than their case: legacy reports have tags `user:Team` and `user:team`."""
    seen: dict[str, int] = {}
    names = []
    for name in header:
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        names.append(name if seen[name.lower()] == 1 else f"{name} ({seen[name.lower()]})")
    return names


def fields_used(mapping: Mapping[str, str]) -> set[str]:
    """The fields that a mapping names."""
    return {name for sql in mapping.values() for name in _PLACE.findall(sql)}


def fill(sql: str, find: Find, amounts: frozenset[str] = frozenset()) -> str:
    """SQL with its `[name]` places filled."""

    def place(match: re.Match) -> str:
        found = find(match[1])
        if match[1] in amounts:
            return "null::decimal(38, 24)" if found is None else amount(found)
        return found or "null::varchar"

    return _PLACE.sub(place, sql)


def map_columns(
    mapping: Mapping[str, str], find: Find, amounts: frozenset[str], places: Mapping[str, str] | None = None
) -> dict[str, Column]:
    """The target columns of a mapping, of the kinds that FOCUS gives them; `places` are words for longer SQL."""
    columns = {}
    for name, text in mapping.items():
        sql = fill(text, find, amounts)
        for place, longer in (places or {}).items():
            sql = sql.replace(place, longer)
        kind = "typed" if name in MONEY else "quantity" if name in QUANTITY else "time" if name in TIME else "text"
        columns[name] = Column(sql, kind)
    return columns


def extra(
    header: list[str], columns: Mapping[str, Column], personal: tuple[str, ...] = (), keep: tuple[str, ...] = ()
) -> Column:
    """The filled fields that no column uses, or that are kept for all that; fields that name people are left out."""
    used = " ".join(column.sql for column in columns.values())
    left = [name for name in header if (name in keep or ref(name) not in used) and name.lower() not in personal]
    return Column(json_of({name: f"nullif({ref(name)}, '[]')" if name in keep else ref(name) for name in left}))


def charge_rules(options: Options, amounts: frozenset[str], find: Find) -> list[Rule]:
    """What a charge must keep beyond its types; that nothing is empty comes after what may have emptied it."""
    as_of = options.as_of.strftime("%Y-%m-%d")
    texts = {name: sql for name in sorted(amounts) if (sql := find(name)) is not None}
    return [
        *(Rule(name, f"({sql}) is not null and {amount(sql)} is null", f"not {MACROS['money'][1]}", sql)
          for name, sql in texts.items()),
        *(Rule(name, f"{name} is null", "is empty") for name in REQUIRED),
        Rule("ChargePeriodEnd", "ChargePeriodEnd < ChargePeriodStart", "the charge ends before it starts",
             "ChargePeriodEnd::varchar"),
        Rule("BillingPeriodEnd", "BillingPeriodEnd <= BillingPeriodStart", "the billing period ends before it starts",
             "BillingPeriodEnd::varchar"),
        Rule("ChargePeriodStart", f"ChargePeriodStart > timestamp {literal(as_of)} + interval 2 day",
             f"lies in the future (seen from {as_of})", "ChargePeriodStart::varchar"),
        Rule("BillingCurrency", "not regexp_full_match(BillingCurrency, '[A-Z]{3}')",
             "must be a currency code such as USD", "BillingCurrency"),
    ]  # fmt: skip


def category(field: str, categories: Mapping[str, tuple[str, ...]], otherwise: str = "'Other'") -> str:
    """SQL for a FOCUS service category, from lists of the services that belong to it."""
    branches = " ".join(
        f"when {field} in ({', '.join(literal(service) for service in services)}) then {literal(name)}"
        for name, services in categories.items()
    )
    return f"case {branches} else {otherwise} end"


def choose(field: str, choices: Mapping[str, tuple[str, ...]], otherwise: str = "null") -> str:
    """SQL that translates a field's words, whatever their case; an empty field gives null."""
    branches = " ".join(
        f"when lower({field}) in ({', '.join(literal(word.lower()) for word in words)}) then {literal(value)}"
        for value, words in choices.items()
    )
    return f"case when {field} is null then null {branches} else {otherwise} end"


def amount(text: str) -> str:
    """SQL for an amount as a decimal; what a floating-point number has beyond 24 decimals is rounded, nothing else."""
    floating = f"contains(upper({text}), 'E') and regexp_full_match({text}, '[+-]?\\d*\\.?\\d*(e|E)[+-]?\\d+')"
    return f"coalesce(to_money({text}), case when {floating} then try_cast({text} as decimal(38, 24)) end)"


def plus(*terms: str) -> str:
    """SQL for a sum of amounts in which an empty one counts nothing; null where all are empty."""
    total = " + ".join(f"coalesce({term}, 0::decimal(38, 24))" for term in terms)
    return f"case when coalesce({', '.join(terms)}) is not null then try({total}) end"


def json_of(pairs: Mapping[str, str]) -> str:
    """SQL for a JSON object of the filled ones among some texts, or null."""
    if not pairs:
        return "null::varchar"
    members = ", ".join(f"{literal(name)}, {sql}" for name, sql in pairs.items())
    some = ", ".join(pairs.values())
    return f"case when coalesce({some}) is not null then json_merge_patch('{{}}', json_object({members}))::varchar end"


def json_value(document: str, path: str) -> str:
    """SQL for a value inside a JSON text, as text; null where the text is no JSON."""
    steps = "".join(f'."{step}"' for step in path.split("."))
    return f"case when json_valid({document}) then json_extract_string({document}, {literal('$' + steps)}) end"


def json_object_of(document: str, rename: str = "key", leave_out: tuple[str, ...] = ()) -> str:
    """SQL for a JSON object with its keys renamed (SQL over `key`); a text that is none is kept as `x_unreadable`."""
    if rename == "key" and not leave_out:
        return _readable(document, "OBJECT", f"nullif(json({document})::varchar, '{{}}')")
    pairs = f"list_zip(json_keys({document}), json_extract({document}, '$.*'))"
    key = rename.replace("key", "p[1]")
    return _readable(document, "OBJECT", _members(pairs, key, "p[2]", leave_out))


def json_object_of_list(document: str) -> str:
    """SQL for a JSON object made of a list of {key, value}; a text that is none is kept as `x_unreadable`."""
    return _readable(document, "ARRAY", _members(_pairs(document), "p.key", "coalesce(p.value, '')", ()))


def json_list_value(document: str, key: str) -> str:
    """SQL for the value of a key in a list of {key, value}."""
    found = f"list_filter({_pairs(document)}, lambda p: p.key = {literal(key)})[1].value"
    return f"case when json_valid({document}) then case when json_type({document}) = 'ARRAY' then {found} end end"


def _pairs(document: str) -> str:
    pairs = f"try_cast(({document})::json as struct(key varchar, value varchar)[])"
    return f"list_filter({pairs}, lambda q: q.key is not null)"


def _members(pairs: str, key: str, value: str, leave_out: tuple[str, ...]) -> str:
    if leave_out:
        words = ", ".join(literal(word) for word in leave_out)
        pairs = f"list_filter({pairs}, lambda p: lower({key}) not in ({words}))"
    member = f"to_json({key})::varchar || ':' || to_json({value})::varchar"
    return f"nullif('{{' || array_to_string(list_transform({pairs}, lambda p: {member}), ',') || '}}', '{{}}')"


def _readable(document: str, kind: str, sql: str) -> str:
    return (
        f"case when {document} is null then null when json_valid({document}) then case json_type({document})"
        f" when {literal(kind)} then {sql} when 'NULL' then null"
        f" else json_object('x_unreadable', {document})::varchar end"
        f" else json_object('x_unreadable', {document})::varchar end"
    )
