"""A task that runs in the process that was forked for it, as if a fresh interpreter had been started with its command.

What a task may rely on is the same in both ways (docs/local-tasks.md), but for two things: the hash seed is the nursery's, and
module-level objects are not destroyed at the end.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib.util
import io
import os
import signal
import sys
import time
import types
from typing import TYPE_CHECKING, Any, NoReturn

from submitit import log
from submitit.local import processes
from submitit.local.marks import Marks
from submitit.local.tasks import MARKS, START_UP, Order, default_words
from submitit.orchestrator import runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from submitit.local.protocol import Launch

#: How long files that something still holds may take to be written at a task's end.
_FLUSH_S = 1.0
#: What is run, as ``python -m`` knows it.
_MAIN = "submitit.core._submit"


def start_up_variables(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that no forked process can be given any more."""
    return {name: value for name, value in env.items() if name.startswith(START_UP)}


class World:
    """What a process forked from this one has of a fresh interpreter, and what it would have to change."""

    def __init__(self) -> None:
        #: ``sys.path`` without the working directory, which comes first in a task's. Relative to the root, ``a`` is ``//a``.
        self._path = [f"/{entry.lstrip('/')}" if entry.startswith("//") else entry for entry in sys.path]
        self._env = dict(os.environ)
        self.start_up = start_up_variables(self._env)
        #: Entries of ``PYTHONPATH`` that depend on where the interpreter starts (often there is an empty one: ``:/somewhere``),
        #: by what they have become here.
        entries = self._env.get("PYTHONPATH") or "/"
        self._relative = {os.path.abspath(part): part for part in entries.split(os.pathsep) if not os.path.isabs(part)}
        self._cwd_counts = not getattr(sys.flags, "safe_path", False)
        self._listed: dict[str, tuple[int, bool]] = {}
        self._main = self._make_main()
        self._marks = Marks(MARKS)

    @staticmethod
    def _make_main() -> types.ModuleType:
        spec = importlib.util.find_spec(_MAIN)
        assert spec is not None
        main = types.ModuleType("__main__", importlib.import_module(_MAIN).__doc__)
        assert spec.loader is not None
        main.__dict__.update(
            {
                "__spec__": spec,
                "__file__": spec.origin,
                "__cached__": spec.cached,
                "__loader__": spec.loader,
                "__package__": spec.parent,
                "__builtins__": __builtins__,
                "__annotations__": {},
                "__all__": ["submitit_main"],
                "submitit_main": runner.submitit_main,
            }
        )
        return main

    def settle(self) -> None:
        """Everything is loaded: get ready for the first fork."""
        log.belong_to_a_job()  # tasks have its handlers
        # Directories that are looked at again when they change; but what did not exist would be ignored for good.
        for path in [path for path, finder in sys.path_importer_cache.items() if finder is None]:
            del sys.path_importer_cache[path]
        # What a task's collector would look at is copied, page by page.
        gc.collect()
        gc.freeze()

    def extend_path(self, directory: str) -> None:
        """Have this process itself import what a task would, in ``directory``."""
        sys.path[:] = self._path_in(directory)
        runner.extend_import_path()

    def _path_in(self, directory: str) -> list[str]:
        """``sys.path`` of an interpreter that starts in ``directory``."""
        first = [directory] if self._cwd_counts else []
        if not self._relative:
            return [*first, *self._path]
        return [*first, *(self._moved(entry, directory) if entry in self._relative else entry for entry in self._path)]

    def _moved(self, entry: str, directory: str) -> str:
        return os.path.normpath(os.path.join(directory, self._relative[entry]))

    # ---- whether a task may be forked

    def must_be_fresh(self, launch: Launch) -> bool:
        """Whether the tasks of a launch need an interpreter of their own."""
        return (
            launch.shell
            or not _is_usual(launch)
            or start_up_variables(launch.env) != self.start_up
            or (self._cwd_counts and self._shadowed(launch.cwd))
            or any(self._shadowed(self._moved(entry, launch.cwd)) for entry in self._relative)
        )

    def _shadowed(self, directory: str) -> bool:
        """Whether a directory has a module that would be imported in the place of one that is loaded here."""
        try:
            changed = os.stat(directory).st_mtime_ns
            known = self._listed.get(directory)
            if known is not None and known[0] == changed:
                return known[1]
            found = self._shadows(directory)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # an archive, or something that a fresh process has its own words for
        if time.time_ns() - changed > 2_000_000_000:  # later changes show in the time
            self._listed[directory] = (changed, found)
        return found

    @staticmethod
    def _shadows(directory: str) -> bool:
        loaded = {name.partition(".")[0] for name in sys.modules} - {*sys.builtin_module_names, "__main__"}
        for entry in os.listdir(directory):
            stem, _, suffix = entry.partition(".")
            if stem not in loaded:
                continue
            path = os.path.join(directory, entry)
            if suffix in ("py", "pyc") or suffix.endswith(("so", "dylib")):
                origin = getattr(sys.modules[stem], "__file__", None) if stem in sys.modules else None
                if origin is None or not _same(path, origin):
                    return True
            elif not suffix and os.path.isfile(os.path.join(path, "__init__.py")):
                places = list(getattr(sys.modules.get(stem), "__path__", ()))
                if not any(_same(path, place) for place in places):
                    return True
        return False

    # ---- being it

    def run(self, launch: Launch) -> NoReturn:
        """Be the task: run its submission, and end as an interpreter ends. Never returns."""
        code = 1
        mark = _Mark()
        try:
            code = _call(launch.folder)
        finally:
            _leave(code, mark)

    def expect(self, launch: Launch) -> None:
        """Have what a fresh interpreter has in every task of a launch, but for what depends on the directory.

        The nursery itself does that, once a launch: what a child writes to has to be copied for it, a page at a time.
        """
        zone = os.environ.get("TZ")
        for name in [name for name in os.environ if name not in launch.env]:
            del os.environ[name]
        for name, value in launch.env.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if launch.env.get("TZ") != zone:
            time.tzset()
        origin = self._main.__file__
        assert origin is not None
        sys.argv[:] = [origin, launch.folder]
        sys.orig_argv[:] = launch.command
        sys.modules["__main__"] = self._main

    def diverge(self) -> None:
        """Have a thread number and a random state of this process's own."""
        if "threading" in sys.modules:  # before Python 3.13 a fork leaves the thread its number
            main_thread: Any = sys.modules["threading"].main_thread()
            main_thread._set_native_id()
        # `random` seeds itself anew after a fork; torch's first seed is always the same.
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()

    def enter(self, order: Order) -> None:
        """Have what this very task has, in its directory, and let others know which it is."""
        for name, value in order.env.items():
            os.environ[name] = value
        for name, value in order.marks.items():
            self._marks.set(name, value)
        sys.path[:] = self._path_in(os.getcwd())


class _Mark:
    """What is younger than the fork: where the collector does not know of it, everything was frozen once more."""


def _is_usual(launch: Launch) -> bool:
    """Whether the command is the one that runs a submission with this very interpreter."""
    # An interpreter that is started as /some/../path calls itself /path.
    program, *arguments = launch.command
    usual, *others = default_words(os.path.normpath(sys.executable), launch.folder)
    return os.path.normpath(program) == usual and arguments == others


def _same(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _call(folder: str) -> int:
    """Run the submission as the program of this process; the exit code, a signal's as a negative number."""
    try:
        runner.submitit_main([folder])
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:  # noqa: BLE001 - what the interpreter does with an exception that nobody catches
        trace = error.__traceback__
        with contextlib.suppress(BaseException):
            sys.excepthook(type(error), error, trace and trace.tb_next)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _leave(code: int, mark: _Mark) -> NoReturn:
    """The interpreter's end, without the destruction of its modules: that would take longer than all the rest."""
    try:
        for step in (_join_threads, atexit._run_exitfuncs, lambda: _flush_files(mark)):
            try:
                step()
            except BaseException as error:  # noqa: BLE001 - said, and the others have their turn
                with contextlib.suppress(BaseException):
                    sys.excepthook(type(error), error, error.__traceback__)
        if code < 0:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
    finally:
        os._exit(code & 0xFF)


def _join_threads() -> None:
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()


def _flush_files(mark: _Mark) -> None:
    _flush(sys.stdout, sys.stderr)
    files = _open_files(mark)
    if files:
        import threading

        # A daemon thread that is stuck in writing to a file has its lock, and must not keep the job.
        flushing = threading.Thread(target=_flush, args=files, daemon=True)
        flushing.start()
        flushing.join(_FLUSH_S)
    if "ctypes" in sys.modules:  # what C code has printed
        processes.flush_c_streams()


def _open_files(mark: _Mark) -> list[Any]:
    """Files that something still holds, which a module's destruction would close; those on top of others first."""
    layers = ((io.TextIOWrapper,), (io.BufferedWriter, io.BufferedRandom))
    # By their true types: what a user's object says of itself (`__class__`) may be anything. The nursery's own are frozen.
    objects = gc.get_objects()
    # There may be a million objects, of few types; and a type need not be hashable.
    kinds = {id(kind): kind for kind in map(type, objects)}
    if id(type(mark)) not in kinds:  # the function has frozen its own
        gc.unfreeze()
        return _open_files(mark)
    files: list[Any] = []
    for layer in layers:
        wanted = {number for number, kind in kinds.items() if issubclass(kind, layer)}
        if wanted:
            files += [item for item in objects if id(type(item)) in wanted]
    return files


def _flush(*files: Any) -> None:
    for file in files:
        # As in an interpreter's end, one that cannot be written is no reason to leave out the others.
        with contextlib.suppress(Exception):
            file.flush()
