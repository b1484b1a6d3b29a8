"""Damages a seed file of every reader in many ways: nothing may crash, get lost, be half loaded or harm a neighbour.

A seed is a file under `tests/seeds`; where real inputs are given, their first lines are seeds too. Each case is loaded
into an emptied database and judged there: rows and money that were read are loaded or rejected, a file that failed
left nothing, and where only some lines were touched all other lines are loaded as they were from the seed. That is
claimed of tables and of JSON lines, not of whole documents, binary files and logs whose lines tell of one another.
"""

import argparse
import csv
import gzip
import io
import json
import random
import sys
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import duckdb

from dcbudget import warehouse
from dcbudget.errors import DcbudgetError
from dcbudget.ingest import READERS
from dcbudget.ingest.load import FileResult, load, recognise
from dcbudget.ingest.plan import Dialect, Options
from dcbudget.ingest.source import open_source

SEEDS = Path(__file__).resolve().parents[1] / "seeds"
OPTIONS = Options(prices_from=date(2026, 5, 1))
# Files of the real inputs that load as they are, by pattern.
REAL = ("billing/*.csv", "prices/cloud-gpus.csv", "jobs/philly.csv")
REAL_LINES = 25
CELLS = (
    "", " ", "x", "NULL", "nan", "inf", "-0", "+1", "1e400", "-1e-30", "1E5", "1_000", "1,5", "12.5.3", "0x10", "$5",
    "9" * 13, "9" * 40, "0." + "1" * 40, "-99999999999999", "{", "[]", "[1]", '{"a":', "[{}]", '{"a": {"b": 1}}',
    '[{"amount": "x"}]', "'", '"', '""', "true", "2026-13-45", "13/45/2023", "0001-01-01", "9999-12-31T23:59:59Z",
    "2026-05-01T00:00:00+25:00", "1-00:00:00", "UNLIMITED", "CANCELLED by 7", "1.batch", "a\nb", "a\r\nb", "\t", "\\",
    "\x00", "\u202e", "é", "漢", "usd", "USD", "; --", "x" * 5000,
)  # fmt: skip
BYTES = (b'"', b"'", b",", b";", b"|", b"\t", b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"\xc3", b"\xe2\x82", b"{", b"}",
         b"\\", b"  ", b"\xef\xbb\xbf", b'""', b'",', b',"')  # fmt: skip
# Values of a JSON member, beside the texts above.
VALUES = (None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**30, 1e308, float("nan"), float("inf"), "", [], {}, [1],
          [[]], [None], {"a": 1}, {"a": {"b": []}}, ["x"])  # fmt: skip
# A log whose lines tell of one another: a run's name and steps follow from entries anywhere in it.
ENTANGLED = ("mllog", "mlruns_run")
# A record that another took the key of, or that stands by what another says, as those of one tariff do.
BY_ANOTHER = r"the same .*|differs from line .*|.* is loaded already .*"
# Checks of the database that hold after every load.
CHECKS = ("charges_match_loads", "money_conserved", "rejects_counted", "rows_conserved")
# What DuckDB says where SQL that was made for a file is wrong, whatever the file holds.
FAULTS = ("INTERNAL", "Binder Error", "Parser Error", "Catalog Error", "Conversion Error", "Invalid Input Error")


@dataclass(frozen=True)
class Seed:
    """A file, the name of its reader, how its lines are written, and the lines (from 0) that hold its records.

    Without lines, as of a nested document, nothing is claimed of neighbours. A line whose record went into that of
    another (a further hour of a pod) is no line of a record; the first of JSON lines, by which they are known, is none.
    `kind` is table, lines (of JSON), document (one JSON text), text or binary.
    """

    reader: str
    name: str
    content: bytes
    dialect: Dialect
    records: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class Case:
    """A damaged file; `touched` are the lines of records (from 1) that were damaged, or None where all may be."""

    content: bytes
    touched: frozenset[int] | None
    what: str


def seeds(real: Path | None = None) -> list[Seed]:
    """A seed of every file in the folder of seeds, and of the real inputs."""
    files = sorted(path for path in SEEDS.rglob("*") if path.is_file())
    found = [(path.relative_to(SEEDS), path.read_bytes()) for path in files]
    for pattern in REAL if real else ():
        for path in sorted(real.glob(pattern)):
            lines = path.read_bytes().splitlines(keepends=True)
            found.append((Path(path.name), b"".join(lines[:REAL_LINES])))
    with tempfile.TemporaryDirectory(prefix="dcbudget-") as folder:
        paths = [Path(folder) / str(number) / name for number, (name, _) in enumerate(found)]
        for path, (_, content) in zip(paths, found, strict=True):
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
        return [_seed(path, *seed, lines) for path, seed, lines in zip(paths, found, _record_lines(paths), strict=True)]


def _record_lines(paths: list[Path]) -> list[list[int]]:
    """The numbers of the records of each file, from 1."""
    results: list[FileResult] = []
    lines: list[list[int]] = []

    def look(con: duckdb.DuckDBPyConnection) -> None:
        if results and results[-1].status != "loaded":
            raise ValueError(f"{results[-1].path.name}: {results[-1].message}")
        if results:
            dataset = con.execute("select dataset from loads").fetchone()[0]
            rows = con.execute(f"select distinct x_source_row from {_table(dataset, 1)} order by 1").fetchall()
            lines.append([row for (row,) in rows])
        _wipe(con)

    with tempfile.TemporaryDirectory(prefix="dcbudget-") as folder:
        load([*paths, Path(folder) / "none"], _blank(Path(folder) / "seeds.duckdb"), options=OPTIONS,
             on_start=lambda path, con: look(con), on_result=results.append)  # fmt: skip
    return lines


def _seed(path: Path, name: Path, content: bytes, lines: list[int]) -> Seed:
    source = open_source(path)
    reader = recognise(source)
    plan = reader.plan(source, OPTIONS)
    kind = _kind(source.kind, content, reader.name)
    records = [line - 1 for line in lines] if kind in ("table", "lines") else []
    if kind == "lines":
        records = records[1:]
    # one metric of an mlruns folder: `timestamp value step`
    dialect = Dialect(" ", header=False, quoted=False) if reader.name == "mlruns_metric" else plan.dialect
    return Seed(reader.name, name.as_posix(), content, dialect, tuple(records), kind)


def _kind(source: str, content: bytes, reader: str) -> str:
    if source != "text" or b"\x00" in content:
        return "binary"
    if reader in ENTANGLED:
        return "text"
    if not content.lstrip().startswith((b"{", b"[")):
        return "table"
    return "lines" if all(_member(line) is not None for line in content.splitlines()) else "document"


def _member(line: bytes) -> dict | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def damage(seed: Seed, draw: random.Random) -> Case:
    """One of many ways to damage a file."""
    if seed.kind == "binary":
        ways = [_truncated, _spliced, _bits, _bits, _bits, _compressed]
    else:
        ways = [_truncated, _spliced, _recoded, _compressed, _header_changed, _blank_lines]
    if seed.kind == "document":
        ways += [_document] * 6
    elif seed.kind == "lines":
        ways += [_members] * 5 + [_noise]
    elif seed.records:
        ways = [_cells, _cells, _cells, _cells, _swapped, _delimiters, _noise, *ways]
    return draw.choice(ways)(seed, draw)


def _lines(seed: Seed) -> list[bytes]:
    return seed.content.splitlines(keepends=True)


def _changed(seed: Seed, lines: list[bytes], touched: set[int], what: str) -> Case:
    """The file with some lines of records changed; where their number changed nothing is claimed."""
    same = all(line.count(b"\n") <= 1 and b"\r" not in line.rstrip(b"\r\n") for line in lines)
    return Case(b"".join(lines), frozenset(at + 1 for at in touched) if same else None, what)


def _cells(seed: Seed, draw: random.Random) -> Case:
    lines, touched = _lines(seed), set()
    for at in draw.sample(seed.records, min(draw.choice((1, 1, 2, 3)), len(seed.records))):
        row = _split(seed, lines[at])
        row[draw.randrange(len(row))] = draw.choice(CELLS)
        lines[at] = _joined(seed, row)
        touched.add(at)
    return _changed(seed, lines, touched, "cells")


def _swapped(seed: Seed, draw: random.Random) -> Case:
    lines, at = _lines(seed), draw.choice(seed.records)
    row = _split(seed, lines[at])
    one, two = draw.randrange(len(row)), draw.randrange(len(row))
    row[one], row[two] = row[two], row[one]
    lines[at] = _joined(seed, row)
    return _changed(seed, lines, {at}, "columns swapped")


def _delimiters(seed: Seed, draw: random.Random) -> Case:
    """A delimiter more or fewer."""
    lines, at = _lines(seed), draw.choice(seed.records)
    row = _split(seed, lines[at])
    place = draw.randrange(len(row))
    row[place : place + 1] = [] if draw.random() < 0.5 and len(row) > 1 else [row[place], "x"]
    lines[at] = _joined(seed, row)
    return _changed(seed, lines, {at}, "a delimiter")


def _noise(seed: Seed, draw: random.Random) -> Case:
    """Bytes within one line of a record."""
    lines, at = _lines(seed), draw.choice(seed.records)
    text = lines[at].rstrip(b"\r\n")
    place, noise = draw.randrange(len(text) + 1), draw.choice([n for n in BYTES if b"\n" not in n and b"\r" not in n])
    lines[at] = text[:place] + noise + text[place + draw.randrange(2) :] + b"\n"
    return _changed(seed, lines, {at}, f"{noise!r} in a line")


def _members(seed: Seed, draw: random.Random) -> Case:
    """Values of JSON lines."""
    lines, touched = _lines(seed), set()
    for at in draw.sample(seed.records, min(draw.choice((1, 1, 2, 3)), len(seed.records))):
        lines[at] = json.dumps(_one_changed(json.loads(lines[at]), draw)).encode() + b"\n"
        touched.add(at)
    return _changed(seed, lines, touched, "members")


def _document(seed: Seed, draw: random.Random) -> Case:
    document = json.loads(seed.content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        document = _one_changed(document, draw)
    return Case(json.dumps(document, indent=1).encode(), None, "members")


def _one_changed(value, draw: random.Random):
    """A JSON value with one of the values inside it, at any depth, changed, taken away or called otherwise."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.05:
        return deepcopy(draw.choice(VALUES)) if draw.random() < 0.5 else draw.choice(CELLS)
    if isinstance(value, list):
        at = draw.randrange(len(value))
        value[at] = _one_changed(value[at], draw)
        return value
    name = draw.choice(list(value))
    told = value.pop(name)
    way = draw.random()
    if way < 0.8:
        return {**value, name: _one_changed(told, draw)}
    return value if way < 0.9 else {**value, draw.choice(CELLS): told}


def _bits(seed: Seed, draw: random.Random) -> Case:
    """A few bytes of a binary file become others."""
    content = bytearray(seed.content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(content))
        content[at] = draw.choice((content[at] ^ 1 << draw.randrange(8), draw.randrange(256), 0, 255))
    return Case(bytes(content), None, "bits")


def _truncated(seed: Seed, draw: random.Random) -> Case:
    return Case(seed.content[: draw.randrange(1, len(seed.content))], None, "truncated")


def _spliced(seed: Seed, draw: random.Random) -> Case:
    content = seed.content
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(content))
        content = content[:at] + draw.choice(BYTES) + content[at + draw.randrange(3) :]
    return Case(content, None, "spliced")


def _recoded(seed: Seed, draw: random.Random) -> Case:
    text = seed.content.decode("utf-8-sig")
    written = draw.choice(("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "crlf", "cr"))
    if written in ("crlf", "cr"):
        text = text.replace("\r\n", "\n").replace("\n", "\r\n" if written == "crlf" else "\r")
        return Case(text.encode(), None, written)
    content = text.encode(written, "replace")
    return Case(content if draw.random() < 0.6 else content[: draw.randrange(1, len(content))], None, written)


def _compressed(seed: Seed, draw: random.Random) -> Case:
    packed = bytearray(gzip.compress(seed.content))
    if draw.random() < 0.5:
        packed = packed[: draw.randrange(1, len(packed))]
    elif draw.random() < 0.8:
        packed[draw.randrange(len(packed))] ^= 1 << draw.randrange(8)
    return Case(bytes(packed), None, "compressed")


def _header_changed(seed: Seed, draw: random.Random) -> Case:
    lines = _lines(seed)
    row = _split(seed, lines[0])
    at = draw.randrange(len(row))
    row[at] = draw.choice((draw.choice(row), row[at].upper(), row[at] + "x", "", draw.choice(CELLS)))
    lines[0] = _joined(seed, row)
    return Case(b"".join(lines), None, f"header {row[at][:30]!r}")


def _blank_lines(seed: Seed, draw: random.Random) -> Case:
    lines = _lines(seed)
    for _ in range(draw.randrange(1, 4)):
        lines.insert(draw.randrange(1, len(lines) + 1), draw.choice((b"\n", b"\r\n", b" \n", b",,,\n", lines[-1])))
    return Case(b"".join(lines), None, "more lines")


def _split(seed: Seed, line: bytes) -> list[str]:
    text = line.decode("utf-8-sig", "replace").rstrip("\r\n")
    if not seed.dialect.quoted:
        return text.split(seed.dialect.delimiter)
    return next(csv.reader([text], delimiter=seed.dialect.delimiter), [""])


def _joined(seed: Seed, row: list[str]) -> bytes:
    if not seed.dialect.quoted:
        return seed.dialect.delimiter.join(row).encode() + b"\n"
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=seed.dialect.delimiter, lineterminator="\n").writerow(row)
    return out.getvalue().encode()


def run(seed: Seed, cases: int, folder: Path, random_seed: int = 0) -> list[str]:
    """Load a seed and that many damaged ones of it; return what is wrong, a line each."""
    draw = random.Random(f"{random_seed} {seed.name}")
    drawn = [damage(seed, draw) for _ in range(cases)]
    paths = []
    for number, content in enumerate([seed.content, *(case.content for case in drawn)]):
        path = folder / f"{number:05}" / seed.name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        paths.append(path)
    dataset = next(reader.dataset for reader in READERS if reader.name == seed.reader)
    wrong: list[str] = []
    results: list[FileResult] = []

    def judge(con: duckdb.DuckDBPyConnection) -> None:
        """Look at what the last file left, and wipe it off."""
        if len(results) == 1:
            con.execute(f"create or replace temp table base as select * from {_table(dataset, 1)}")
        elif results:
            case = drawn[len(results) - 2]
            faults = _faults(con, seed, dataset, case, results[-1])
            wrong.extend(f"{paths[len(results) - 1]} ({case.what}): {fault}" for fault in faults)
        _wipe(con)

    try:
        # behind the last one a file that is not there, so that the last one is judged too
        load([*paths, folder / "none"], _blank(folder / "fuzz.duckdb"), options=OPTIONS,
             on_start=lambda path, con: judge(con), on_result=results.append)  # fmt: skip
    except Exception as error:  # whatever it is, it is what is looked for
        wrong.append(f"{paths[len(results)]}: {type(error).__name__}: {error}")
    return wrong


def _faults(con, seed: Seed, dataset: str, case: Case, result: FileResult) -> list[str]:
    found = []
    tables = ("loads", "load_costs", "load_columns", "load_scopes", "rejects", "charges", dataset)
    left = {name: con.execute(f"select count(*) from {name}").fetchone()[0] for name in tables}
    if result.status not in ("loaded", "replaced"):
        if any(word in result.message for word in FAULTS) or not result.message:
            found.append(f"{result.status}: {result.message}")
        if any(left.values()):
            found.append(f"{result.status} and left {left}")
        if case.touched is not None:
            found.append(f"{result.status} because of some lines: {result.message}")
        return found
    if result.rows_read != result.rows_loaded + result.rows_rejected:
        found.append(f"{result.rows_read} rows read, {result.rows_loaded} loaded, {result.rows_rejected} rejected")
    found += [f"{cost} does not add up" for cost in result.cost if cost.read != cost.loaded + cost.rejected]
    if left[dataset] != result.rows_loaded or left["rejects"] != result.rows_rejected:
        found.append(f"loaded {result.rows_loaded}, rejected {result.rows_rejected}, and the database has {left}")
    for name in CHECKS:
        if con.execute(f"select count(*) from ({warehouse.sql('checks')[name]})").fetchone()[0]:
            found.append(f"check {name}")
    if case.touched is not None:
        found += _neighbours(con, dataset, case)
    return found


def _neighbours(con, dataset: str, case: Case) -> list[str]:
    """Lines that were not touched and are not there as before; one that a damaged line took the key of may be away."""
    lost = con.execute(
        f"""select distinct x_source_row from (
            select * exclude (x_load_id) from base
            where x_source_row not in (select unnest(?::bigint[]))
                and x_source_row not in (select line from rejects where regexp_full_match(reason, ?))
            except all select * exclude (x_load_id) from {_table(dataset, 1)}) order by 1""",
        [list(case.touched), BY_ANOTHER],
    ).fetchall()
    return [f"lines {[row[0] for row in lost]} are not there as they were, touched {sorted(case.touched)}"] * bool(lost)


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory(prefix="dcbudget-") as folder:
        with warehouse.connect(Path(folder) / "empty.duckdb", write=True):
            pass
        return (Path(folder) / "empty.duckdb").read_bytes()


def _blank(path: Path) -> Path:
    """A database without a row, into which nothing was ever loaded: it is not bound to a key of pseudonyms. A copy is
    made sooner than a new one."""
    path.write_bytes(_empty())
    return path


def _table(dataset: str, load_id: int) -> str:
    return f"landed.charges_{load_id}" if dataset == "charges" else dataset


def _wipe(con: duckdb.DuckDBPyConnection) -> None:
    """An empty database again."""
    for (name,) in con.execute(
        "select table_name from duckdb_tables() where schema_name = 'landed' and regexp_matches(table_name, '_[0-9]+$')"
    ).fetchall():
        con.execute(f"create or replace view landed.imported as select * exclude (x_reject) from landed.charges_none;"
                    f" drop table landed.{name}")  # fmt: skip
    for name in warehouse.sql("tables"):
        if name != "charges":
            con.execute(f"delete from {name}")


def main() -> None:
    """Damage every seed so many times; exit 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000, help="for each seed (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another number gives other cases")
    parser.add_argument("--only", help="one reader")
    parser.add_argument("--real", type=Path, help="folder of real inputs")
    given = parser.parse_args()
    wrong: list[str] = []
    for seed in seeds(given.real):
        if given.only in (None, seed.reader):
            folder = Path(tempfile.mkdtemp(prefix=f"dcbudget-fuzz-{seed.reader}-"))
            found = run(seed, given.cases, folder, given.seed)
            print(f"{seed.reader:<22}{seed.name:<40}{given.cases:>7} cases{len(found):>6} wrong", flush=True)
            print("".join(f"  {line}\n" for line in found[:10]), end="", flush=True)
            wrong += found
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    try:
        main()
    except DcbudgetError as error:
        sys.exit(str(error))
