"""Run one submission in one task, and record how it ended, whatever the ending.

::

    python -u -m submitit.core._submit FOLDER
        environment of the job ─▶ payload ─▶ function ─▶ result file (durable) ─▶ marker ─▶ exit code

The result is on disk before the interpreter begins to shut down, so that a thread or an exit handler that hangs cannot hide it.
Only what no process can record of itself (a kill, a crash of the interpreter) is left to the shell around it.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from submitit import log
from submitit.orchestrator import usage
from submitit.orchestrator.environment import JobEnvironment
from submitit.records import NamedTuple
from submitit.storage import events, outcome, payload, serialization
from submitit.storage.submission import DelayedSubmission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from submitit.orchestrator.signals import SignalHandler
    from submitit.storage.paths import JobPaths

#: How long a task waits for its pickle where no payload is named: a plugin writes it after the job was queued.
PICKLE_TIMEOUT_S = 60


class _Ending(NamedTuple):
    """How a call ended: its value, or the exception and its traceback."""

    value: Any
    error: BaseException | None
    traceback: str


def process_job(folder: str | os.PathLike[str]) -> None:
    """Run the submission of the job that this process is a task of; ``folder`` is the executor's.

    Returns once a value is recorded in the result file. An exception of the function is recorded and raised again. A job
    that saved its state and will run again records nothing and raises ``SystemExit``.
    """
    start = time.time()
    os.environ["SUBMITIT_FOLDER"] = str(folder)
    env = JobEnvironment()
    attempt = env._attempt + 1
    log.say("INFO", f"Starting with {env}{f', attempt {attempt}' if attempt > 1 else ''}")
    if attempt > 1:  # in the errors as well, which go on where the earlier attempt's ended
        log.say("WARNING", f"Attempt {attempt} of job {env.job_id} begins: what stands above is of earlier ones")
    paths = env.paths
    os.makedirs(os.path.dirname(paths.locate("result_pickle")), exist_ok=True)
    if _results_stand(env, paths):
        log.say("INFO", "Every task had recorded its result when an earlier attempt was lost: there is nothing to do")
        _mark_done(env)
        return
    extend_import_path()
    handler: list[SignalHandler] = []
    ending = _call(env, paths, handler)
    # The variable's name is `retry.VARIABLE`: plain jobs do not load that module.
    aside = ending.error is not None and "SUBMITIT_RETRY" in os.environ
    if handler and handler[0].ending is not None:
        aside = False
        # what the signal handler decided holds, even where the function swallowed the exception that said so
        decided = handler[0].ending
        if isinstance(decided, SystemExit):
            raise decided
        if ending.error is not decided:
            ending = _Ending(None, decided, _traceback(decided))
    if handler and handler[0].left_to_rank_0 and ending.error is not None:
        # As collectives fail when their first process is gone. The job comes back, or rank 0 has recorded why not.
        log.say("ERROR", f"After rank 0 was told to save, this one failed, which is not recorded:\n{ending.traceback}")
        raise ending.error
    if aside:
        _set_aside(env, paths, ending, start)
    _record(env, paths, ending, start)


def extend_import_path() -> None:
    """Append to ``sys.path`` what the submitter's had and it lacks: what the job has by itself comes first.

    A job of a snapshot runs and imports from that, not from the work tree that it was made of.
    """
    for entry in os.environ.get("SUBMITIT_IMPORT_PATH", "").split(os.pathsep):
        if entry and entry not in sys.path:
            sys.path.append(entry)
    if "SUBMITIT_SNAPSHOT" in os.environ:
        from submitit.orchestrator import relocation

        relocation.run_from(os.environ["SUBMITIT_SNAPSHOT"], os.environ["SUBMITIT_SNAPSHOT_OF"])


def _call(env: JobEnvironment, paths: JobPaths, handler: list[SignalHandler]) -> _Ending:
    """Load the submission and run it. Nothing that happens meanwhile escapes."""
    try:
        submission = _load(paths)
        if "_unresolved" in submission.__dict__:
            from submitit.orchestrator import dependencies

            submission = dependencies.resolved(submission)
        handler.append(env._handle_signals(paths, submission))
        gc.enable()
        if "logging" in sys.modules:
            log.get_logger()  # the function may use it under its name
        value = submission.result()
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are endings of the function like others
        return _Ending(None, error, _traceback(error))
    return _Ending(value, None, "")


def _load(paths: JobPaths) -> DelayedSubmission:
    """The submission to run: a checkpoint's, the payload's, or the pickle that is awaited."""
    submitted = paths.locate("submitted_pickle")
    reference = os.environ.get("SUBMITIT_PAYLOAD")
    if reference and not os.path.exists(submitted):
        log.say("INFO", f"Loading pickle: {reference}")
        return payload.read_submission(*payload.parse_reference(reference))
    log.say("INFO", f"Loading pickle: {submitted}")
    for _ in range(PICKLE_TIMEOUT_S):
        if os.path.exists(submitted):
            return DelayedSubmission.load(submitted)
        noted = _noted_payload(paths)
        if noted is not None:
            return payload.read_submission(*noted)
        time.sleep(1)
    raise RuntimeError(f"Waited for {PICKLE_TIMEOUT_S} seconds but could not find submitted jobs in path:\n{submitted}")


def _noted_payload(paths: JobPaths) -> tuple[str, int] | None:
    """The payload that a journal names: of an element of an array that somebody runs with nothing but the job's variables."""
    from submitit.storage import journal
    from submitit.storage.paths import layout_of

    job_id = JobEnvironment().job_id
    layout = layout_of(paths._folder)
    found = journal.find_submission(layout, job_id)
    if found is None or not found.get("payload"):
        return None
    return f"{layout.payloads}/{found['payload']}", journal.payload_index(found, job_id)


def _set_aside(env: JobEnvironment, paths: JobPaths, ending: _Ending, start: float) -> None:
    """Leave the function's exception where whoever decides what follows finds it, and raise it.

    It is no result yet: another attempt may replace it. If none does, it is put in its place.
    """
    import json

    from submitit.orchestrator.retry import VARIABLE, Retry

    error = ending.error
    assert error is not None
    covered = Retry.read(json.loads(os.environ[VARIABLE])).exception.covers(error)
    path = outcome.set_aside_path(paths.locate("result_pickle"), env._attempt)
    footer = _footer(env, start, success=False)._replace(covered=covered)
    outcome.write_result(path, ("error", _with_exit_code(ending)), error, footer)
    log.say("ERROR", "Submitted job triggered an exception")
    raise error


def _with_exit_code(ending: _Ending) -> str:
    """The text of a failure."""
    if type(ending.error) is not SystemExit:  # a class of its own has words of its own
        return ending.traceback
    code = _exit_code(ending.error)
    return (
        f"{ending.traceback}\nThe function ended its process with exit code {code}; a job's function has to return.\n"
    )


def _record(env: JobEnvironment, paths: JobPaths, ending: _Ending, start: float) -> None:
    """Write the result file and the marker; raise what the function raised."""
    error, text = ending.error, ending.traceback
    if error is None:
        try:
            _write(env, paths, ("success", ending.value), None, start)
        except Exception as problem:  # noqa: BLE001 - a value's own pickling code may raise anything
            error = _unpicklable_result(ending.value, problem)
            text = f"{type(error).__name__}: {error}\n"
        else:
            log.say("INFO", "Job completed successfully")
            _mark_done(env)
            log.say("INFO", "Exiting after successful completion")
            return
    text = _with_exit_code(_Ending(None, error, text))
    _write(env, paths, ("error", text), error, start)
    log.say("ERROR", "Submitted job triggered an exception")
    _mark_done(env)
    raise error


def _write(
    env: JobEnvironment, paths: JobPaths, result: tuple[str, Any], error: BaseException | None, start: float
) -> None:
    outcome.write_result(
        paths.locate("result_pickle"), result, error, _footer(env, start, success=result[0] == "success")
    )


def _footer(env: JobEnvironment, start: float, *, success: bool) -> outcome.Footer:
    import submitit

    cpu_s, size_mb = usage.so_far()
    return outcome.Footer(
        host=env.hostname,
        pid=os.getpid(),
        attempt=env._attempt,
        start=start,
        end=time.time(),
        cpu_s=round(cpu_s, 3),
        max_rss_mb=round(size_mb, 1),
        python=sys.version.split()[0],
        submitit=submitit.__version__,
        success=success,
    )


def _mark_done(env: JobEnvironment) -> None:
    """Tell the client to look. That it cannot be told is no reason to fail: it looks at the files anyway, later."""
    directory = os.environ.get("SUBMITIT_EVENTS")
    if not directory:
        return
    try:
        events.EventDirectory(directory).mark(env.job_id, str(env.global_rank), env._attempt, "done", env.hostname)
    except OSError as error:
        log.say("WARNING", f"Could not leave a marker in {directory}: {error}")


def _results_stand(env: JobEnvironment, paths: JobPaths) -> bool:
    """Whether an earlier attempt had come to its end when its node was lost; if not, its result file is removed.

    It had if every task recorded a success and the script was never seen to end on its own. Tasks of one attempt decide
    alike, without talking: a task that removes or rewrites its result only makes true what the others have seen.
    """
    attempt = env._attempt
    if attempt == 0 or not os.path.exists(paths.locate("result_pickle")):
        return False
    from submitit.storage.paths import JobPaths

    footers = [
        outcome.read_footer(JobPaths(os.environ["SUBMITIT_FOLDER"], env.job_id, task).locate("result_pickle"))
        for task in range(env.num_tasks)
    ]
    earlier = [
        footer.attempt
        for footer in footers
        if footer is not None and footer.success and (footer.attempt or 0) < attempt
    ]
    if len(earlier) == env.num_tasks and not _script_ended(env, range(min(a or 0 for a in earlier), attempt)):
        return True
    footer = footers[env.global_rank] if env.global_rank < len(footers) else None
    if footer is None or (footer.attempt or 0) < attempt:
        os.unlink(paths.locate("result_pickle"))
    return False


def _script_ended(env: JobEnvironment, attempts: range) -> bool:
    """Whether the batch script of one of these attempts ran to its end without being told to terminate."""
    directory = os.environ.get("SUBMITIT_EVENTS")
    if not directory:
        return True
    ended, told = set(), set()
    for attempt in attempts:
        prefix = f"{env.job_id}-batch.{attempt}."
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            if name.startswith(prefix + "exit-"):
                ended.add(attempt)
            elif name == prefix + "term":
                told.add(attempt)
    return bool(ended - told)


def _unpicklable_result(value: Any, problem: Exception) -> Exception:
    """The error of a job whose value cannot be written, naming the part that cannot."""
    words = serialization.describe_unpicklable(value, problem)
    if isinstance(problem, OSError):
        error: Exception = OSError(
            problem.errno, f"The function returned, but its result could not be written: {problem}"
        )
    else:
        error = TypeError(f"The function returned a value that cannot be pickled: {words}")
    error.__cause__ = problem
    return error


def _traceback(error: BaseException) -> str:
    """The traceback of a function's exception, from the function on."""
    import traceback

    own = (__file__, DelayedSubmission.result.__code__.co_filename)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename in own:
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as problem:  # noqa: BLE001 - an exception whose own __str__ raises is an ending too
        return f"{type(error).__module__}.{type(error).__qualname__} (its traceback cannot be printed: {problem!r})\n"


def _exit_code(error: SystemExit) -> int:
    code = error.code
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def submitit_main(argv: list[str] | None = None) -> None:
    """``python -m submitit.core._submit FOLDER``: run this task's submission; the exit code is not 0 if it failed."""
    import faulthandler
    import signal

    gc.disable()  # until the function is called: what is loaded before stays, and collecting it costs milliseconds
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        raise SystemExit("usage: python -m submitit.core._submit FOLDER")
    log.belong_to_a_job()
    faulthandler.enable()  # a crash of the interpreter leaves its Python stack in the job's stderr
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(
            signal.SIGINT, signal.default_int_handler
        )  # a shell ignores it for what it runs in the background
    try:
        process_job(arguments[0])
    except SystemExit as error:
        if _exit_code(error) == 0:
            raise SystemExit(1) from None  # the function did not return: a job that failed never exits with 0
        raise
