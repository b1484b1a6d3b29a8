"""The scripts that live charts bring with them, so that a browser needs no network; bundled once for all notebooks."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import altair as alt
from platformdirs import user_cache_path
from xxhash import xxh3_128_hexdigest


def enable() -> None:
    """Give live charts the whole of their scripts: those that were kept, or a new bundle, which takes seconds."""
    if alt.JupyterChart._is_offline:
        return
    file = bundle_file()
    if scripts := _kept(file):
        alt.JupyterChart._esm, alt.JupyterChart._is_offline = scripts, True
        return
    alt.JupyterChart.enable_offline(True)
    with suppress(OSError):  # the bundle is made again where it cannot be kept
        _keep(file, alt.JupyterChart._esm)


def bundle_file() -> Path:
    """Where the bundle of the installed packages is kept: in the user's cache, under their versions."""
    import vl_convert

    return user_cache_path("dcbudget") / f"charts-altair-{alt.__version__}-vl-convert-{vl_convert.__version__}.js"


def _kept(file: Path) -> str:
    """The bundle; nothing where there is none, or not the whole."""
    try:
        digest, _, scripts = file.read_bytes().partition(b"\n")
    except OSError:
        return ""
    return scripts.decode() if digest == _digest(scripts) else ""


def _keep(file: Path, scripts: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=file.parent, delete=False) as made:
        made.write(_digest(scripts.encode()) + b"\n" + scripts.encode())
    os.replace(made.name, file)


def _digest(scripts: bytes) -> bytes:
    return f"// {xxh3_128_hexdigest(scripts)}".encode()
