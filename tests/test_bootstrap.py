"""bootstrap.py: which interpreter and which uv it takes, what it says, and that a kill breaks nothing."""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
FITS = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHER = {"3.12": "3.13", "3.13": "3.12"}[FITS]
BASE = Path(getattr(sys, "_base_executable", sys.executable))

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in executables are shell scripts")


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["bootstrap"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder of the test's own, with a copy of what decides the stamp."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("bootstrap.py", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, root / name)
    return root


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_python(
    path: Path, version: str, release: str = "final", name: str = "cpython", bits: str = "64", threads: str = "ordinary"
) -> Path:
    """Make a stand-in that answers the probe as an interpreter of this version would."""
    answer = "\\n".join([version, release, name, bits, threads, str(path)])
    return executable(path, f"printf '{answer}\\n'")


def shim(path: Path) -> Path:
    """Make a stand-in for the shim of pyenv for a version that is installed but not switched on."""
    return executable(path, 'echo "pyenv: python3.13: command not found" >&2\nexit 127')


def environ(tmp_path: Path, *folders: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "PATH": os.pathsep.join(map(str, folders)), **more}


@pytest.fixture
def old_current(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that bootstrap.py was started with Python 3.11."""
    path = fake_python(tmp_path / "current" / "python3", "3.11.7")
    monkeypatch.setattr(bootstrap.sys, "executable", str(path))
    return path


# --- the interpreter


def test_the_running_interpreter_is_taken_where_it_fits(bootstrap: ModuleType, tmp_path: Path) -> None:
    found, refused, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path))
    assert found.version[:2] == sys.version_info[:2]
    assert Path(found.path).samefile(BASE)
    if sys.prefix != sys.base_prefix:  # not the link in this environment, which may be removed
        assert not Path(found.path).is_relative_to(sys.prefix)
    assert refused == []


def test_a_shim_that_does_not_run_is_passed_over(bootstrap: ModuleType, tmp_path: Path, old_current: Path) -> None:
    first, second = tmp_path / "shims", tmp_path / "bin"
    shim(first / "python3.13")
    good = fake_python(second / "python3.13", "3.13.2")
    found, refused, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path, first, second))
    assert found.path == str(good)
    assert [i.problem for i in refused] == ["is Python 3.11.7", "does not run (exit code 127)"]


@pytest.mark.parametrize("where", ["variable", "home"])
def test_pyenv_is_searched_beside_its_default_and_the_newest_patch_wins(
    bootstrap: ModuleType, tmp_path: Path, old_current: Path, where: str
) -> None:
    root = tmp_path / ("elsewhere" if where == "variable" else "home/.pyenv")
    shim(tmp_path / "shims" / "python3.13")
    for version in ("2.7.18", "3.11.7", "3.12.9", "3.13.9", "3.13.10", "3.14.0"):
        fake_python(root / "versions" / version / "bin" / "python3", version)
    (root / "versions" / "3.13.11" / "bin").mkdir(parents=True)  # an installation that was broken off
    more = {"PYENV_ROOT": str(root)} if where == "variable" else {}
    found, _, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path, tmp_path / "shims", **more))
    assert found.version == (3, 13, 10)


def test_3_12_alone_will_do(bootstrap: ModuleType, tmp_path: Path, old_current: Path) -> None:
    fake_python(tmp_path / "home/.pyenv/versions/3.12.1/bin/python3", "3.12.1")
    found, _, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path))
    assert found.version == (3, 12, 1)


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        ({"version": "3.14.0"}, "is Python 3.14.0"),
        ({"version": "3.13.0", "release": "candidate"}, "is a pre-release"),
        ({"version": "3.13.0", "name": "pypy"}, "is pypy"),
        ({"version": "3.13.0", "bits": "32"}, "32 bit"),
        ({"version": "3.13.0", "threads": "free-threaded"}, "free-threaded"),
    ],
)
def test_an_interpreter_without_compiled_libraries_is_refused(
    bootstrap: ModuleType, tmp_path: Path, old_current: Path, odd: dict[str, str], problem: str
) -> None:
    fake_python(tmp_path / "bin" / "python3.13", **odd)
    found, refused, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path, tmp_path / "bin"))
    assert found is None
    assert problem in refused[-1].problem


def test_what_only_looks_like_python_is_refused(bootstrap: ModuleType, tmp_path: Path, old_current: Path) -> None:
    executable(tmp_path / "bin" / "python3.13", "echo hello")
    (tmp_path / "bin" / "python3.12").write_bytes(b"\x00not a program")
    (tmp_path / "bin" / "python3.12").chmod(0o755)
    found, refused, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path, tmp_path / "bin"))
    assert found is None
    assert refused[1].problem == "is not Python"
    assert refused[2].problem.startswith("does not run: ")


def test_an_interpreter_that_never_answers_is_given_up(
    bootstrap: ModuleType, tmp_path: Path, old_current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "PROBE_SECONDS", 0.3)
    executable(tmp_path / "bin" / "python3.13", "exec sleep 30")
    started = time.monotonic()
    found, refused, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path, tmp_path / "bin"))
    assert found is None
    assert refused[-1].problem == "does not run: no answer within 0.3 s"
    assert time.monotonic() - started < 20


def test_the_environment_that_is_there_keeps_its_interpreter(bootstrap: ModuleType, project: Path) -> None:
    fake_python(project / ".venv" / "bin" / "python", f"{OTHER}.1")
    found, _, _ = bootstrap.find_interpreter(project, environ(project))
    assert found.version == (*map(int, OTHER.split(".")), 1)


@pytest.mark.parametrize("form", ["path", "folder", "version", "name"])
def test_uv_python_chooses(bootstrap: ModuleType, tmp_path: Path, form: str) -> None:
    chosen = fake_python(tmp_path / "chosen" / "bin" / "python3", f"{OTHER}.4")
    fake_python(tmp_path / "bin" / f"python{OTHER}", f"{OTHER}.4")
    value = {
        "path": str(chosen),
        "folder": str(tmp_path / "chosen"),
        "version": OTHER,
        "name": f"python{OTHER}",
    }[form]
    found, _, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path, tmp_path / "bin", UV_PYTHON=value))
    assert found.version == (*map(int, OTHER.split(".")), 4)  # although the running interpreter fits as well


@pytest.mark.parametrize("value", ["/no/such/python", "3.11", "nonsense"])
def test_a_uv_python_that_does_not_fit_is_passed_over_aloud(
    bootstrap: ModuleType, tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _, _ = bootstrap.find_interpreter(tmp_path, environ(tmp_path, UV_PYTHON=value))
    assert found.version[:2] == sys.version_info[:2]
    assert f"UV_PYTHON={value} is neither a path nor a version that fits: passed over" in capsys.readouterr().err


# --- uv


def fake_uv(path: Path, version: str = "0.13.9", more: str = "exit 1") -> Path:
    return executable(path, f'if [ "$1" = --version ]; then echo "uv {version} (stand-in)"; exit 0; fi\n{more}')


def test_a_uv_on_path_must_run_and_be_new_enough(bootstrap: ModuleType, tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    shim(a / "uv")
    fake_uv(b / "uv", "0.4.30")
    good = fake_uv(c / "uv", "0.10.0")  # as text it would be older than 0.9
    assert bootstrap.find_uv(tmp_path, environ(tmp_path, a, b)) is None
    assert bootstrap.find_uv(tmp_path, environ(tmp_path, a, b, c)) == str(good)


def test_the_uv_installed_before_is_found_again(bootstrap: ModuleType, tmp_path: Path) -> None:
    kept = fake_uv(tmp_path / ".uv" / "tool" / "bin" / "uv")
    assert bootstrap.find_uv(tmp_path, environ(tmp_path)) == str(kept)


def test_no_pip_says_what_to_install(bootstrap: ModuleType, tmp_path: Path) -> None:
    python = executable(tmp_path / "bin" / "python3", 'echo "No module named pip" >&2\nexit 1')
    with pytest.raises(bootstrap.SetUpError, match=r"(?s)no pip to install it.*apt install python3-pip.*astral\.sh"):
        bootstrap.install_uv(tmp_path, [str(python)], environ(tmp_path), os.open(os.devnull, os.O_RDONLY))


def pip_that_installs(path: Path, uv: str) -> Path:
    """Make a stand-in for `python -m pip`, refusing what pip refuses, that installs `uv` into --target."""
    return executable(
        path,
        'if [ "$3" = --version ]; then exit 0; fi\n'
        'if [ -n "$PIP_USER$PIP_REQUIRE_VIRTUALENV" ]; then exit 3; fi\n'
        'while [ "$1" != --target ]; do shift; done\n'
        f'mkdir -p "$2/bin" && cp "{uv}" "$2/bin/uv"',
    )


def test_pip_installs_uv_whole_or_not_at_all(bootstrap: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".uv").mkdir()
    handle = os.open(os.devnull, os.O_RDONLY)
    broken = executable(
        tmp_path / "broken", 'if [ "$3" = --version ]; then exit 0; fi\nmkdir -p .uv/tool-$PPID.partial\nexit 1'
    )
    with pytest.raises(bootstrap.SetUpError, match="pip could not install uv"):
        bootstrap.install_uv(tmp_path, [str(broken)], environ(tmp_path, Path("/usr/bin"), Path("/bin")), handle)
    assert list((tmp_path / ".uv").iterdir()) == []
    python = pip_that_installs(tmp_path / "python3", str(fake_uv(tmp_path / "uv")))
    hindered = environ(tmp_path, Path("/usr/bin"), Path("/bin"), PIP_USER="1", PIP_REQUIRE_VIRTUALENV="1")
    found = bootstrap.install_uv(tmp_path, ["/no/such/python", str(python)], hindered, handle)
    assert found == str(tmp_path / ".uv" / "tool" / "bin" / "uv")
    os.close(handle)


def test_settings_that_change_what_is_installed_do_not_reach_uv(bootstrap: ModuleType, tmp_path: Path) -> None:
    foreign = ["UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_MINE_PASSWORD", "UV_PYTHON"]
    foreign += ["UV_FROZEN", "UV_EXCLUDE_NEWER", "UV_NO_DEV", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV", "PYTHONPATH"]
    kept = ["UV_CACHE_DIR", "UV_OFFLINE", "UV_PYTHON_DOWNLOADS", "UV_PYTHON_INSTALL_MIRROR", "HTTPS_PROXY", "PATH"]
    env = bootstrap.uv_environment(tmp_path, dict.fromkeys([*foreign, *kept], "x"))
    assert env == dict.fromkeys(kept, "x") | {"UV_PROJECT_ENVIRONMENT": str(tmp_path / ".venv")}


def test_uv_fetches_an_interpreter_where_there_is_none(bootstrap: ModuleType, tmp_path: Path) -> None:
    fetched = tmp_path / "fetched" / "python3.13"
    ready = fake_python(tmp_path / "ready", "3.13.5")
    find = f'if [ "$2" = find ]; then [ -e {fetched} ] && echo {fetched} && exit 0; exit 2; fi\n'
    get = f'if [ "$2" = install ]; then mkdir -p {fetched.parent}; cp {ready} {fetched}; exit 0; fi'
    uv = fake_uv(tmp_path / "uv", more=find + get)
    env = environ(tmp_path, Path("/usr/bin"), Path("/bin"))
    assert bootstrap.fetch_interpreter(str(uv), [], bootstrap.MINORS, env).version == (3, 13, 5)


def test_no_interpreter_at_all_says_what_was_tried_and_what_to_do(bootstrap: ModuleType, tmp_path: Path) -> None:
    uv = fake_uv(tmp_path / "uv", more="exit 2")
    refused = [bootstrap.Interpreter("/usr/bin/python3", (3, 11, 2), "is Python 3.11.2")] * 2
    with pytest.raises(bootstrap.SetUpError) as caught:
        bootstrap.fetch_interpreter(str(uv), refused, bootstrap.MINORS, environ(tmp_path))
    message = str(caught.value)
    assert message.count("/usr/bin/python3 is Python 3.11.2") == 1
    for part in ("Python 3.12 or 3.13 is needed", "pyenv install 3.13", "UV_PYTHON"):
        assert part in message


# --- the stamp and the installation


def whole_start(project: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap.py as a user would, with stand-ins for uv and for a Python that fits."""
    env = environ(project.parent, project.parent / "bin", Path("/usr/bin"), Path("/bin"), **more)
    return subprocess.run(
        [str(BASE), str(project / "bootstrap.py"), *arguments], env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture
def uv_log(project: Path) -> Path:
    """Put a stand-in for uv on PATH: `sync` makes .venv with two commands, and every call is logged."""
    log = project.parent / "uv.log"
    more = f"""echo "$*" >> {log}
case "$*" in *--check*) [ -e .venv/whole ] && exit 0; echo "error: outdated" >&2; exit 1;; esac
[ -e fail ] && exit 2
mkdir -p .venv/bin .venv/lib/python3.13/site-packages
ln -sf {BASE} .venv/bin/python
[ -e half ] && mkdir .venv/lib/python3.13/site-packages/numpy && exit 2
[ -e hang ] && touch hanging && exec sleep 60
printf '#!/bin/sh\\necho "$@" "[$PYTHONDONTWRITEBYTECODE]" "$VIRTUAL_ENV"\\nexit 7\\n' > .venv/bin/forecast
chmod +x .venv/bin/forecast
touch .venv/whole"""
    fake_uv(project.parent / "bin" / "uv", more=more)
    return log


def calls(log: Path) -> int:
    return len(log.read_text(encoding="utf-8").splitlines())


def test_the_command_gets_its_arguments_and_gives_its_exit_code(project: Path, uv_log: Path) -> None:
    done = whole_start(project, "forecast", "run", "a b", "--", "$HOME", PYTHONDONTWRITEBYTECODE="1")
    assert (done.returncode, done.stdout) == (7, f"run a b -- $HOME [] {project / '.venv'}\n")
    first = uv_log.read_text(encoding="utf-8")
    assert first.startswith("sync --locked --python ")
    again = whole_start(project, "forecast")
    assert (again.returncode, again.stderr) == (7, "")
    assert uv_log.read_text(encoding="utf-8") == first  # uv was not asked again


def test_an_environment_that_is_whole_but_unstamped_is_taken_quietly(project: Path, uv_log: Path) -> None:
    whole_start(project, "forecast")
    (project / ".venv" / ".stamp").unlink()
    again = whole_start(project, "forecast")
    assert (again.returncode, again.stderr) == (7, "")
    assert uv_log.read_text(encoding="utf-8").splitlines()[-1].endswith("--check")
    assert (project / ".venv" / ".stamp").exists()


@pytest.mark.parametrize("change", ["uv.lock", "pyproject.toml", "UV_PYTHON", "place", "python", "stamp"])
def test_uv_is_asked_again_when_anything_changed(project: Path, uv_log: Path, change: str) -> None:
    whole_start(project, "forecast")
    before = calls(uv_log)
    more: dict[str, str] = {}
    if change in {"uv.lock", "pyproject.toml"}:
        with (project / change).open("a", encoding="utf-8") as file:
            file.write("# changed\n")
        (project / ".venv" / "whole").unlink()
    elif change == "UV_PYTHON":
        more = {"UV_PYTHON": FITS}
    elif change == "place":
        project = project.rename(project.with_name("moved"))
    elif change == "python":
        (project / ".venv" / "bin" / "python").unlink()
    else:
        (project / ".venv" / ".stamp").write_text("half of a st", encoding="utf-8")
    changed = whole_start(project, "forecast", **more)
    assert changed.returncode == 7
    assert "outdated" not in changed.stderr  # the answer to a question that the user did not ask
    assert calls(uv_log) > before
    after = calls(uv_log)
    whole_start(project, "forecast", **more)
    assert calls(uv_log) == after


def test_an_upgraded_interpreter_is_noticed(bootstrap: ModuleType, project: Path) -> None:
    python = executable(project / ".venv" / "bin" / "python", "exit 0")
    bootstrap.write_stamp(project, "key", str(python))
    assert bootstrap.is_ready(project, "key")
    assert not bootstrap.is_ready(project, "another key")
    os.utime(python, (1, 1))
    assert not bootstrap.is_ready(project, "key")
    python.unlink()
    assert not bootstrap.is_ready(project, "key")


def test_a_failure_before_anything_was_changed_keeps_the_environment(project: Path, uv_log: Path) -> None:
    whole_start(project, "forecast")
    mine = project / ".venv" / "mine"
    mine.touch()
    (project / ".venv" / "whole").unlink()
    (project / "uv.lock").write_text("changed", encoding="utf-8")
    (project / "fail").touch()
    done = whole_start(project, "forecast")
    assert done.returncode == 2
    assert "uv could not install the dependencies (exit code 2" in done.stderr
    assert mine.exists()
    (project / "fail").unlink()
    assert whole_start(project, "forecast").returncode == 7
    assert mine.exists()


def test_a_failure_half_way_makes_the_environment_anew(project: Path, uv_log: Path) -> None:
    (project / "half").touch()
    assert whole_start(project, "forecast").returncode == 2
    assert (project / ".venv/lib/python3.13/site-packages/numpy").exists()
    (project / "half").unlink()
    assert whole_start(project, "forecast").returncode == 7
    assert not (project / ".venv/lib/python3.13/site-packages/numpy").exists()
    assert sorted(p.name for p in (project / ".uv").iterdir()) == ["lock"]


def test_a_kill_half_way_makes_the_environment_anew(project: Path, uv_log: Path) -> None:
    (project / "hang").touch()
    env = environ(project.parent, project.parent / "bin", Path("/usr/bin"), Path("/bin"))
    killed = subprocess.Popen(
        [str(BASE), str(project / "bootstrap.py"), "forecast"],
        env=env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(project / "hanging")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    left = project / ".venv" / "left"
    left.touch()
    (project / "hang").unlink()
    assert whole_start(project, "forecast").returncode == 7
    assert not left.exists()


def test_two_at_once_install_once_and_a_uv_that_outlives_its_start_is_waited_for(project: Path, uv_log: Path) -> None:
    (project / "hang").touch()
    command = [str(BASE), str(project / "bootstrap.py"), "forecast"]
    env = environ(project.parent, project.parent / "bin", Path("/usr/bin"), Path("/bin"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(command, env=env, start_new_session=True, **quiet)
    wait_for(project / "hanging")
    (project / "hang").unlink()
    os.kill(first.pid, signal.SIGKILL)  # the start alone: its uv lives on
    first.wait()
    others = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    time.sleep(0.5)
    assert [other.poll() for other in others] == [None, None]
    os.killpg(first.pid, signal.SIGKILL)
    told = [other.communicate(timeout=60)[1].decode() for other in others]
    assert [other.returncode for other in others] == [7, 7]
    assert all("another set-up of this folder is running: waiting for it" in text for text in told)
    assert uv_log.read_text(encoding="utf-8").count("sync --locked") == 2


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < limit, f"{path.name} did not appear"
        time.sleep(0.02)


def test_an_unknown_command_names_the_nearest(project: Path, uv_log: Path) -> None:
    done = whole_start(project, "forcast")
    assert done.returncode == 2
    assert "no command 'forcast' in .venv: did you mean forecast?" in done.stderr
    outside = whole_start(project, "../../../bin/uv")  # it is there, but not a command of the project
    assert outside.returncode == 2
    assert "no command '../../../bin/uv'" in outside.stderr


def test_help_and_no_command(project: Path) -> None:
    shown, missing = whole_start(project, "--help"), whole_start(project)
    assert (shown.returncode, missing.returncode) == (0, 2)
    assert "python3 bootstrap.py pytest" in shown.stdout
    assert missing.stderr == shown.stdout
    assert not (project / ".uv").exists()


def test_a_missing_file_is_one_line(project: Path) -> None:
    (project / "uv.lock").unlink()
    done = whole_start(project, "forecast")
    assert done.returncode == 2
    assert done.stderr == f"bootstrap: {project / 'uv.lock'}: No such file or directory\n"


def test_the_file_is_written_for_python_3_8(bootstrap: ModuleType) -> None:
    import ast

    ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"), feature_version=(3, 8))


def test_the_versions_are_those_of_the_project_file(bootstrap: ModuleType) -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest, newest = sorted(bootstrap.MINORS)[0], sorted(bootstrap.MINORS)[-1]
    expected = f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"
    assert project["project"]["requires-python"] == expected
    assert project["build-system"]["requires"] == [bootstrap.UV_REQUIREMENT.replace("uv", "uv_build")]


@pytest.mark.skipif(not (ROOT / ".venv" / ".stamp").exists(), reason=".venv was not made by bootstrap.py")
def test_a_second_start_costs_little() -> None:
    """Extra CPU time of a start through bootstrap.py, over one without it: 0.05 s measured, 0.2 s allowed."""
    command = [str(ROOT / "bootstrap.py"), "python", "-c", ""]
    subprocess.run([str(BASE), *command], capture_output=True, check=True)  # brings .venv up to date, if need be
    through = min(cpu_seconds([str(BASE), *command]) for _ in range(5))
    straight = min(cpu_seconds([sys.executable, "-c", ""]) for _ in range(5))
    assert through - straight < 0.2


def cpu_seconds(command: list[str]) -> float:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# --- the whole, on a clean clone


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_a_fresh_clone_with_nothing_but_python(tmp_path: Path) -> None:
    """Clone, a home of its own, no uv: install for real, run, run again without a network."""
    repository, home = tmp_path / "repository", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(repository)], check=True)
    passed_on = ("PYENV_ROOT", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS", "SSL_CERT_FILE", "HTTPS_PROXY")
    env = {name: os.environ[name] for name in (*passed_on, "https_proxy") if name in os.environ}
    folders = [f for f in os.environ["PATH"].split(os.pathsep) if not (Path(f) / "uv").exists()]
    env |= {"HOME": str(home), "PATH": os.pathsep.join(f for f in folders if ".venv" not in f)}

    def start(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["python3", "bootstrap.py", *command],
            cwd=repository,
            env=env | more,
            capture_output=True,
            text=True,
            check=False,
        )

    first = start("forecast", "--help")
    assert first.returncode == 0, first.stderr
    assert "forecast run" in first.stdout
    offline = {"UV_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    again = start("forecast", "--help", **offline)
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")
    (repository / ".venv" / ".stamp").unlink()
    quiet = start("pytest", "--version", **offline)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert changed.stdout == ""  # the lock file is as it was, and everything made is ignored
