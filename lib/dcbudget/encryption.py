"""Encrypted databases: where their key comes from, and how DuckDB opens them with nothing from a network.

DuckDB encrypts a database, its write-ahead log and its temporary files with AES-256-GCM. Writing takes the
cryptography of its extension httpfs, which the package duckdb-extension-httpfs holds.
https://duckdb.org/docs/stable/sql/statements/attach#database-encryption
"""

import os
from importlib.resources import files
from pathlib import Path

import duckdb

from dcbudget.errors import DcbudgetError, WrongKey
from dcbudget.quoting import literal

KEY_FILE = "DCBUDGET_KEY_FILE"
KEY = "DCBUDGET_KEY"
SHORTEST_KEY = 16
# Of the main header: the bytes of a block's checksum, "DUCK", the storage version, and 64 bits of flags, of which the
# first says that all behind it is encrypted. https://duckdb.org/docs/stable/internals/storage
MAGIC, MAGIC_AT, FLAGS_AT = b"DUCK", 8, 20
# What an encrypted database is opened with: DuckDB asks no network for an extension, and spills nothing readable.
SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_file_encryption": "true",
}
# The extension of the cryptography brings these too; nothing here reads from a network.
FILE_SYSTEMS = "HTTPFileSystem,S3FileSystem,HuggingFaceFileSystem"


def key() -> str | None:
    """The key of encrypted databases: the text of the file `$DCBUDGET_KEY_FILE`, else `$DCBUDGET_KEY`, else none.

    Raises
    ------
    DcbudgetError : the file cannot be read, or by more than its owner; the key is too short.
    """
    named = os.environ.get(KEY_FILE)
    if named:
        try:
            if os.name == "posix" and Path(named).stat().st_mode & 0o077:
                raise DcbudgetError(f"${KEY_FILE} names a file that others can read; chmod 600 {named}")
            text = Path(named).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise DcbudgetError(f"${KEY_FILE} names {named}, which cannot be read: {reason}") from None
    else:
        text = os.environ.get(KEY, "").strip()
    if (named or text) and len(text) < SHORTEST_KEY:
        raise DcbudgetError(
            f"the key in ${KEY_FILE if named else KEY} has less than {SHORTEST_KEY} characters;"
            " openssl rand -base64 32 makes one"
        )
    return text or None


def is_encrypted(path: Path) -> bool:
    """Whether a file is an encrypted DuckDB database; false where it is none at all."""
    try:
        with path.open("rb") as file:
            head = file.read(FLAGS_AT + 8)
    except OSError:
        return False
    return head[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC and bool(head[FLAGS_AT:] and head[FLAGS_AT] & 1)


def load_cryptography(con: duckdb.DuckDBPyConnection) -> None:
    """Load the extension from its package, without installing it.

    Raises
    ------
    DcbudgetError : the package is not installed, or not of DuckDB's version.
    """
    try:
        package = files("duckdb_extension_httpfs")
    except ModuleNotFoundError:
        raise DcbudgetError(
            "encrypted databases need the package duckdb-extension-httpfs; pip install -e '.[encrypted]'"
        ) from None
    version = f"v{duckdb.__version__}"
    file = package / "extensions" / version / "httpfs.duckdb_extension"
    if not file.is_file():
        raise DcbudgetError(
            f"encrypted databases need the package duckdb-extension-httpfs of DuckDB's version, {version[1:]}"
        )
    con.execute(f"load {literal(str(file))}")
    con.execute(f"set disabled_filesystems = '{FILE_SYSTEMS}'")


def attach(con: duckdb.DuckDBPyConnection, path: Path, name: str, *, write: bool, encrypted: bool) -> None:
    """Attach a database under a name, with the key where it is encrypted; the key is in no error.

    Raises
    ------
    WrongKey : there is no key, or it is not this database's.
    """
    options = ["read_write" if write else "read_only"]
    secret = key() if encrypted else None
    if encrypted:
        if secret is None:
            raise WrongKey(f"{path} is encrypted; name the file of its key in ${KEY_FILE}, or give it in ${KEY}")
        load_cryptography(con)
        options.append(f"encryption_key '{_escaped(secret)}'")
    try:
        con.execute(f"attach if not exists {literal(str(path))} as {name} ({', '.join(options)})")
    except duckdb.Error as error:
        said = str(error)
        if secret is not None and ("encryption key" in said or secret in said or _escaped(secret) in said):
            raise WrongKey(f"{path} is encrypted with another key than that of ${_source()}") from None
        raise


def _source() -> str:
    return KEY_FILE if os.environ.get(KEY_FILE) else KEY


def _escaped(secret: str) -> str:
    """A key as DuckDB's literals of bytes have it."""
    return "".join(chr(b) if 32 <= b < 127 and chr(b) not in "'\\" else f"\\x{b:02X}" for b in secret.encode())
