"""Which C++ files clang-tidy looks at: those that changed, or all where that cannot be known."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = {".clang-tidy"}


class Files(list):
    """Paths from the root, with the reason why it is these."""

    def __init__(self, paths, reason):
        super().__init__(sorted(paths))
        self.reason = reason

    def first(self, count):
        """At most `count` of them, which the reason then says."""
        if len(self) <= count:
            return self
        return Files(self[:count], f"the first {count} of {len(self)}; {self.reason}")


def git(*words):
    result = subprocess.run(["git", *words], cwd=ROOT, check=False, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return result.stdout.strip() if result.returncode == 0 else None


def base_commit():
    """Where this branch left the main one; on the main one, the commit before the last."""
    head = git("rev-parse", "HEAD")
    for main in ("origin/HEAD", "origin/main", "main"):
        base = git("merge-base", "HEAD", main)
        if base and base != head:
            return base
    return git("rev-parse", "--verify", "--quiet", "HEAD~1")


def paths_since(base):
    """Committed since `base`, changed in the working tree, or new and not ignored."""
    lists = [git("diff", "--name-only", base), git("ls-files", "--others", "--exclude-standard")]
    return {pathlib.Path(y) for x in lists if x for y in x.splitlines()}


def compiled(build_directory):
    """Every source of the build that is ours."""
    with open(build_directory / "compile_commands.json", encoding="utf-8") as file:
        entries = json.load(file)
    paths = {(pathlib.Path(x["directory"]) / x["file"]).resolve() for x in entries}
    return {x for x in paths if x.is_relative_to(ROOT) and not
            x.is_relative_to(build_directory.resolve())}


def sources(known, everything=False):
    """Of `known`, those to look at. A header is looked at through the source of its name, or
    through the first source that stands in its folder."""
    if everything:
        return Files(known, "all")
    base = base_commit()
    if base is None:
        return Files(known, "all: there is nothing to compare with")
    paths = paths_since(base)
    if {str(x) for x in paths} & CONFIG:
        return Files(known, "all: .clang-tidy changed")
    wanted = {x for x in paths if x in known}
    for header in (x for x in paths if x.suffix == ".h"):
        wanted |= sources_of(header, known)
    return Files(wanted, f"changed since {base[:12]}")


def sources_of(header, known):
    twin = header.with_suffix(".cc")
    if twin in known:
        return {twin}
    return set(sorted(x for x in known if x.parent == header.parent)[:1])
