"""Finds the CPythons of this machine."""

import glob
import os
import shutil
import subprocess

VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def version_of(path):
    """"3.12", or None where the program is none: pyenv's shims stand on PATH and fail."""
    code = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name)"
    try:
        result = subprocess.run([path, "-c", code], check=False, text=True, timeout=20,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = result.stdout.split()
    return words[0] if result.returncode == 0 and words[1:] == ["cpython"] else None


def candidates(version):
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    yield from sorted(glob.glob(f"{root}/versions/{version}*/bin/python{version}"), reverse=True)
    yield f"/usr/bin/python{version}"
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path


def find():
    """Version -> path, of VERSIONS, where it is there."""
    found = {}
    for version in VERSIONS:
        path = next((x for x in candidates(version) if version_of(x) == version), None)
        if path:
            found[version] = path
    return found


def newest(at_least):
    """Path of the newest that is at least (major, minor), or None."""
    fitting = {tuple(int(y) for y in x.split(".")): path for x, path in find().items()}
    fitting = {x: path for x, path in fitting.items() if x >= at_least}
    return fitting[max(fitting)] if fitting else None
