"""Repository: whether git and DVC's remote are set up as the pipeline needs them."""

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from artifact_flow.doctor.findings import Finding, shorten
from artifact_flow.doctor.project import Project, last_words

BUILT_IN = ("binary", "text", "union")  # git's own merge drivers
PORTS = {"http": 80, "https": 443, "webdav": 80, "webdavs": 443, "ssh": 22}
SECONDS = 5  # that a remote may take to accept a connection


def check_git(project: Project) -> Iterator[Finding]:
    """Find that this is not the root of a git and DVC repository with a commit."""
    if project.git("rev-parse", "--git-dir") is None:
        what = "this folder is not in a git repository, or git is not installed: DVC and `verify` need it"
        yield Finding(".git", what, "git clone the project, or: git init && git add --all && git commit")
    elif project.git("rev-parse", "--verify", "--quiet", "HEAD") is None:
        yield Finding(".git", "the git repository has no commit", "git add --all && git commit")
    if not Path(".dvc").is_dir():
        yield Finding(".dvc", "this folder is not the root of a DVC project", "cd into the project, or: dvc init")


def check_history(project: Project) -> Iterator[Finding]:
    """Find a shallow clone."""
    if project.git("rev-parse", "--is-shallow-repository") == "true":
        what = "the clone is shallow: older commits are missing, which `reproduce`, `dvc params diff` and tags need"
        yield Finding(".git", what, "git fetch --unshallow --tags", "warning")


def check_merge_drivers(project: Project) -> Iterator[Finding]:
    """Find merge drivers in .gitattributes that git does not know, or whose program does not exist."""
    file = Path(".gitattributes")
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    names = dict.fromkeys(re.findall(r"^[^#\s].*\smerge=(\S+)", text, re.MULTILINE))
    commands = {name: project.git("config", "--get", f"merge.{name}.driver") for name in names if name not in BUILT_IN}
    unknown = [name for name, command in commands.items() if command is None]
    if unknown:
        what = f"git does not know {shorten(unknown)}, the merge drivers of .gitattributes, so it merges line by line"
        yield Finding(".gitattributes", what, "make setup", "warning")
    for name, command in commands.items():
        if command is not None and (missing := _missing_program(command)):
            what = f"the merge driver {name} runs {missing}, which does not exist, so a merge of its files fails"
            yield Finding(".git/config", what, "make setup", "warning")


def _missing_program(command: str) -> str:
    """Return the first program of a shell command that does not exist, or ""."""
    first = command.split(maxsplit=1)[0] if command.split() else ""
    programs = [*re.findall(r"[^\s'\";]*/bin/[^\s'\";]+", command), *([first] if first != "if" else [])]
    return next((program for program in programs if not shutil.which(program)), "")


def check_line_ends(project: Project) -> Iterator[Finding]:
    """Find that git translates line ends, which changes the bytes that dvc.lock names."""
    translates = project.git("config", "--get", "core.autocrlf") in ("true", "input")
    if translates and not (project.git("check-attr", "text", "--", "dvc.lock") or "").endswith(": unset"):
        what = "git translates line ends (core.autocrlf), and dvc.lock names files by their bytes"
        yield Finding(".gitattributes", what, "git config core.autocrlf false", "warning")


def check_hooks(project: Project) -> Iterator[Finding]:
    """Note that the checks of `make lint` do not run before a commit."""
    hook = project.git("rev-parse", "--git-path", "hooks/pre-commit")
    if Path(".pre-commit-config.yaml").is_file() and hook is not None and not Path(hook).exists():
        yield Finding(hook, "the hooks of .pre-commit-config.yaml are not installed", "pre-commit install", "note")


def check_remote(project: Project) -> Iterator[Finding]:
    """Find a DVC remote that does not exist or cannot be reached; note that there is none."""
    name = project.config.get("core.remote")
    urls = {match[1]: url for key, url in project.config.items() if (match := re.fullmatch(r"remote\.(.+)\.url", key))}
    if name is None and not urls:
        what = "DVC has no remote, so the files in its cache are on this machine only"
        yield Finding(".dvc/config", what, "dvc remote add --default store URL, then dvc push", "note")
    elif name is not None and name not in urls:
        what = f"DVC's default remote is {name}, but no remote has this name"
        yield Finding(".dvc/config", what, f"dvc remote add {name} URL, or dvc remote default NAME")
    for title, url in urls.items():
        if reason := _unreachable(project, title, url):
            what = f"DVC's remote {title} ({url}) cannot be reached: {reason}"
            yield Finding(".dvc/config", what, f"make it reachable, or dvc remote modify {title} url URL")


def _unreachable(project: Project, name: str, url: str) -> str:
    """Return why a remote cannot be reached, or ""."""
    if "://" not in url:
        return "" if Path(url).is_dir() else "the folder does not exist"
    place = urlsplit(project.config.get(f"remote.{name}.endpointurl") or url)
    if place.hostname and place.scheme in PORTS:  # DVC takes a refused connection for an empty remote
        try:
            socket.create_connection((place.hostname, place.port or PORTS[place.scheme]), timeout=SECONDS).close()
        except OSError as error:
            return error.strerror or str(error)
    done = project.dvc("status", "--json", "--remote", name)
    return last_words(done) if done is None or done.returncode else ""
