"""Writes the wheel: the package and a built libheadrace_client.so. Needs nothing but Python.

    python3 python/build_wheel.py --library build/client/libheadrace_client.so --out build/wheel

Equal inputs give equal bytes. Also a PEP 517 back end (pip wheel python/), which takes the library
from HEADRACE_CLIENT_LIBRARY, else from build/client beside python/.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import pathlib
import platform
import re
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent
LIBRARY_NAME = "libheadrace_client.so"
DEFAULT_LIBRARY = ROOT.parent / "build" / "client" / LIBRARY_NAME
TAG = f"py3-none-linux_{platform.machine()}"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say


def version() -> str:
    text = (ROOT / "headrace" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("headrace/__init__.py has no __version__")
    return found[1]


def contents(library: pathlib.Path) -> dict[str, bytes]:
    """Path in the wheel -> bytes, without RECORD."""
    files = {f"headrace/{LIBRARY_NAME}": library.read_bytes()}
    for path in (ROOT / "headrace").rglob("*"):
        if path.suffix == ".py" or path.name == "py.typed":
            files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    info = f"headrace-{version()}.dist-info"
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: headrace\nVersion: {version()}\n"
        "Summary: A KV cache outside the engines that computed it: client and vLLM connector\n"
        "License: Apache-2.0\nRequires-Python: >=3.10\n"
    ).encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: headrace\nRoot-Is-Purelib: false\nTag: {TAG}\n"
    ).encode()
    return files


def record(files: dict[str, bytes], path: str) -> bytes:
    lines = []
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=")
        lines.append(f"{name},sha256={digest.decode()},{len(files[name])}\n")
    return ("".join(lines) + f"{path},,\n").encode()


def write_wheel(library: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    files = contents(library)
    record_path = f"headrace-{version()}.dist-info/RECORD"
    files[record_path] = record(files, record_path)
    out.mkdir(parents=True, exist_ok=True)
    wheel = out / f"headrace-{version()}-{TAG}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            archive.writestr(entry, files[name])
    return wheel


def build_wheel(
    wheel_directory: str,
    config_settings: object = None,
    metadata_directory: str | None = None,
) -> str:
    """PEP 517."""
    library = pathlib.Path(os.environ.get("HEADRACE_CLIENT_LIBRARY", DEFAULT_LIBRARY))
    if not library.is_file():
        raise SystemExit(f"{library} does not exist: build it, or set HEADRACE_CLIENT_LIBRARY")
    return write_wheel(library, pathlib.Path(wheel_directory)).name


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the headrace wheel.")
    parser.add_argument("--library", type=pathlib.Path, default=DEFAULT_LIBRARY)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the wheel")
    options = parser.parse_args()
    if not options.library.is_file():
        print(f"--library: {options.library} does not exist; build it first", file=sys.stderr)
        return 2
    print(write_wheel(options.library, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
