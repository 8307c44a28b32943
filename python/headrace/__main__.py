"""python -m headrace --version | --check [--endpoint ENDPOINT]"""

from __future__ import annotations

import argparse
import sys

import headrace
from headrace import _abi


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m headrace")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--version", action="store_true", help="package, library and ABI version")
    what.add_argument("--check", action="store_true", help="the same, and whether a server answers")
    parser.add_argument("--endpoint", help="ipc:///path; default: HEADRACE_ENGINE_ENDPOINT")
    options = parser.parse_args(arguments)
    try:
        library = _abi.load_library()
        print(f"headrace {headrace.__version__}")
        print(f"library {_abi.library_path()}, ABI version {library.hr_abi_version()}")
        if options.version:
            return 0
        with headrace.Client(options.endpoint, program="headrace-check") as client:
            status = client.status(wait=1.0)
    except headrace.HeadraceError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1
    print(f"server answers: {status}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
