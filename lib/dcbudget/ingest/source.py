"""What a file is, told from its bytes and never from its name."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import xxhash
import zstandard

from dcbudget.errors import UnreadableFile

HEAD_BYTES = 256 * 1024
CHUNK_BYTES = 4 * 1024 * 1024
# What reading a damaged compressed stream raises.
DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
DELIMITERS = (",", ";", "\t", "|")

# Words that exports write for "nothing here"; matched against a whole field, quoted or not.
NULL_WORDS = ("", "NULL", "null", "None", "NONE", "none", "\\N", "N/A", "n/a", "NaN", "nan")
# A header with an open quote is one long field; it is looked at, not limited.
csv.field_size_limit(1 << 30)


@dataclass(frozen=True)
class Source:
    """A file to load.

    Attributes
    ----------
    path : where it is.
    kind : "text", "parquet", or "binary" for what is neither.
    compression : "none", "gzip" or "zstd".
    head : the first characters, decoded, without a byte-order mark; "" for what is no text.
    first_bytes : what a binary file begins with, decompressed.
    parquet_types : column name -> DuckDB type, for Parquet only.
    """

    path: Path
    kind: str
    compression: str
    head: str
    encoding: str = "utf-8"
    first_bytes: bytes = b""
    parquet_types: dict[str, str] = field(default_factory=dict)

    @cached_property
    def head_lines(self) -> list[str]:
        return self.head.splitlines()

    def header(self, delimiter: str) -> list[str]:
        """The fields of the first record, read with a delimiter; one without a name is called by its position."""
        if self.kind == "parquet":
            return list(self.parquet_types)
        reader = csv.reader(io.StringIO(self.head, newline=""), delimiter=delimiter)
        try:
            return name_fields(next(reader, []))
        except csv.Error:
            return []

    def best_delimiter(self, known_names: set[str]) -> tuple[str, list[str]]:
        """The delimiter whose header holds most of the known (lower-case) names, and that header."""

        def hits(names: list[str]) -> int:
            return len({name.lower() for name in names} & known_names)

        candidates = [(delimiter, self.header(delimiter)) for delimiter in DELIMITERS]
        return max(candidates, key=lambda candidate: hits(candidate[1]))

    def open_bytes(self) -> BinaryIO:
        """The decompressed bytes, as a stream."""
        return _open(self.path, self.compression)

    def holds_nul(self) -> bool:
        """Whether a NUL byte is among the decompressed bytes, all of which are read.

        Raises
        ------
        UnreadableFile : the compressed stream is cut off or damaged; DuckDB would take what is there for the whole.
        """
        found = False
        try:
            with self.open_bytes() as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    found = found or b"\x00" in chunk
        except DAMAGE as error:
            raise damaged(self.path, self.compression, error) from None
        return found

    def newline_count(self) -> int:
        """How many line feeds the decompressed file holds, a last line without one included."""
        count, last = 0, b"\n"
        with self.open_bytes() as stream:
            while chunk := stream.read(CHUNK_BYTES):
                count += chunk.count(b"\n")
                last = chunk[-1:]
        return count + (last != b"\n")


def open_source(path: Path) -> Source:
    """Look at a file's first bytes.

    Raises
    ------
    UnreadableFile : missing, empty, or damaged compression.
    """
    if not path.exists():
        raise UnreadableFile(f"{path.name}: no such file")
    with path.open("rb") as stream:
        magic = stream.read(4)
    if not magic:
        raise UnreadableFile(f"{path.name}: the file is empty")
    if magic == b"PAR1":
        return Source(path, "parquet", "none", "", parquet_types=_parquet_types(path))
    compression = "gzip" if magic[:2] == b"\x1f\x8b" else "zstd" if magic == b"\x28\xb5\x2f\xfd" else "none"
    try:
        with _open(path, compression) as stream:
            head = stream.read(HEAD_BYTES)
    except DAMAGE as error:
        raise damaged(path, compression, error) from None
    if not head.strip(b"\xef\xbb\xbf\r\n\t "):
        raise UnreadableFile(f"{path.name}: the file is empty")
    encoding = "utf-8"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif head.count(b"\x00") > max(4, len(head) // 100):
        return Source(path, "binary", compression, "", first_bytes=head[:1024])
    return Source(path, "text", compression, head.decode(encoding, errors="replace").lstrip("\ufeff"), encoding)


def name_fields(header: list[str]) -> list[str]:
    """The names of a header; a field without one is called by its position."""
    return [name.strip() or f"column {position}" for position, name in enumerate(header, 1)]


def flat_object(text: str, joint: str) -> dict | None:
    """A JSON object with the members of objects inside it as `outer{joint}inner`, or None for other text."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    flat = {}
    for name, value in row.items():
        flat |= (
            {f"{name}{joint}{inner}": of for inner, of in value.items()} if isinstance(value, dict) else {name: value}
        )
    return flat


def damaged(path: Path, compression: str, error: Exception) -> UnreadableFile:
    """The error for a stream that does not decompress to its end."""
    return UnreadableFile(f"{path.name}: damaged {compression} file ({error})".replace("none file", "file"))


def duckdb_path(path: Path) -> str:
    """A path as DuckDB takes it: a bracket, a star or a question mark in a name is no pattern."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))


def fingerprint(path: Path) -> str:
    """A 128-bit hash of a file's bytes (XXH3)."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _open(path: Path, compression: str) -> BinaryIO:
    if compression == "gzip":
        return gzip.open(path, "rb")
    if compression == "zstd":
        return io.BufferedReader(_Zstd(path))
    return path.open("rb")


class _Zstd(io.RawIOBase):
    """Every frame of a zstd file; unlike zstandard's own reader it notices a last frame that is cut off."""

    def __init__(self, path: Path):
        self._chunks = self._decompress(path)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                return 0
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)

    @staticmethod
    def _decompress(path: Path) -> Iterator[memoryview]:
        frame = None
        with path.open("rb") as stream:
            while data := stream.read(HEAD_BYTES):
                while data:
                    frame = frame or zstandard.ZstdDecompressor().decompressobj()
                    yield memoryview(frame.decompress(data))
                    data, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
        if frame is not None:
            raise EOFError("it ends within a frame")


def _parquet_types(path: Path) -> dict[str, str]:
    import duckdb

    with duckdb.connect() as con:
        try:
            rows = con.execute(
                "describe select * from read_parquet(?, hive_partitioning = false)", [duckdb_path(path)]
            ).fetchall()
        except duckdb.Error as error:
            raise UnreadableFile(f"{path.name}: damaged Parquet file ({str(error).splitlines()[0]})") from None
    return {row[0]: row[1] for row in rows}
