#!/usr/bin/env python3
"""Set the project up, if need be, and run a command in it.

    python3 bootstrap.py forecast run priors/ukraine_2025
    python3 bootstrap.py pytest

Any Python that has pip will do to start this file (it is written for 3.8 and later and uses the standard
library only). It finds or installs uv, finds an interpreter that the project can use or lets uv fetch one,
installs the locked dependencies into .venv, and becomes the command. Once that is done, a later start only
compares a stamp: it needs neither uv nor the network.

Set UV_PYTHON to a path or a version (`UV_PYTHON=3.12`) to choose the interpreter. To begin from nothing,
delete the folders .venv and .uv.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent
MINORS = ((3, 13), (3, 12))  # the newest first; the same range as requires-python in pyproject.toml
UV_OLDEST = (0, 9)
UV_REQUIREMENT = "uv>=0.9,<0.14"  # these carry the build backend that pyproject.toml asks for: no download for it
STAMP_FORMAT = "1"
PROBE_SECONDS = 30

# Settings of uv that would change what is installed, or make the lock file look stale. The lock file names the
# public index and a digest for every file; an index set for other work must not replace it.
UV_SETTINGS_DROPPED = re.compile(
    r"UV_(.*INDEX.*|PYTHON|FROZEN|LOCKED|FIND_LINKS|NO_DEV|NO_GROUP|NO_DEFAULT_GROUPS|CONSTRAINT|OVERRIDE|EXCLUDE"
    r"|EXCLUDE_NEWER.*|RESOLUTION|PRERELEASE|FORK_STRATEGY|SYSTEM_PYTHON|NO_EDITABLE|NO_SYNC|NO_SOURCES.*|PROJECT"
    r"|WORKING_DIR(ECTORY)?|PROJECT_ENVIRONMENT|NO_PROJECT)"
)

PROBE = """
import os, sys, sysconfig
base = getattr(sys, "_base_executable", None) or sys.executable
print("\\n".join([
    ".".join(str(part) for part in sys.version_info[:3]),
    sys.version_info[3],
    sys.implementation.name,
    "64" if sys.maxsize > 2**32 else "32",
    "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "ordinary",
    base if os.path.exists(base) else sys.executable,
]))
"""


class SetUpError(Exception):
    """The project cannot be set up here; the message says what to do."""


class Interpreter(NamedTuple):
    """A Python that was tried: its path, its version if it ran, and why it cannot be used ('' if it can)."""

    path: str
    version: tuple[int, ...]
    problem: str


def say(message: str) -> None:
    """Write one line to standard error: standard output belongs to the command."""
    print("bootstrap: " + message, file=sys.stderr, flush=True)


# --- the stamp: is everything already as the lock file wants it? -------------------------------------------------


def venv_script(root: Path, name: str) -> Path:
    """Path that a console script has in the environment of the project."""
    return root / ".venv" / "Scripts" / (name + ".exe") if os.name == "nt" else root / ".venv" / "bin" / name


def wanted_key(root: Path, environ: Mapping[str, str]) -> str:
    """Digest of everything that decides what is installed: lock file, project file, place and chosen interpreter."""
    digest = hashlib.sha256()
    for part in (
        STAMP_FORMAT.encode(),
        (root / "uv.lock").read_bytes(),
        (root / "pyproject.toml").read_bytes(),
        str(root).encode(),
        environ.get("UV_PYTHON", "").encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def fingerprint(path: str) -> str:
    """Size and time of a file: an interpreter that was upgraded or removed no longer matches."""
    found = os.stat(path)
    return f"{found.st_size} {found.st_mtime_ns}"


def is_ready(root: Path, key: str) -> bool:
    """Tell whether .venv was completed for this key, with an interpreter that is still there."""
    try:
        stamped_key, python, mark = (root / ".venv" / ".stamp").read_text(encoding="utf-8").splitlines()
        return stamped_key == key and fingerprint(python) == mark and venv_script(root, "python").exists()
    except (OSError, ValueError):
        return False


def write_stamp(root: Path, key: str, python: str) -> None:
    """Record that .venv is complete. Written last and in one step, so that a killed start leaves none."""
    target = root / ".venv" / ".stamp"
    partial = target.with_name(f".stamp-{os.getpid()}")
    partial.write_text("\n".join((key, python, fingerprint(python))) + "\n", encoding="utf-8")
    os.replace(str(partial), str(target))


# --- the interpreter ----------------------------------------------------------------------------------------------


def output_of(command: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and standard output of a short command; -1 and the reason if it does not start or end."""
    import subprocess

    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            check=False,
            env=None if env is None else dict(env),
        )
    except subprocess.TimeoutExpired:
        return -1, f"no answer within {PROBE_SECONDS} s"
    except OSError as err:
        return -1, err.strerror or str(err)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def probe(path: str, *arguments: str, minors: Sequence[tuple[int, int]] = MINORS) -> Interpreter:
    """Run a Python and tell whether the project can use it.

    Only running it shows: the `python3.13` of pyenv is there, and exits with 127, where 3.13 is installed but not
    switched on; the `python3` of Windows opens a shop.
    """
    code, output = output_of([path, *arguments, "-I", "-S", "-c", PROBE])
    if code == -1:
        return Interpreter(path, (), "does not run: " + output)
    if code:
        return Interpreter(path, (), f"does not run (exit code {code})")
    lines = output.splitlines()
    if len(lines) != 6:
        return Interpreter(path, (), "is not Python")
    text, release, implementation, bits, threads, real = lines
    version = tuple(int(part) for part in text.split("."))
    problem = ""
    if version[:2] not in minors:
        problem = f"is Python {text}"
    elif release != "final":
        problem = f"is a pre-release ({text} {release})"
    elif (implementation, bits, threads) != ("cpython", "64", "ordinary"):
        problem = f"is {implementation}, {bits} bit, {threads}: the compiled libraries need ordinary 64 bit CPython"
    return Interpreter(real, version, problem)


def on_path(name: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Every file of this name on PATH, not only the first: that may be a shim that does not work."""
    suffix = ".exe" if os.name == "nt" else ""
    for folder in environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder or ".", name + suffix)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            yield path


def pyenv_pythons(environ: Mapping[str, str], minors: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Interpreters that pyenv has installed, switched on or not; the newest of each minor version first."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or os.path.expanduser("~"))
    roots = [Path(environ["PYENV_ROOT"])] if environ.get("PYENV_ROOT") else []
    roots += [home / ".pyenv", home / ".pyenv" / "pyenv-win"]
    for minor in minors:
        for versions in (root / "versions" for root in roots):
            # A patch number sorts as a number: 3.13.10 is newer than 3.13.9.
            pattern = re.compile(r"{}\.{}\.(\d+)$".format(*minor))
            found = [(int(m.group(1)), f) for f in _entries(versions) for m in [pattern.match(f.name)] if m]
            for _, folder in sorted(found, reverse=True):
                for path in (folder / "bin" / "python3", folder / "python.exe"):
                    if path.is_file():
                        yield str(path)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def chosen_python(value: str, environ: Mapping[str, str]) -> tuple[list[str], tuple[tuple[int, int], ...]]:
    """Interpreters that UV_PYTHON names, and the minor versions that it allows.

    It may be a path (to an interpreter, or to the folder of one), a command, or a version.
    """
    if not value:
        return [], MINORS
    if os.path.isdir(value):
        return [p for p in (os.path.join(value, s) for s in ("bin/python3", "python.exe")) if os.path.isfile(p)], MINORS
    if os.path.isfile(value):
        return [value], MINORS
    version = re.match(r"^(?:python|cpython)?[-@=]*(\d+)\.(\d+)(?:$|[.\-])", value)
    named = tuple(m for m in MINORS if version and m == (int(version.group(1)), int(version.group(2))))
    return list(on_path(value, environ)), named or MINORS


def candidates(root: Path, environ: Mapping[str, str], minors: Sequence[tuple[int, int]]) -> Iterator[list[str]]:
    """Every command that may be a fitting Python, the likeliest first.

    The environment that is already there comes before the search, so that a new lock file does not move it to
    another interpreter.
    """
    existing = venv_script(root, "python")
    if existing.exists():
        yield [str(existing)]
    if sys.executable:
        yield [sys.executable]
    for name in [*("python{}.{}".format(*minor) for minor in minors), "python3", "python"]:
        yield from ([path] for path in on_path(name, environ))
    yield from ([path] for path in pyenv_pythons(environ, minors))
    for launcher in on_path("py", environ):
        yield from ([launcher, "-{}.{}".format(*minor)] for minor in minors)


def find_interpreter(
    root: Path, environ: Mapping[str, str]
) -> tuple[Interpreter | None, list[Interpreter], tuple[tuple[int, int], ...]]:
    """Find an interpreter that runs and fits.

    Returns it (None if there is none), everything that was tried and passed over, and the minor versions wanted.
    """
    value = environ.get("UV_PYTHON", "")
    chosen, minors = chosen_python(value, environ)
    refused: list[Interpreter] = []
    for path in chosen:
        found = probe(path, minors=minors)
        if not found.problem:
            return found, refused, minors
        refused.append(found)
    if value and minors == MINORS:
        why = refused[-1].problem if refused else "is neither a path nor a version that fits"
        say(f"UV_PYTHON={value} {why}: passed over, {needed()} is needed")
    seen: set[str] = set(chosen)
    for command in candidates(root, environ, minors):
        if " ".join(command) not in seen:
            seen.add(" ".join(command))
            found = probe(*command, minors=minors)
            if not found.problem:
                return found, refused, minors
            refused.append(found)
    return None, refused, minors


def needed() -> str:
    """Name the versions that will do, e.g. 'Python 3.12 or 3.13'."""
    return "Python " + " or ".join("{}.{}".format(*minor) for minor in sorted(MINORS))


# --- uv -----------------------------------------------------------------------------------------------------------


def uv_version(path: str) -> tuple[int, ...]:
    """Version of a uv that runs; () if it does not."""
    code, output = output_of([path, "--version"])
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", output)
    return tuple(int(part) for part in match.groups()) if match and code == 0 else ()


def find_uv(root: Path, environ: Mapping[str, str]) -> str | None:
    """Find a uv that runs and is new enough: on PATH, where its own installer puts it, or the one installed here."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or os.path.expanduser("~"))
    suffix = ".exe" if os.name == "nt" else ""
    folders = [home / ".local" / "bin", home / ".cargo" / "bin", root / ".uv" / "tool" / "bin"]
    for path in [*on_path("uv", environ), *(str(folder / ("uv" + suffix)) for folder in folders)]:
        if os.path.isfile(path) and uv_version(path) >= UV_OLDEST:
            return path
    return None


def install_uv(root: Path, pythons: Sequence[str], environ: Mapping[str, str], handle: int) -> str:
    """Install uv into .uv/tool with the pip of the first interpreter that has one.

    `--target` touches no environment, so a Python that its distribution manages (PEP 668) allows it too.
    """
    import shutil

    python = next((p for p in dict.fromkeys(pythons) if output_of([p, "-m", "pip", "--version"])[0] == 0), None)
    if python is None:
        raise SetUpError(
            f"there is no uv here, and no pip to install it ({pythons[0]} -m pip does not run).\n"
            "Install pip (Debian, Ubuntu: sudo apt install python3-pip; Fedora: sudo dnf install python3-pip),\n"
            "or uv itself (https://docs.astral.sh/uv/getting-started/installation/), and run this again."
        )
    say(f"installing {UV_REQUIREMENT} into .uv with {python} -m pip")
    partial = root / ".uv" / f"tool-{os.getpid()}.partial"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-user"]
    # Where these are set, pip refuses --target, or wants a virtual environment that is not there yet.
    refusing = ("PIP_USER", "PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PIP_REQUIRE_VIRTUALENV")
    env = {name: value for name, value in environ.items() if name not in refusing}
    env["PIP_ROOT_USER_ACTION"] = "ignore"  # it warns of a harm that --target cannot do
    code = call([*command, "--target", str(partial), UV_REQUIREMENT], root, env, handle)
    if code:
        shutil.rmtree(str(partial), ignore_errors=True)
        raise SetUpError(
            f"pip could not install uv (exit code {code}; its own words are above).\n"
            "Without a network, install uv by other means (https://docs.astral.sh/uv/getting-started/installation/)\n"
            "so that `uv --version` works, and run this again."
        )
    shutil.rmtree(str(root / ".uv" / "tool"), ignore_errors=True)
    os.replace(str(partial), str(root / ".uv" / "tool"))
    if found := find_uv(root, {**environ, "PATH": ""}):
        return found
    raise SetUpError("pip installed a uv that does not run: delete the folder .uv and run this again.")


def uv_environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Environment for uv: what is installed, and where, is decided by the lock file and this file alone."""
    drop = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")
    env = {k: v for k, v in environ.items() if k not in drop and not UV_SETTINGS_DROPPED.fullmatch(k)}
    env["UV_PROJECT_ENVIRONMENT"] = str(root / ".venv")
    return env


def fetch_interpreter(
    uv: str, refused: Sequence[Interpreter], minors: Sequence[tuple[int, int]], env: Mapping[str, str]
) -> Interpreter:
    """Let uv find an interpreter in its own places, or download one."""
    import subprocess

    request = "{}.{}".format(*minors[0])
    found = _uv_finds(uv, minors, env)
    if found is None:
        say(f"no {needed()} here: asking uv to download {request}")
        subprocess.call([uv, "python", "install", "--no-bin", request], env=dict(env), stdout=sys.stderr)
        found = _uv_finds(uv, minors, env)
    if found is not None:
        return found
    tried = "".join(f"  {line}\n" for line in dict.fromkeys(f"{i.path} {i.problem}" for i in refused))
    raise SetUpError(
        f"{needed()} is needed, there is none here, and uv could not download one. Looked at:\n{tried}"
        f"Install one (pyenv install {request}; brew install python@{request}; sudo apt install python{request};\n"
        f"https://www.python.org/downloads/), or set UV_PYTHON to the path of one, and run this again."
    )


def _uv_finds(uv: str, minors: Sequence[tuple[int, int]], env: Mapping[str, str]) -> Interpreter | None:
    for minor in minors:
        command = [uv, "python", "find", "--no-project", "--system", "--no-python-downloads", "{}.{}".format(*minor)]
        code, output = output_of(command, env)
        if code == 0 and not (found := probe(output.strip(), minors=minors)).problem:
            return found
    return None


# --- setting up ---------------------------------------------------------------------------------------------------


@contextmanager
def lock(folder: Path) -> Iterator[int]:
    """Hold the folder for one set-up at a time.

    The system drops the lock with its last holder, so a killed start leaves none behind; pip and uv inherit it, so
    one that outlives a killed start is waited for.
    """
    folder.mkdir(exist_ok=True)
    handle = os.open(str(folder / "lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _wait_for(handle)
        yield handle
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        import errno

        if err.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise  # a file system without locks: say so rather than wait for ever
        return False
    return True


def _wait_for(handle: int) -> None:
    import time

    if not _try_lock(handle):
        say("another set-up of this folder is running: waiting for it")
        while not _try_lock(handle):
            time.sleep(0.1)


def clear(root: Path, folder: Path) -> None:
    """Remove a folder; it is moved out of the way first, so that a kill leaves no half of it in its place."""
    import shutil

    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        aside = root / ".uv" / f"{folder.name.lstrip('.')}-{os.getpid()}.partial"
        os.replace(str(folder), str(aside))
        shutil.rmtree(str(aside), ignore_errors=True)


def set_up(root: Path, key: str, environ: Mapping[str, str]) -> None:
    """Bring .venv to the state of the lock file and stamp it."""
    import shutil

    with lock(root / ".uv") as handle:
        if is_ready(root, key):  # by the set-up that this one waited for
            return
        for leftover in (root / ".uv").glob("*.partial"):
            shutil.rmtree(str(leftover), ignore_errors=True)
        python, refused, minors = find_interpreter(root, environ)
        uv = find_uv(root, environ)
        if uv is None:
            others = [i.path for i in refused if i.version >= (3, 8)]
            uv = install_uv(root, [sys.executable, *([python.path] if python else []), *others], environ, handle)
        env = uv_environment(root, environ)
        if python is None:
            python = fetch_interpreter(uv, refused, minors, env)
        sync(root, uv, python, env, handle)
        write_stamp(root, key, python.path)


def sync(root: Path, uv: str, python: Interpreter, env: Mapping[str, str], handle: int) -> None:
    """Run `uv sync --locked`, so that a kill or a full disk half way is repaired by the next start.

    uv believes a package that has its list of files, even if it was stopped while it copied them. So a note in
    .uv says that an installation is under way; a start that finds one makes the environment anew.
    """
    venv, note = root / ".venv", root / ".uv" / "unfinished"
    if venv.exists() and (note.exists() or not runs(venv_script(root, "python"))):
        clear(root, venv)
    (venv / ".stamp").unlink(missing_ok=True)
    command = [uv, "sync", "--locked", "--python", python.path]
    if venv.exists() and call([*command, "--check"], root, env, handle, silent=True) == 0:
        return
    say(f"setting up .venv with Python {'.'.join(map(str, python.version))}")
    before = installed_state(venv)
    note.touch()
    code = call(command, root, env, handle)
    if code == 0 or (code > 0 and installed_state(venv) == before):
        note.unlink()
    if code:
        raise SetUpError(
            f"uv could not install the dependencies (exit code {code}; its own words are above).\n"
            "If the lock file is out of date, `uv lock` renews it; if the network failed, run this again;\n"
            "if it goes on, delete the folders .venv and .uv and run this again."
        )


def installed_state(venv: Path) -> list[tuple[str, int]]:
    """Times of the package folders: unchanged where uv failed before it installed or removed anything."""
    folders = [*venv.glob("lib/python*/site-packages"), *venv.glob("Lib/site-packages")]
    return sorted((str(folder), folder.stat().st_mtime_ns) for folder in folders)


def runs(python: Path) -> bool:
    """Tell whether this Python runs: uv would refuse an environment without one instead of replacing it."""
    return output_of([str(python), "-I", "-c", ""])[0] == 0


def call(command: Sequence[str], root: Path, env: Mapping[str, str], handle: int, *, silent: bool = False) -> int:
    """Exit code of a long command, run in the project; what it prints goes to standard error, or nowhere."""
    import subprocess

    done = subprocess.run(
        list(command),
        cwd=str(root),
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if silent else sys.stderr,
        stderr=subprocess.DEVNULL if silent else sys.stderr,
        pass_fds=(handle,) if os.name != "nt" else (),
        check=False,
    )
    return done.returncode


# --- running ------------------------------------------------------------------------------------------------------


def command_environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Environment of the command: .venv first, and compiled modules are kept."""
    # With PYTHONDONTWRITEBYTECODE set, as in many container images, Python compiles every module of the big
    # libraries again at each start: 8 s instead of 3 s for a forecast.
    drop = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "__PYVENV_LAUNCHER__")
    env = {name: value for name, value in environ.items() if name not in drop}
    scripts = venv_script(root, "python").parent
    env["VIRTUAL_ENV"] = str(root / ".venv")
    env["PATH"] = os.pathsep.join([str(scripts), *filter(None, [environ.get("PATH")])])
    return env


def run(root: Path, command: str, arguments: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Become the command; on Windows, run it and pass its exit code on."""
    script = venv_script(root, command)
    if Path(command).name != command or not script.exists():
        raise SetUpError(unknown_command(root, command))
    env = command_environment(root, environ)
    if os.name != "nt":
        os.execve(str(script), [str(script), *arguments], env)  # noqa: S606
    import signal
    import subprocess

    child = subprocess.Popen([str(script), *arguments], env=env)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command has it too, and decides what to do
    sys.exit(child.wait())


def unknown_command(root: Path, command: str) -> str:
    """Say that there is no such command, and which there are."""
    from difflib import get_close_matches

    names = sorted(p.stem if os.name == "nt" else p.name for p in _entries(venv_script(root, "python").parent))
    close = get_close_matches(command, names, 1)
    hint = f"did you mean {close[0]}?" if close else "usual ones are forecast, pytest, python, ruff and mypy."
    return f"no command {command!r} in .venv: {hint}"


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Set up if need be and run; returns only where that fails or help is asked for."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    try:
        key = wanted_key(ROOT, environ)
        if not is_ready(ROOT, key):
            set_up(ROOT, key, environ)
        run(ROOT, arguments[0], arguments[1:], environ)
    except SetUpError as err:
        say(str(err).replace("\n", "\n  "))
        return 2
    except OSError as err:
        say(f"{err.filename or ROOT}: {err.strerror or err}")
        return 2
    except KeyboardInterrupt:
        say("interrupted; the next start goes on from here")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
