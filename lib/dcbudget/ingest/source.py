"""What a file is, told from its bytes and never from its name."""

import csv
import gzip
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import xxhash
import zstandard

from dcbudget.errors import UnreadableFile

HEAD_BYTES = 256 * 1024
CHUNK_BYTES = 4 * 1024 * 1024
DELIMITERS = (",", ";", "\t", "|")

# Words that exports write for "nothing here"; matched against a whole field, quoted or not.
NULL_WORDS = ("", "NULL", "null", "None", "NONE", "none", "\\N", "N/A", "n/a", "NaN", "nan")


@dataclass(frozen=True)
class Source:
    """A file to load.

    Attributes
    ----------
    path : where it is.
    kind : "text" or "parquet".
    compression : "none", "gzip" or "zstd".
    head : the first characters, decoded, without a byte-order mark; "" for Parquet.
    parquet_types : column name -> DuckDB type, for Parquet only.
    """

    path: Path
    kind: str
    compression: str
    head: str
    encoding: str = "utf-8"
    parquet_types: dict[str, str] = field(default_factory=dict)

    @cached_property
    def head_lines(self) -> list[str]:
        return self.head.splitlines()

    def header(self, delimiter: str) -> list[str]:
        """The fields of the first record, read with a delimiter."""
        if self.kind == "parquet":
            return list(self.parquet_types)
        reader = csv.reader(io.StringIO(self.head, newline=""), delimiter=delimiter)
        return [name.strip() for name in next(reader, [])]

    def best_delimiter(self, known_names: set[str]) -> tuple[str, list[str]]:
        """The delimiter whose header holds most of the known (lower-case) names, and that header."""

        def hits(names: list[str]) -> int:
            return len({name.lower() for name in names} & known_names)

        candidates = [(delimiter, self.header(delimiter)) for delimiter in DELIMITERS]
        return max(candidates, key=lambda candidate: hits(candidate[1]))

    def open_bytes(self) -> BinaryIO:
        """The decompressed bytes, as a stream."""
        return _open(self.path, self.compression)

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
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise UnreadableFile(f"{path.name}: damaged {compression} file ({error})") from None
    if not head.strip(b"\xef\xbb\xbf\r\n\t "):
        raise UnreadableFile(f"{path.name}: the file is empty")
    encoding = "utf-8"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif b"\x00" in head:
        raise UnreadableFile(f"{path.name}: neither text nor Parquet")
    return Source(path, "text", compression, head.decode(encoding, errors="replace").lstrip("\ufeff"), encoding)


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
        return zstandard.open(path, "rb")
    return path.open("rb")


def _parquet_types(path: Path) -> dict[str, str]:
    import duckdb

    with duckdb.connect() as con:
        try:
            rows = con.execute("describe select * from read_parquet(?)", [str(path)]).fetchall()
        except duckdb.Error as error:
            raise UnreadableFile(f"{path.name}: damaged Parquet file ({str(error).splitlines()[0]})") from None
    return {row[0]: row[1] for row in rows}
