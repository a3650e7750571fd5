"""What a task may rely on (docs/local-tasks.md), in every way in which one is started, value for value as in a bare runner."""

from __future__ import annotations

import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import submitit
from submitit import environ
from submitit.helpers import DelayedSubmission
from support import calls, world
from support.local_processes import Clients, put

#: Parameters by which a task becomes what it is called. Lines of shell need a fresh process.
WAYS: dict[str, dict[str, Any]] = {
    "forked": {},
    "preloaded": {"preload": ["numpy.random", "asyncio", "multiprocessing", "concurrent.futures", "logging.handlers"]},
    "fresh": {"setup": [":"]},
}
all_ways = pytest.mark.parametrize("way", list(WAYS))

#: What a shell changes by itself, and what says which task of which job it is.
_SHELLS = {b"_", b"SHLVL", b"PWD", b"OLDPWD"}
_OF_THE_JOB = (b"SUBMITIT_",)


def executor_for(way: str, folder: Path, **parameters: Any) -> submitit.LocalExecutor:
    executor = submitit.LocalExecutor(folder)
    executor.update_parameters(**{"timeout_min": 10, "max_cpus": 16, **WAYS[way], **parameters})
    return executor


class Ended(NamedTuple):
    """A task that is over."""

    code: int
    #: What it printed, without the runner's own lines.
    out: str
    err: str


def ended(job: submitit.LocalJob[Any]) -> Ended:
    calls.wait_for(lambda: job.get_info().get("End"))
    code, _, number = job.get_info()["ExitCode"].partition(":")
    out, err = (re.sub(r"submitit [A-Z]+ \(.*\n", "", text or "") for text in (job.stdout(), job.stderr()))
    return Ended(-int(number) or int(code), out, err)


# ---------------------------------------------------------------- what there is to see


class Seen(NamedTuple):
    """What tasks saw that were started when the client's process was like this."""

    by: dict[str, dict[str, Any]]
    cwd: str
    folder: Path
    variables: dict[bytes, bytes]
    limits: dict[str, tuple[int, int]]
    jobs: dict[str, submitit.LocalJob[Any]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The client changes itself after its first submission: what counts is how it is when it submits."""
    directory = tmp_path_factory.mktemp("world")
    folder = directory / "jobs"
    (directory / "cwd").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        assert executor_for("forked", folder).submit(calls.add, 1, 2).result() == 3
        patch.chdir(directory / "cwd")
        patch.setenv("TZ", "WORLD-5:45")
        patch.setenv("WORLD_LATIN", os.fsdecode(b"\xff\n'"))
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        patch.setenv("PWD", "/of/the/submitter")
        patch.delenv("PYTEST_VERSION")  # set before there was a controller
        mask = os.umask(0o027)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        core = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 24, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0 if core[0] else core[1], core[1]))
        try:
            jobs = {way: executor_for(way, folder).submit(world.observe) for way in WAYS}
            bare = _bare(folder)
            state = (os.getcwd(), folder, dict(os.environb), world.limits())
        finally:
            os.umask(mask)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_CORE, core)
    by: dict[str, Any] = {way: job.result() for way, job in jobs.items()}
    assert bare.wait(60) == 0, (folder / "9000_0_log.err").read_text()
    with (folder / "9000_0_result.pkl").open("rb") as file:
        by["bare"] = pickle.load(file)[1]
    return Seen(by, *state, {way: job for way, job in jobs.items() if isinstance(job, submitit.LocalJob)})


def _bare(folder: Path) -> subprocess.Popen[bytes]:
    """The runner's command, started here by hand."""
    DelayedSubmission(world.observe).dump(folder / "9000_submitted.pkl")
    variables = {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_JOB_ID": "9000",
        "SUBMITIT_LOCAL_GLOBALID": "0",
        "SUBMITIT_IMPORT_PATH": environ.import_path(),
        "CUDA_VISIBLE_DEVICES": "",
    }
    with (folder / "9000_0_log.out").open("ab") as out, (folder / "9000_0_log.err").open("ab") as err:
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "submitit.core._submit", str(folder)],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


#: What each way has of its own, looked at below.
_OWN = {"started with", "descriptors", "environment", "environment in C"}


@all_ways
@pytest.mark.parametrize("what", [name for name in world.NAMES if name not in _OWN])
def test_a_task_sees_what_a_bare_runner_sees(seen: Seen, way: str, what: str) -> None:
    found, expected = seen.by[way][what], seen.by["bare"][what]
    if (way, what) == ("preloaded", "warnings"):  # what numpy does when it is loaded
        found[0] = [entry for entry in found[0] if "numpy" not in str(entry)]
    assert found == expected


def test_what_is_called_forked_is(seen: Seen) -> None:
    program = ["-u", "-m", "submitit.core._submit", str(seen.folder)]
    assert seen.by["fresh"]["started with"][1:] == program
    for way in ("forked", "preloaded"):
        assert program[2] not in seen.by[way]["started with"], way


@all_ways
def test_the_program_is_the_runner(seen: Seen, way: str) -> None:
    task = seen.by[way]
    file = task["main"]["file"]
    assert task["arguments"] == [file, str(seen.folder)]
    assert task["command"] == [sys.executable, "-u", "-m", "submitit.core._submit", str(seen.folder)]
    assert file == str(Path(submitit.__file__).parent / "core" / "_submit.py")
    assert task["main"]["name"] == "__main__"
    assert task["main"]["spec"][0] == "submitit.core._submit"


@all_ways
def test_the_import_path_begins_where_the_job_runs_and_ends_with_the_submitters(seen: Seen, way: str) -> None:
    path = seen.by[way]["import path"]
    assert path[0] == seen.cwd == seen.by[way]["place"]["cwd"]
    assert str(Path(__file__).parent.parent.parent) in path


@all_ways
def test_the_environment_is_the_submitters(seen: Seen, way: str) -> None:
    task = seen.by[way]

    def of_the_user(variables: dict[bytes, bytes]) -> dict[bytes, bytes]:
        own = {name for name in variables if name.startswith(_OF_THE_JOB)} | _SHELLS | {b"CUDA_VISIBLE_DEVICES"}
        return {name: value for name, value in variables.items() if name not in own}

    assert of_the_user(task["environment"]) == of_the_user(seen.variables)
    assert {**task["environment"], b"_": b""} == {**task["environment in C"], b"_": b""}
    assert task["a variable in C"] == [b"\xff\n'", None, b"WORLD-5:45"]
    assert task["time zone"] == (("WORLD", "WORLD"), -20700, 5)
    assert way == "fresh" or task["environment"][b"PWD"] == b"/of/the/submitter"


@all_ways
def test_descriptors(seen: Seen, way: str) -> None:
    """Exactly three, which programs started from the task get."""
    found = seen.by[way]["descriptors"]
    paths = seen.jobs[way].paths
    assert {number: target for number, (target, _, _) in found.items()} == {
        0: "/dev/null",
        1: str(paths.stdout),
        2: str(paths.stderr),
    }
    assert found[0][1] & (os.O_WRONLY | os.O_RDWR) == 0
    bare = seen.by["bare"]["descriptors"]
    assert [found[number][1:] for number in (1, 2)] == [bare[number][1:] for number in (1, 2)]
    assert found[0][2], "inherited"


@all_ways
def test_output_is_not_buffered(seen: Seen, way: str) -> None:
    streams = seen.by[way]["streams"]
    assert [streams[name]["buffering"] for name in ("stdout", "stderr")] == [(False, True), (False, True)]
    assert streams["input"] == ""


@all_ways
def test_signals_are_as_in_any_python(seen: Seen, way: str) -> None:
    found = seen.by[way]["signals"]
    ignored = [number for number, handler in found["handlers"].items() if "SIG_IGN" in handler]
    assert found["blocked"] == found["pending"] == []
    assert found["wake-up"] == -1
    assert ignored == [signal.SIGPIPE, signal.SIGXFSZ]
    assert seen.by[way]["interrupt"] == "KeyboardInterrupt()"


@all_ways
def test_mask_and_limits_are_the_submitters_of_the_moment(seen: Seen, way: str) -> None:
    assert seen.by[way]["place"]["umask"] == 0o027
    assert seen.by[way]["limits"] == seen.limits


@all_ways
def test_a_task_leads_a_session_without_a_terminal(seen: Seen, way: str) -> None:
    assert seen.by[way]["session"] == {"session": True, "group": True, "terminal": False}


@all_ways
def test_a_task_has_one_thread(seen: Seen, way: str) -> None:
    threads = seen.by[way]["threads"]
    assert threads["main"]
    assert threads["numbers"] == (True, True)
    assert threads["all"] == ["MainThread"]


@all_ways
def test_only_the_librarys_logger_is_configured(seen: Seen, way: str) -> None:
    found = seen.by[way]["logging"]
    assert found["root"] == {"level": 30, "handlers": [], "propagate": True, "off": False}
    assert [(kind, level) for kind, level, _ in found["own"]["handlers"]] == [
        ("StreamHandler", 0),
        ("StreamHandler", 30),
    ]


@all_ways
def test_crashes_are_told_and_garbage_is_collected(seen: Seen, way: str) -> None:
    assert seen.by[way]["interpreter"]["crashes"]
    assert seen.by[way]["garbage"]["on"]


# ---------------------------------------------------------------- when a process is a new one


def test_what_only_a_new_interpreter_can_obey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside what is asked for in so many words: lines of shell, another interpreter."""
    values = {
        "PYTHONHASHSEED": "7",
        "PYTHONOPTIMIZE": "1",
        "LC_ALL": "C" if os.environ.get("LC_ALL") != "C" else "C.UTF-8",
        "LANG": "C" if os.environ.get("LANG") != "C" else "C.UTF-8",
        "LD_LIBRARY_PATH": "/nowhere",
        "MALLOC_ARENA_MAX": "1",
        "GLIBC_TUNABLES": "glibc.malloc.arena_max=1",
        "OMP_NUM_THREADS": "1",
    }
    executor = executor_for("forked", tmp_path / "jobs")
    jobs = {}
    for name, value in values.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            jobs[name] = executor.submit(world.observe)
    jobs["python="] = submitit.LocalExecutor(tmp_path / "jobs", python=f"{sys.executable} -O").submit(world.observe)
    seen = {name: job.result() for name, job in jobs.items()}
    assert {name for name, task in seen.items() if task["started with"] == task["command"]} == {
        *values,
        "python=",
    } - {"OMP_NUM_THREADS"}
    assert "hash_randomization=1, isolated=0" in seen["PYTHONHASHSEED"]["interpreter"]["flags"][0]
    assert "optimize=1" in seen["PYTHONOPTIMIZE"]["interpreter"]["flags"][0]
    assert "optimize=1" in seen["python="]["interpreter"]["flags"][0]


# ---------------------------------------------------------------- chance


def test_nothing_is_drawn_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    jobs = [executor_for(way, tmp_path / "jobs", tasks_per_node=2).submit(world.draw) for way in ("forked", *WAYS)]
    drawn = [task for job in jobs for task in job.results()]
    threads = [task.pop("threads") for task in drawn]
    for source in drawn[0]:
        assert len({task[source] for task in drawn}) == len(drawn), source
    assert threads == [[1]] * len(drawn), "the variable is obeyed"


# ---------------------------------------------------------------- processes of its own


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], submitit.Job[Any]]:
    directory = tmp_path_factory.mktemp("started")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("WORLD_LATIN", "of the client")
        return {
            (way, method): executor_for(way, directory / "jobs").submit(world.start_processes, method)
            for way in WAYS
            for method in ("fork", "spawn", "forkserver")
        }


@all_ways
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(started: dict[tuple[str, str], submitit.Job[Any]], way: str, method: str) -> None:
    job = started[way, method]
    assert job.result() == {
        "main": "__main__" if method == "fork" else "__mp_main__",
        "cwd": str(job.paths.folder.parent),
        "environment": b"of the client",
        "its parent": True,
        "handlers": ["<Handlers.SIG_DFL: 0>", "<Handlers.SIG_DFL: 0>", "default_int_handler"],
        "exit": -signal.SIGTERM,
        "map": [0, 1, 4, 9],
        "future": 49,
    }
    assert ended(job) == Ended(0, "", "")  # type: ignore[arg-type]


# ---------------------------------------------------------------- modules


def _attribute(way: str, folder: Path, module: str, name: str) -> Any:
    return executor_for(way, folder).submit(world.attribute, module, name).result()


@all_ways
def test_a_snapshot_of_the_library_in_the_working_directory_wins(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "place" / "submitit"
    shutil.copytree(Path(submitit.__file__).parent, snapshot, ignore=shutil.ignore_patterns("__pycache__"))
    with (snapshot / "orchestrator" / "runner.py").open("a") as file:
        file.write("\nOF_THE_SNAPSHOT = True\n")
    monkeypatch.chdir(snapshot.parent)
    assert _attribute(way, tmp_path / "jobs", "submitit.orchestrator.runner", "OF_THE_SNAPSHOT")
    assert _attribute(way, tmp_path / "jobs", "__main__", "__file__").startswith(str(snapshot))


@all_ways
def test_a_module_of_the_working_directory_wins_over_one_that_the_runner_has_loaded(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "platform.py").write_text("def python_implementation(): return 'CPython'\nMINE = 1")
    monkeypatch.chdir(tmp_path / "place")
    assert _attribute(way, tmp_path / "jobs", "platform", "MINE") == 1


@all_ways
def test_a_shadow_that_comes_later_wins_as_well(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    shadow = place / "platform.py"

    long_ago = time.time() - 100  # so that what is in it is known
    os.utime(place, (long_ago, long_ago))
    assert _attribute(way, tmp_path / "jobs", "platform", "__file__") != str(shadow)
    shadow.write_text("def python_implementation(): return 'CPython'\n")
    assert _attribute(way, tmp_path / "jobs", "platform", "__file__") == str(shadow)


@all_ways
def test_a_shadow_of_the_same_moment_wins_as_well(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one tick of the file system's clock a directory changes and shows the same time."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    moment = time.time() + 60  # as fresh as can be, however long the first job takes
    os.utime(place, (moment, moment))
    assert _attribute(way, tmp_path / "jobs", "platform", "__file__") != str(place / "platform.py")
    (place / "platform.py").write_text("def python_implementation(): return 'CPython'\n")
    os.utime(place, (moment, moment))
    assert _attribute(way, tmp_path / "jobs", "platform", "__file__") == str(place / "platform.py")


@all_ways
def test_every_job_sees_the_modules_of_the_moment(way: str, clients: Clients) -> None:
    output = clients.run(
        f"""
        from support import world
        later = Path("later").absolute()
        os.environ["PYTHONPATH"] += f":{{later}}"
        executor.update_parameters(**{WAYS[way]!r})
        def see(module):
            job = executor.submit(world.attribute, module, "VALUE")
            return job.result() if job.exception() is None else type(job.exception().__cause__).__name__
        Path("edited.py").write_text("VALUE = 'before'")
        say(see("edited"), see("grown"))
        Path("edited.py").write_text("VALUE = 'after the change'")
        later.mkdir()
        (later / "grown.py").write_text("VALUE = 'grown'")
        say(see("edited"), see("grown"))
        """
    )
    assert output.splitlines() == ["before ModuleNotFoundError", "after the change grown"]


def test_an_import_path_that_depends_on_the_working_directory(clients: Clients) -> None:
    output = clients.run(
        f"""
        from support import world
        os.environ["PYTHONPATH"] = f":{{os.environ['PYTHONPATH']}}:deep/src:"
        def see(way):
            executor.update_parameters(**{WAYS!r}[way])
            task = executor.submit(world.observe).result()
            say(task["import path"][1:] == paths, task["started with"] == task["command"])
        for place in ("one", "two"):
            (Path(place) / "deep" / "src").mkdir(parents=True)
            os.chdir(place)
            paths = submitit.LocalExecutor("jobs").submit(world.observe).result()["import path"][1:]
            assert paths[0] == os.getcwd() and os.path.abspath("deep/src") in paths, paths
            see("forked")
            see("fresh")
            executor.update_parameters(setup=submitit.UNSET)
            os.chdir("..")
        os.chdir("two")
        Path("deep/src/platform.py").write_text("def python_implementation(): return 'CPython'")
        say(executor.submit(world.attribute, "platform", "__file__").result() == os.path.abspath("deep/src/platform.py"))
        """
    )
    assert output.splitlines() == ["True False", "True True"] * 2 + ["True"]


SCRIPT = '''
import dataclasses, inspect, sys
import submitit
from support import calls

class Problem(Exception):
    pass

@dataclasses.dataclass
class Point:
    x: int
    def double(self):
        return Point(2 * self.x)

LIMIT = 3

def work(point):
    """What a user writes in a script."""
    main = sys.modules["__main__"]
    assert not hasattr(main, "LIMIT"), "a script is not run again"
    assert type(point).__module__ == "__main__"
    if point.x > LIMIT:
        raise Problem(point)
    return point.double(), inspect.getsource(work).splitlines()[0], work.__module__

if __name__ == "__main__":
    executor = submitit.LocalExecutor("jobs")
    executor.update_parameters(timeout_min=10, **{parameters})
    point, source, module = executor.submit(work, Point(2)).result()
    assert point == Point(4), point
    print(source, module)
    cause = executor.submit(work, Point(5)).exception().__cause__
    assert type(cause) is Problem, cause
    print(cause.args)
'''


@all_ways
def test_functions_and_classes_of_a_script(way: str, clients: Clients) -> None:
    put(clients.directory / "script.py", SCRIPT.replace("{parameters}", repr(WAYS[way])))
    output = clients.run("import runpy; runpy.run_path('script.py', run_name='__main__')")
    assert output.splitlines() == ["def work(point): __main__", "(Point(x=5),)"]


# ---------------------------------------------------------------- ends

LEFT = """\
0 from C, without an end of line; 1 printed, without an end of line
2 a thread of a pool
3 a thread
4 an exit function
5 an exit function
6 a finalizer
7 a process
8 a record held back
"""

#: Each end: the function, what it leaves in the output, the exit code, the last lines of stderr.
ENDS: dict[str, tuple[Any, Ended]] = {
    "returns": (world.return_with_things_left, Ended(0, LEFT, r"ValueError: from an exit function\n")),
    "raises": (
        world.fail_with_things_left,
        Ended(1, LEFT, r"LookupError: from the function\n(.*\n)*ValueError: from an exit function\n"),
    ),
    "sys.exit(3)": (world.exit_with_things_left, Ended(3, LEFT, r"ValueError: from an exit function\n")),
    "os._exit(3)": (world.exit_at_once_with_things_left, Ended(3, LEFT.partition("\n")[0], "")),
    "sys.exit(words)": (world.exit_with_words, Ended(1, "", "words for stderr\n")),
    "Ctrl-C": (world.interrupt, Ended(-signal.SIGINT, "", "KeyboardInterrupt\n")),
    "a hook": (world.set_a_hook_and_fail, Ended(1, "the hook got LookupError: from the function\n", "")),
    "a stream of its own": (world.print_to_a_stream_of_its_own, Ended(0, "kept in a buffer\n", "")),
    "a crash": (
        calls.crash,
        Ended(-signal.SIGSEGV, "", r'Segmentation fault\n(.*\n)*.*calls.py", line \d+ in crash\n(.*\n)*'),
    ),
}
LEAVING = [name for name, (_, expected) in ENDS.items() if expected.out == LEFT]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[submitit.Job[Any], Path]]:
    directory = tmp_path_factory.mktemp("ends")
    made = {}
    for way in WAYS:
        for name, (function, _) in ENDS.items():
            path = directory / f"{way} {name}"
            arguments = [str(path)] if "things_left" in function.__name__ else []
            made[way, name] = (executor_for(way, directory / "jobs").submit(function, *arguments), path)
    return made


@all_ways
@pytest.mark.parametrize("name", list(ENDS))
def test_an_end(ends: dict[tuple[str, str], tuple[submitit.Job[Any], Path]], way: str, name: str) -> None:
    found = ended(ends[way, name][0])  # type: ignore[arg-type]
    expected = ENDS[name][1]
    assert (found.code, found.out) == (expected.code, expected.out)
    assert re.search(f"(^|\n|: ){expected.err}$", found.err), found.err
    assert bool(expected.err) or not found.err


@all_ways
@pytest.mark.parametrize("name", LEAVING)
def test_files_that_a_module_holds_are_written(
    ends: dict[tuple[str, str], tuple[submitit.Job[Any], Path]], way: str, name: str
) -> None:
    job, path = ends[way, name]
    ended(job)  # type: ignore[arg-type]
    assert path.read_text() == "written and not closed"
    assert Path(f"{path}.c").read_text() == "of C, not closed"


@all_ways
def test_the_traceback_of_an_end_is_printed(
    ends: dict[tuple[str, str], tuple[submitit.Job[Any], Path]], way: str
) -> None:
    err = ended(ends[way, "raises"][0]).err  # type: ignore[arg-type]
    assert err.count("LookupError: from the function") == 1
    assert err.count("world.py") >= 1
