"""People and machines under pseudonyms: keyed hashes, made before anything reaches the database.

A pseudonym is the first 16 hex digits of HMAC-SHA-256 (RFC 2104) of the kind and the name. The key lies in a file
beside the database, never in it. A rotation adds a key to the file and hashes every stored pseudonym once more, so
that what was published before cannot be joined with what is published after, while jobs loaded later still meet
those loaded earlier.
"""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import duckdb

from dcbudget import published, warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.quoting import literal

# table -> column -> kind of name.
PEOPLE = {
    "jobs": {"user_id": "u", "host": "h"},
    "run_metrics": {"host": "h"},
    "downtime": {"host": "h"},
}
# Users, hosts, and pods, which users name.
KINDS = ("u", "h", "p")
# Text that people write; it is not kept unless asked for.
FREE_TEXT = {"jobs": ("job_name",)}
KEY_BYTES = 32
DIGITS = 16
_PERSON = (
    r"owner|e-?mail|created[-_ ]?by|creator|contact|requester|requestor|login|author|assignee|person"
    r"|user(?:[-_ .]?(?:name|id|login))?"
)
# A key of a JSON object that names a person, in any case or as the last word of a camel-case name; `user:` before the
# key of an AWS tag does not.
PERSON_KEY = (
    rf'"(?:(?:[^"]*[^a-zA-Z"])?(?i:(?:{_PERSON})(?:[-_ .]?(?:name|id|e?mail))?)'
    r'|[^"]*[a-z](?:Owner|E?[Mm]ail|CreatedBy|Creator|Contact|Author|Login|UserName|UserId))"\s*:'
)


@dataclass(frozen=True)
class Pseudonyms:
    """The keys of one database, in the order in which they are applied."""

    keys: tuple[bytes, ...]

    @property
    def mark(self) -> str:
        """What tells the keys from others; they do not follow from it."""
        return hashlib.sha256(b"dcbudget" + b"".join(self.keys)).hexdigest()[:DIGITS]

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of a name."""
        for key in self.keys:
            name = hmac.new(key, f"{kind}:{name}".encode(), hashlib.sha256).hexdigest()[:DIGITS]
        return f"{kind}-{name}"

    def sql(self, kind: str, value: str) -> str:
        """SQL for the pseudonym of a text; null for null."""
        for key in self.keys:
            value = _hmac_sql(key, f"{literal(kind + ':')} || {value}")
        return f"{literal(kind + '-')} || {value}"


def pseudonyms(con: duckdb.DuckDBPyConnection, path: Path) -> Pseudonyms:
    """The pseudonyms of a database that is open for writing; the key file is made, for its owner alone, on first use.

    Raises
    ------
    DcbudgetError : the key file is missing, damaged, readable by others, or not the one of this database.
    """
    file = key_file(path)
    con.execute("create table if not exists landed.pseudonyms (mark varchar)")
    found = con.execute("select mark from landed.pseudonyms").fetchone()
    if found is None:
        made = _read(file) if file.exists() else _create(file)
        con.execute("insert into landed.pseudonyms values (?)", [made.mark])
        return made
    coming = file.with_name(file.name + ".new")
    if coming.exists() and _read(coming).mark == found[0]:
        coming.replace(file)  # a rotation that was cut off after it had changed the database
    if not file.exists():
        raise DcbudgetError(
            f"{file} is missing, the key of the pseudonyms in {path.name}; put it back, or load into a new database"
        )
    known = _read(file)
    if known.mark != found[0]:
        raise DcbudgetError(f"{file} is not the key that the pseudonyms in {path.name} were made with")
    return known


def key_file(path: Path) -> Path:
    """Where the key of a database is: `$DCBUDGET_PSEUDONYM_KEY_FILE`, else beside it with the ending .key."""
    named = os.environ.get("DCBUDGET_PSEUDONYM_KEY_FILE")
    return Path(named) if named else path.with_suffix(".key")


def define_macros(con: duckdb.DuckDBPyConnection, names: Pseudonyms) -> None:
    """Make two macros for this connection: `hide_people(json)`, in which the values of keys that name people become
    pseudonyms, and `under_pseudonym(kind, name)`."""
    by_kind = " ".join(f"when {literal(kind)} then {names.sql(kind, 'name')}" for kind in KINDS)
    con.execute(f"create or replace temp macro under_pseudonym(kind, name) as case kind {by_kind} end")
    value = "json_extract_string(doc, '$.' || to_json(k)::varchar)"
    covered = f"to_json({names.sql('u', value)})::varchar"
    is_person = f"regexp_matches(to_json(k)::varchar || ':', {literal(PERSON_KEY)})"
    con.execute(f"""
        create or replace temp macro hide_people(doc) as case
            when doc is null or not regexp_matches(doc, {literal(PERSON_KEY)}) then doc
            when json_valid(doc) and json_type(doc) = 'OBJECT' then json_merge_patch(doc, '{{' || array_to_string(
                list_transform(
                    list_filter(json_keys(doc), lambda k: {is_person} and {value} is not null),
                    lambda k: to_json(k)::varchar || ':' || {covered}), ',') || '}}')::varchar
        end""")


def cover(names: Pseudonyms, dataset: str, table: str) -> str:
    """SQL for a landing table's rows with pseudonyms in place of names; each name is hashed once."""
    columns = PEOPLE.get(dataset, {})
    if not columns:
        return f"select * exclude (x_reject) from {table}"
    joins = " ".join(
        f"left join (select name, {names.sql(kind, 'name')} as pseudonym from"
        f" (select distinct {column} as name from {table} where {column} is not null)) as of_{column}"
        f" on of_{column}.name = {table}.{column}"
        for column, kind in columns.items()
    )
    covered = ", ".join(f"of_{column}.pseudonym as {column}" for column in columns)
    return f"select {table}.* exclude (x_reject) replace ({covered}) from {table} {joins}"


def cover_rules(con: duckdb.DuckDBPyConnection, names: Pseudonyms, table: str) -> None:
    """Let rules about users meet pseudonyms; a pattern over names cannot, and is rejected."""
    tag_of_person = f"regexp_matches('\"' || field[5:] || '\":', {literal(PERSON_KEY)})"
    about_people = f"pattern <> '*' and (field = 'user' or (starts_with(field, 'tag:') and {tag_of_person}))"
    con.execute(f"""
        update {table} set x_reject = json_object('column', 'pattern', 'found', '', 'reason',
            'must be a whole name or *, because only pseudonyms of people are kept')::varchar
        where x_reject is null and {about_people} and regexp_matches(pattern, '[*?\\[]')""")
    con.execute(f"update {table} set pattern = {names.sql('u', 'pattern')} where x_reject is null and {about_people}")


def masked(text: str) -> str:
    """The shape of a text that could not be read: letters as x, digits as 9."""
    return "".join("x" if c.isalpha() else "9" if c.isdigit() else c for c in text)


def rotate(db: str | Path | None = None, wait_seconds: float = warehouse.WAIT_SECONDS) -> int:
    """Give every pseudonym of a database a new form, under one more key.

    Returns
    -------
    How many stored names changed.

    Raises
    ------
    DcbudgetError : see `pseudonyms`.
    """
    path = warehouse.database_path(db)
    if not path.exists():
        raise DcbudgetError(f"there is no database {path}")
    with warehouse.connect(path, write=True, wait_seconds=wait_seconds) as con:
        old = pseudonyms(con, path)
        new = Pseudonyms((*old.keys, secrets.token_bytes(KEY_BYTES)))
        coming = key_file(path).with_name(key_file(path).name + ".new")
        _write(coming, new)
        changed = 0
        con.execute("begin")
        for table, column in _stored(con):
            changed += _renew(con, table, column, new.keys[-1])
        con.execute("update landed.pseudonyms set mark = ?", [new.mark])
        published.show_live(con)
        con.execute("commit")
        published.keep(con)
        coming.replace(key_file(path))
    return changed


def _stored(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Every table and column that holds pseudonyms, alone or inside a longer text; rules hold them as patterns."""
    charges = con.execute(
        "select table_name from duckdb_tables() where schema_name = 'landed' and starts_with(table_name, 'charges_')"
    ).fetchall()
    return [
        *((table, column) for table, named in PEOPLE.items() for column in named),
        ("jobs", "job_id"),
        ("project_rules", "pattern"),
        *((f"landed.{table}", column) for (table,) in charges for column in ("Tags", "x_extra")),
    ]


def _renew(con: duckdb.DuckDBPyConnection, table: str, column: str, key: bytes) -> int:
    """Hash the pseudonyms in the texts of a column once more; returns how many rows changed."""
    form = re.compile(rf"\b([{''.join(KINDS)}])-([0-9a-f]{{{DIGITS}}})\b")

    def again(match: re.Match) -> str:
        digest = hmac.new(key, f"{match[1]}:{match[2]}".encode(), hashlib.sha256).hexdigest()
        return f"{match[1]}-{digest[:DIGITS]}"

    texts = con.execute(
        f"select distinct {column} from {table} where regexp_matches({column}, {literal(form.pattern)})"
    ).fetchall()
    if not texts:
        return 0
    con.execute("create or replace temp table renewed as select unnest(?) as old, unnest(?) as new",
                [[text for (text,) in texts], [form.sub(again, text) for (text,) in texts]])  # fmt: skip
    return con.execute(f"update {table} set {column} = new from renewed where {column} = old").fetchone()[0]


def _hmac_sql(key: bytes, text: str) -> str:
    """SQL for the first digits of HMAC-SHA-256: H(key ^ opad || H(key ^ ipad || text)), RFC 2104."""
    inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\0")).hex() for pad in (0x36, 0x5C))
    return f"left(sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || encode({text})))), {DIGITS})"


def _create(file: Path) -> Pseudonyms:
    made = Pseudonyms((secrets.token_bytes(KEY_BYTES),))
    _write(file, made)
    return made


def _write(file: Path, names: Pseudonyms) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write("".join(key.hex() + "\n" for key in names.keys))
    except OSError as error:
        raise DcbudgetError(f"{file} cannot be written: {error.strerror}") from None


def _read(file: Path) -> Pseudonyms:
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise DcbudgetError(f"{file} is a key that others may read; make it yours alone (chmod 600 {file.name})")
    try:
        keys = tuple(bytes.fromhex(line) for line in file.read_text(encoding="ascii").split())
    except (ValueError, OSError):
        keys = ()
    if not keys or any(len(key) < KEY_BYTES for key in keys):
        raise DcbudgetError(f"{file} is no key of pseudonyms")
    return Pseudonyms(keys)
