"""Reads a damaged text file record by record, so that a bad record never takes a good neighbour with it."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from dcbudget.errors import UnreadableFile
from dcbudget.ingest.plan import Plan
from dcbudget.ingest.source import Source

# A quoted field may span lines; further than this an open quote is taken for damage.
MAX_LINES_OF_A_RECORD = 200
MAX_SHOWN = 4000
NO_TEXT = re.compile("[\\x00\\udc80-\\udcff]")


@dataclass(frozen=True)
class BadRecord:
    """A record that is no row: the line that it begins on (from 1), what is wrong, and its text."""

    line: int
    reason: str
    text: str


def separate(source: Source, plan: Plan, clean: Path, line_field: str) -> list[BadRecord]:
    """Write the whole records of a file to `clean`, each with its line number in a last field; return the others.

    Raises
    ------
    UnreadableFile : the compressed stream is cut off or damaged.
    """
    csv.field_size_limit(1 << 30)
    bad: list[BadRecord] = []
    width = len(plan.fields)
    with clean.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n", **_dialect(plan))
        if plan.dialect.header:
            writer.writerow([*plan.fields, line_field])
        try:
            for line, fields, wrong in _records(source, plan):
                if plan.dialect.header and line == 1:
                    continue
                if isinstance(wrong, BadRecord):
                    bad.append(wrong)
                elif len(fields) != width:
                    reason = f"{len(fields)} fields where {width} are expected"
                    bad.append(BadRecord(line, reason, plan.dialect.delimiter.join(fields)[:MAX_SHOWN]))
                else:
                    writer.writerow([*fields, line])
        except (OSError, EOFError, zstandard.ZstdError) as error:
            raise UnreadableFile(f"{source.path.name}: damaged {source.compression} file ({error})") from None
    return bad


def _dialect(plan: Plan) -> dict:
    if plan.dialect.quoted:
        return {"delimiter": plan.dialect.delimiter, "quoting": csv.QUOTE_MINIMAL}
    return {
        "delimiter": plan.dialect.delimiter,
        "quoting": csv.QUOTE_NONE,
        "quotechar": None,
        "escapechar": None,
    }


def _records(source: Source, plan: Plan) -> Iterator[tuple[int, list[str], BadRecord | None]]:
    """(line, fields, None) for a record that parses, (line, [], what is wrong) for one that does not."""
    delimiter = plan.dialect.delimiter
    pending: list[tuple[int, str]] = []
    lines = _numbered_lines(source)
    while True:
        entry = pending.pop(0) if pending else next(lines, None)
        if entry is None:
            return
        number, text = entry
        if not text.strip("\r\n"):
            continue
        if NO_TEXT.search(text):
            yield number, [], BadRecord(number, f"bytes that are not {source.encoding} text", _shown(text))
            continue
        if not plan.dialect.quoted:
            yield number, text.rstrip("\r\n").split(delimiter), None
            continue
        taken = 0
        while True:
            record = text + "".join(more for _, more in pending[:taken])
            try:
                fields = next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True))
            except csv.Error as error:
                if "unexpected end" in str(error) and taken < MAX_LINES_OF_A_RECORD:
                    if taken == len(pending) and (more := next(lines, None)) is not None:
                        pending.append(more)
                    if taken < len(pending):
                        taken += 1
                        continue
                yield (
                    number,
                    [],
                    BadRecord(number, f"a quote that does not close ({error})", text[:MAX_SHOWN]),
                )
                break
            del pending[:taken]
            yield number, fields, None
            break


def _numbered_lines(source: Source) -> Iterator[tuple[int, str]]:
    with source.open_bytes() as stream:
        text = io.TextIOWrapper(stream, encoding=source.encoding, errors="surrogateescape", newline="")
        for number, line in enumerate(text, 1):
            yield number, line.lstrip("\ufeff") if number == 1 else line


def _shown(text: str) -> str:
    return text[:MAX_SHOWN].encode("utf-8", "replace").decode()
