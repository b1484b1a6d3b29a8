"""Reads a damaged text file record by record, so that a bad record never takes a good neighbour with it."""

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.plan import BadRecord, Plan, Records
from dcbudget.ingest.source import DAMAGE, Source, damaged

# A quoted field may span lines; further than this an open quote is taken for damage.
MAX_LINES_OF_A_RECORD = 200
MAX_SHOWN = 4000
# What the csv module says where a record ends inside a quoted field.
OPEN_QUOTE = "unexpected end of data"
NO_TEXT = re.compile("[\\x00\\ud800-\\udfff]")


def separate(source: Source, plan: Plan, clean: Path, line_field: str) -> list[BadRecord]:
    """Write the whole records of a file to `clean`, each with its line number in a last field; return the others.

    Raises
    ------
    UnreadableFile : the compressed stream is cut off or damaged.
    """
    bad: list[BadRecord] = []
    with clean.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n", **_dialect(plan))
        if plan.dialect.header:
            writer.writerow([*plan.fields, line_field])
        for record in whole_records(source, plan):
            if isinstance(record, BadRecord):
                bad.append(record)
            else:
                writer.writerow([*record[1], record[0]])
    return bad


def whole_records(source: Source, plan: Plan) -> Records:
    """The records of a text file behind its header, each with its line, and what is no whole record.

    Raises
    ------
    UnreadableFile : the compressed stream is cut off or damaged.
    """
    width = len(plan.fields)
    try:
        for line, fields, wrong in records(source, plan):
            if plan.dialect.header and line == 1:
                continue
            while len(fields) > width and not fields[-1]:
                fields.pop()  # delimiters that end the line, as DuckDB takes them too
            if wrong:
                yield wrong
            elif len(fields) != width:
                reason = f"{len(fields)} fields where {width} are expected"
                yield BadRecord(line, reason, plan.dialect.delimiter.join(fields)[:MAX_SHOWN])
            else:
                yield line, fields
    except DAMAGE as error:
        raise damaged(source.path, source.compression, error) from None
    except UnicodeError as error:
        raise UnreadableFile(f"{source.path.name}: damaged {source.encoding} text ({error})") from None


def convert(source: Source, plan: Plan, clean: Path, line_field: str) -> list[BadRecord]:
    """Write the records that the plan's `convert` gives to `clean`, as `separate` does; return the bad ones."""
    bad: list[BadRecord] = []
    with clean.open("w", encoding="utf-8", newline="", errors="replace") as out:
        writer = csv.writer(out, lineterminator="\n", **_dialect(plan))
        if plan.dialect.header:
            writer.writerow([*plan.fields, line_field])
        try:
            for record in plan.convert(source):
                if isinstance(record, BadRecord):
                    bad.append(BadRecord(record.line, record.reason, record.text[:MAX_SHOWN]))
                else:
                    writer.writerow([*record[1], record[0]])
        except DAMAGE as error:
            raise damaged(source.path, source.compression, error) from None
        except UnicodeError as error:
            raise UnreadableFile(f"{source.path.name}: damaged {source.encoding} text ({error})") from None
    return bad


def _dialect(plan: Plan) -> dict:
    if plan.dialect.quoted:
        return {"delimiter": plan.dialect.delimiter, "quoting": csv.QUOTE_ALL}
    return {
        "delimiter": plan.dialect.delimiter,
        "quoting": csv.QUOTE_NONE,
        "quotechar": None,
        "escapechar": None,
    }


def records(source: Source, plan: Plan) -> Iterator[tuple[int, list[str], BadRecord | None]]:
    """(line, fields, None) for a record that parses, (line, [], what is wrong) for one that does not."""
    parse = _parse_quoted if plan.dialect.quoted else _parse_plain
    lines = _numbered_lines(source)
    pending: deque[tuple[int, str]] = deque()
    while entry := pending.popleft() if pending else next(lines, None):
        number, text = entry
        if not text.strip("\r\n"):
            continue
        fields, error = parse(text, plan.dialect.delimiter)
        taken: list[tuple[int, str]] = []
        if error == OPEN_QUOTE:
            quotes = 1
            while quotes % 2 and len(taken) < MAX_LINES_OF_A_RECORD:
                more = pending.popleft() if pending else next(lines, None)
                if more is None:
                    break
                taken.append(more)
                quotes += more[1].count('"')
            text += "".join(more for _, more in taken)
            fields, error = parse(text, plan.dialect.delimiter)
            if not error and len(fields) != len(plan.fields) and _holds_whole_record(taken, plan):
                error = OPEN_QUOTE
        if error:
            pending.extendleft(reversed(taken))
            yield number, [], BadRecord(number, f"a quote that does not close ({error})", _shown(entry[1]))
        elif NO_TEXT.search(text):
            yield number, [], BadRecord(number, f"bytes that are not {source.encoding} text", _shown(text))
        else:
            yield number, fields, None


def _parse_plain(text: str, delimiter: str) -> tuple[list[str], str]:
    return text.rstrip("\r\n").split(delimiter), ""


def _parse_quoted(text: str, delimiter: str) -> tuple[list[str], str]:
    """The fields of one record, or what the csv module says against it."""
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)), ""
    except csv.Error as error:
        return [], str(error)


def _holds_whole_record(lines: list[tuple[int, str]], plan: Plan) -> bool:
    """Whether one of the lines that a quote took in is a record of its own."""
    return any(len(_parse_quoted(text, plan.dialect.delimiter)[0]) == len(plan.fields) for _, text in lines)


def _numbered_lines(source: Source) -> Iterator[tuple[int, str]]:
    with source.open_bytes() as stream:
        text = io.TextIOWrapper(stream, encoding=source.encoding, errors="surrogateescape", newline="")
        for number, line in enumerate(text, 1):
            yield number, line.lstrip("\ufeff") if number == 1 else line


def _shown(text: str) -> str:
    return text[:MAX_SHOWN].encode("utf-8", "replace").decode()
