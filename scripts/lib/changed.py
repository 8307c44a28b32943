"""Which C++ files clang-tidy looks at: those that changed last."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Files(list):
    """Paths from the root, with the reason why it is these."""

    def __init__(self, paths, reason):
        super().__init__(sorted(paths))
        self.reason = reason


def git(*words):
    result = subprocess.run(["git", *words], cwd=ROOT, check=False, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return result.stdout.splitlines() if result.returncode == 0 else []


def left_main_at():
    """The commit where this branch left the main one; None on the main one."""
    head = git("rev-parse", "HEAD")
    for main in ("origin/HEAD", "origin/main", "main"):
        base = git("merge-base", "HEAD", main)
        if base and base != head:
            return base[0]
    return None


def newest_first(base):
    """What differs in the working tree or is new and not ignored, then what commits touched: those
    since `base`, or all of them when it is None."""
    yield from map(pathlib.Path, git("diff", "--name-only", "HEAD"))
    yield from map(pathlib.Path, git("ls-files", "--others", "--exclude-standard"))
    commits = f"{base}..HEAD" if base else "HEAD"
    yield from map(pathlib.Path, git("log", "--name-only", "--format=", commits))


def compiled(build_directory):
    """Every source of the build that is ours."""
    with open(build_directory / "compile_commands.json", encoding="utf-8") as file:
        entries = json.load(file)
    paths = {(pathlib.Path(x["directory"]) / x["file"]).resolve() for x in entries}
    return {x for x in paths if x.is_relative_to(ROOT) and not
            x.is_relative_to(build_directory.resolve())}


def sources(known, most):
    """Of `known`, the `most` that changed last; on a branch, none that did not change on it. A
    header is looked at through the source of its name, or through the first one of its folder."""
    base = left_main_at()
    wanted = set()
    for path in newest_first(base):
        wanted |= {path} & known if path.suffix != ".h" else sources_of(path, known)
        if len(wanted) == most:
            break
    since = f"since {base[:12]}" if base else "last"
    return Files(wanted, f"changed {since}, {most} at most")


def sources_of(header, known):
    twin = header.with_suffix(".cc")
    if twin in known:
        return {twin}
    return set(sorted(x for x in known if x.parent == header.parent)[:1])
