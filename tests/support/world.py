"""What a task finds in its process, and how it leaves it: functions that jobs run, and that run in a bare runner too."""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import gc
import inspect
import locale
import logging
import os
import random
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any


class Held:
    """Something that can be referred to weakly."""


#: Held by a module until the interpreter ends.
held: list[Any] = []
#: Set where the function is about to end.
ready = threading.Event()


def observe() -> dict[str, Any]:
    """Everything that can be compared with another process's."""
    return {name: look() for name, look in _LOOKS.items()}


def _started_with() -> list[str]:
    """The words that this process was started with."""
    with open("/proc/self/cmdline", "rb") as file:
        return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]


def _main() -> dict[str, Any]:
    main = sys.modules["__main__"]
    spec = main.__spec__
    assert spec is not None
    return {
        "name": main.__name__,
        "file": main.__file__,
        "package": main.__package__,
        "doc": main.__doc__,
        "spec": (spec.name, spec.origin, spec.cached, spec.parent, type(main.__loader__).__name__),
        "names": sorted(name for name in vars(main) if name != "__warningregistry__"),
        "is its own": vars(main)["submitit_main"].__module__,
    }


def _stream(stream: Any) -> dict[str, Any]:
    return {
        "kinds": (type(stream).__name__, type(stream.buffer).__name__),
        "fileno": stream.fileno(),
        "encoding": stream.encoding.lower(),
        "modes": (stream.name, stream.mode, stream.errors, stream.newlines),
        "buffering": (stream.line_buffering, stream.write_through),
        "terminal": stream.isatty(),
    }


def _streams() -> dict[str, Any]:
    names = ("stdin", "stdout", "stderr")
    seen: dict[str, Any] = {name: _stream(getattr(sys, name)) for name in names}
    seen["originals"] = [getattr(sys, f"__{name}__") is getattr(sys, name) for name in names]
    seen["input"] = sys.stdin.read()
    return seen


def _handler(number: int) -> str:
    found = signal.getsignal(number)
    return found.__qualname__ if callable(found) else repr(found)


def _mask(digits: str) -> int:
    """Without the two signals that the C library keeps to itself, and ignores in what posix_spawn starts."""
    return int(digits, 16) & ~(3 << 31)


def _signals() -> dict[str, Any]:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        status = dict(line.rstrip().split(":\t", 1) for line in file if line.startswith(("Sig", "Shd")))
    return {
        "handlers": {int(number): _handler(number) for number in signal.valid_signals()},
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "pending": sorted(map(int, signal.sigpending())),
        "kernel": {name: _mask(status[name]) for name in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd")},
        "wake-up": signal.set_wakeup_fd(-1),
        "timers": [signal.getitimer(which) for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL)],
    }


def _interrupt() -> str:
    """Ctrl-C, as this process gets it."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except KeyboardInterrupt as error:
        return repr(error)
    return "nothing"


def _c_environment() -> dict[bytes, bytes]:
    """The environment that C code sees and that a program started from here gets."""
    listed = subprocess.run(["env", "-0"], capture_output=True, check=True).stdout
    pairs = (entry.partition(b"=") for entry in listed.split(b"\0") if entry)
    return {name: value for name, _, value in pairs if name != b"_"}


def _getenv(name: bytes) -> bytes | None:
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_char_p
    found: bytes | None = library.getenv(name)
    return found


def _descriptors() -> dict[int, tuple[str, int, bool]]:
    """What is open: where it leads, its flags, whether a program started from here gets it."""
    found = {}
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
            found[number] = (target, fcntl.fcntl(number, fcntl.F_GETFL), os.get_inheritable(number))
        except OSError:
            continue  # the listing's own
    return found


def _place() -> dict[str, Any]:
    mask = os.umask(0)
    os.umask(mask)
    return {"cwd": os.getcwd(), "umask": mask, "root": os.readlink("/proc/self/root")}


def limits() -> dict[str, tuple[int, int]]:
    return {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}


def _session() -> dict[str, bool]:
    own = os.getpid()
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
        terminal = True
    except OSError:
        terminal = False
    return {"session": os.getsid(0) == own, "group": os.getpgid(0) == own, "terminal": terminal}


def _scheduling() -> dict[str, Any]:
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        oom = int(file.read())
    with open("/proc/self/comm", encoding="utf-8") as file:
        name = file.read()
    return {
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "cpus": os.sched_getaffinity(0),
        "policy": os.sched_getscheduler(0),
        "oom": oom,
        "name": name,
    }


def _threads() -> dict[str, Any]:
    main = threading.main_thread()
    kernel = len(os.listdir("/proc/self/task"))
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(threading.current_thread().name))
    thread.start()
    thread.join()
    return {
        "main": main is threading.current_thread(),
        "name": main.name,
        "numbers": (main.ident == threading.get_ident(), main.native_id == os.getpid() == threading.get_native_id()),
        "all": [thread.name for thread in threading.enumerate()],
        "daemon": main.daemon,
        "another": seen[0],
        "stack": threading.stack_size(),
        "hook": threading.excepthook.__name__,
        "kernel": kernel,
    }


def _interpreter() -> dict[str, Any]:
    return {
        "executable": (sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix),
        "flags": (str(sys.flags), sys._xoptions, sys.warnoptions, sys.dont_write_bytecode, sys.pycache_prefix),
        "hooks": [
            getattr(sys, name).__name__ for name in ("excepthook", "displayhook", "unraisablehook", "breakpointhook")
        ],
        "import": ([kind.__name__ for kind in sys.meta_path if isinstance(kind, type)], len(sys.path_hooks)),
        "traced": (sys.gettrace(), sys.getprofile()),
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "crashes": faulthandler.is_enabled(),
        "exceptions": (sys.exc_info(), hasattr(sys, "last_value")),
        "help": [hasattr(__builtins__, name) or name in __builtins__ for name in ("exit", "help", "copyright")],  # type: ignore[operator]
    }


def _warnings() -> list[Any]:
    filters = [
        (action, str(text), str(kind), str(module), line) for action, text, kind, module, line in warnings.filters
    ]
    return [filters, warnings.showwarning.__module__]


def _garbage() -> dict[str, Any]:
    return {"on": gc.isenabled(), "thresholds": gc.get_threshold(), "callbacks": gc.callbacks, "debug": gc.get_debug()}


def _locale() -> dict[str, Any]:
    return {
        "all": locale.setlocale(locale.LC_ALL),
        "preferred": locale.getpreferredencoding(False),
        "files": (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()),
        "wide": "caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode(locale.getpreferredencoding(False), "replace"),
    }


def _logging() -> dict[str, Any]:
    def describe(logger: logging.Logger) -> dict[str, Any]:
        handlers = [
            (type(handler).__name__, handler.level, handler.stream is sys.stdout)
            for handler in logger.handlers
            if isinstance(handler, logging.StreamHandler)
        ]
        return {"level": logger.level, "handlers": handlers, "propagate": logger.propagate, "off": logger.disabled}

    return {
        "root": describe(logging.getLogger()),
        "own": describe(logging.getLogger("submitit")),
        "off": logging.root.manager.disable,
        "levels": logging.getLevelName(21),
        "captured": logging.raiseExceptions,
    }


def _metadata() -> dict[str, Any]:
    from importlib import metadata, resources

    return {
        "version": metadata.version("cloudpickle"),
        "module": (resources.files("support") / "world.py").is_file(),
        "source": inspect.getsource(observe).splitlines()[0],
    }


def _multiprocessing() -> dict[str, Any]:
    import multiprocessing
    import multiprocessing.process
    import multiprocessing.spawn

    current = multiprocessing.current_process()
    return {
        "name": (current.name, current.daemon, current.pid == os.getpid()),
        "parent": multiprocessing.parent_process(),
        "method": multiprocessing.get_start_method(allow_none=True),
        "children": multiprocessing.active_children(),
        "executable": os.fsdecode(multiprocessing.spawn.get_executable()),
        "directory": multiprocessing.process.ORIGINAL_DIR,  # type: ignore[attr-defined]
    }


def _asyncio() -> list[Any]:
    import asyncio

    async def run() -> int:
        child = await asyncio.create_subprocess_exec("true")
        return await child.wait()

    return [asyncio.run(run()), asyncio._get_running_loop()]


_LOOKS: dict[str, Callable[[], Any]] = {
    "descriptors": _descriptors,  # first: the others may leave some open
    "started with": _started_with,
    "arguments": lambda: sys.argv,
    "command": lambda: sys.orig_argv,
    "main": _main,
    "import path": lambda: sys.path,
    "streams": _streams,
    "environment": lambda: dict(os.environb),
    "environment in C": _c_environment,
    "a variable in C": lambda: [_getenv(name) for name in (b"WORLD_LATIN", b"PYTEST_VERSION", b"TZ")],
    "time zone": lambda: (time.tzname, time.timezone, time.localtime(0).tm_hour),
    "locale": _locale,
    "signals": _signals,
    "interrupt": _interrupt,
    "place": _place,
    "limits": limits,
    "session": _session,
    "scheduling": _scheduling,
    "threads": _threads,
    "interpreter": _interpreter,
    "warnings": _warnings,
    "garbage": _garbage,
    "logging": _logging,
    "metadata": _metadata,
    "multiprocessing": _multiprocessing,
    "asyncio": _asyncio,
}
NAMES = tuple(_LOOKS)


# ---------------------------------------------------------------- chance


def draw() -> dict[str, Any]:
    """One draw from every source of random numbers, and how many threads the linear algebra uses."""
    import secrets
    import tempfile
    import uuid

    import numpy as np
    import threadpoolctl  # type: ignore[import-untyped, unused-ignore]

    return {
        "random": random.random(),
        "numpy": float(np.random.rand()),  # noqa: NPY002
        "generator": float(np.random.default_rng().random()),
        "uuid": str(uuid.uuid4()),
        "secret": secrets.token_hex(),
        "name": next(tempfile._get_candidate_names()),  # type: ignore[attr-defined]
        "threads": sorted({pool["num_threads"] for pool in threadpoolctl.threadpool_info()}),
    }


# ---------------------------------------------------------------- processes of a task's own


def square(number: int) -> int:
    return number * number


def describe_child(queue: Any) -> None:
    main = sys.modules["__main__"]
    handlers = [_handler(number) for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGINT)]
    queue.put((main.__name__, os.getcwd(), os.environb.get(b"WORLD_LATIN"), os.getppid(), handlers))
    time.sleep(20)


def start_processes(method: str) -> dict[str, Any]:
    """Use each way that the standard library has to compute elsewhere."""
    import concurrent.futures
    import multiprocessing

    context: Any = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    child = context.Process(target=describe_child, args=(queue,))
    child.start()
    described = queue.get()
    if method == "fork":  # elsewhere it has no handler for what the scheduler sends to all processes of a job
        os.kill(child.pid, signal.SIGUSR2)
    child.terminate()
    child.join()
    with context.Pool(1) as pool:
        mapped = pool.map(square, range(4))
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        computed = executor.submit(square, 7).result()
    return {
        "main": described[0],
        "cwd": described[1],
        "environment": described[2],
        "its parent": described[3] == os.getpid() or method == "forkserver",
        "handlers": described[4],
        "exit": child.exitcode,
        "map": mapped,
        "future": computed,
    }


# ---------------------------------------------------------------- how a task ends


def leave_things_behind(path: str) -> None:
    """What an interpreter sees to at its end, each in its order."""
    import atexit
    import concurrent.futures
    import logging.handlers
    import multiprocessing
    import weakref

    own = logging.StreamHandler(sys.stdout)
    memory = logging.handlers.MemoryHandler(100, target=own)
    logger = logging.getLogger("world")
    logger.addHandler(memory)
    logger.warning("8 a record held back")
    logger.propagate = False

    reader, writer = os.pipe()
    child = multiprocessing.get_context("fork").Process(target=_say_when_told, args=(reader, writer))
    child.start()
    os.close(reader)
    held.append(Held())
    weakref.finalize(held[0], _say_and_tell, writer)
    atexit.register(print, "5 an exit function")
    atexit.register(_fail)
    atexit.register(print, "4 an exit function")

    pool = concurrent.futures.ThreadPoolExecutor(1)
    future = pool.submit(_say_later)
    threading.Thread(target=_say_after, args=(future,)).start()
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    held.append(open(path, "w"))  # noqa: SIM115 - the point
    held[-1].write("written and not closed")
    library = ctypes.CDLL(None)
    library.fopen.restype = ctypes.c_void_p
    library.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    library.fputs(b"of C, not closed", library.fopen(os.fsencode(path + ".c"), b"w"))
    library.printf(b"0 from C, without an end of line; ")
    print("1 printed, without an end of line", end="")


def _say_and_tell(writer: int) -> None:
    print("6 a finalizer")
    os.write(writer, b".")


def _say_when_told(reader: int, writer: int) -> None:
    os.close(writer)
    if select.select([reader], [], [], 30)[0] and os.read(reader, 1):
        os.write(1, b"7 a process\n")


def _say_later() -> None:
    ready.wait(30)
    print("\n2 a thread of a pool")


def _say_after(future: Any) -> None:
    threading.main_thread().join()
    future.result()
    print("3 a thread")


def _fail() -> None:
    raise ValueError("from an exit function")


def return_with_things_left(path: str) -> str:
    leave_things_behind(path)
    ready.set()
    return "returned"


def fail_with_things_left(path: str) -> None:
    leave_things_behind(path)
    ready.set()
    raise LookupError("from the function")


def exit_with_things_left(path: str) -> None:
    leave_things_behind(path)
    ready.set()
    sys.exit(3)


def exit_at_once_with_things_left(path: str) -> None:
    leave_things_behind(path)
    os._exit(3)


class Stream:
    """Like a file, and none."""

    def __init__(self) -> None:
        self.kept = ""

    def write(self, text: str) -> None:
        self.kept += text

    def flush(self) -> None:
        os.write(1, self.kept.encode())
        self.kept = ""


def print_to_a_stream_of_its_own() -> None:
    sys.stdout = Stream()
    print("kept in a buffer")


def exit_with_words() -> None:
    sys.exit("words for stderr")


def interrupt() -> None:
    raise KeyboardInterrupt


def set_a_hook_and_fail() -> None:
    sys.excepthook = lambda kind, error, trace: print(f"the hook got {kind.__name__}: {error}")
    raise LookupError("from the function")


def attribute(module: str, name: str) -> Any:
    """An attribute of a module that is imported in the task."""
    import importlib

    return getattr(importlib.import_module(module), name)
