"""What a task does when its scheduler warns it.

Preemption, a time-out and a cancellation all arrive as signals, several of them within milliseconds and in any order. The
first that matters is acted on, once, with the others blocked meanwhile. The function stands still while its state is saved,
because the handler runs on top of it in the main thread; so nothing here may take a lock that the function could hold, and
what is said is written straight to the descriptors.
"""

from __future__ import annotations

import os
import signal
import time

from submitit import log
from submitit.orchestrator import checkpoint
from submitit.orchestrator.interruption import Interruption
from submitit.storage import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from collections.abc import Callable
    from typing import Protocol

    from submitit.storage.paths import JobPaths
    from submitit.storage.submission import DelayedSubmission

    class SignalledEnvironment(Protocol):
        """What a handler asks of the environment of its job; a ``JobEnvironment`` has it."""

        @property
        def hostname(self) -> str: ...
        @property
        def job_id(self) -> str: ...
        @property
        def global_rank(self) -> int: ...
        @property
        def _attempt(self) -> int: ...
        def _interruption(self) -> Interruption: ...
        def _requeue(self, countdown: int) -> bool | None: ...


class SignalHandler:
    """The handlers of one task's signals.

    After the checkpoint the process ends by ``SystemExit`` raised through the function, so that its ``finally`` clauses and
    the interpreter's ``atexit`` run. A function that swallows this gains nothing: ``ending`` says that the call is over.
    """

    def __init__(self, env: SignalledEnvironment, job_paths: JobPaths, delayed: DelayedSubmission) -> None:
        self.env = env
        self._job_paths = job_paths
        self._delayed = delayed
        self._start_time = time.time()
        #: What ended the call from here: ``SystemExit`` after a checkpoint, an error where none could be made.
        self.ending: BaseException | None = None
        #: Whether rank 0 has been told to save and to end the job, and this rank has not: it may fail for want of the other.
        self.left_to_rank_0 = False
        self._signals: frozenset[int] = frozenset({signal.SIGTERM, signal.SIGCONT})
        self._acting = False
        self._waiting: list[tuple[Callable[[int, types.FrameType | None], None], int, types.FrameType | None]] = []

    def install(self, user_signal: int) -> None:
        """Handle the user signal, SIGTERM and SIGCONT from now on."""
        self._signals |= {user_signal}
        signal.signal(user_signal, self.checkpoint_and_try_requeue)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGCONT, self.bypass)
        os.register_at_fork(after_in_child=self._leave_to_the_task)

    def _leave_to_the_task(self) -> None:
        """In a process that the function has forked: the state is the task's to save, and SIGTERM ends this one.

        So ``multiprocessing`` ends its workers, and would wait for ever for one that passes the signal by. The user signal may
        be sent to all processes of a job, and is none of theirs.
        """
        for number in self._signals:
            if getattr(signal.getsignal(number), "__self__", None) is self:
                ignored = number not in (signal.SIGTERM, signal.SIGCONT)
                signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)

    def has_timed_out(self) -> bool:
        """Whether the job's time is nearly up, by the clock: less than ten minutes or a fifth of its limit are left."""
        limit_s = self._delayed._timeout_min * 60
        elapsed_s = time.time() - self._start_time
        log.say(
            "INFO",
            f"Job has {'' if elapsed_s >= _warned_at(limit_s) else 'not '}timed out. Ran {elapsed_s / 60:.0f} minutes out of requested {limit_s / 60:.0f} minutes.",
        )
        return elapsed_s >= _warned_at(limit_s)

    def bypass(self, signum: int, frame: types.FrameType | None = None) -> None:
        """Say that the signal came, and go on."""
        log.say("WARNING", f"Bypassing signal {signal.Signals(signum).name}")

    def checkpoint_and_try_requeue(self, signum: int, frame: types.FrameType | None = None) -> None:
        """Save the state of a checkpointable function and see to it that the job runs again; the process then ends.

        A plain function goes on: if the job is preempted it is started again from the beginning by its scheduler, if its
        time is up the scheduler ends it.
        """
        self._one_by_one(self._save_and_requeue, signum, frame)

    def _save_and_requeue(self, signum: int, frame: types.FrameType | None) -> None:
        caught = f"Caught signal {signal.Signals(signum).name} on {self.env.hostname}"
        if self.env.global_rank != 0:
            # one rank asks the scheduler; and ending this one could end the job before rank 0 has saved
            self._leave_to_rank_0()
            log.say("WARNING", f"{caught}.")
            log.say("INFO", f"Not checkpointing nor requeuing since I am a slave (procid={self.env.global_rank}).")
            return
        interruption = self.env._interruption()
        if interruption is Interruption.CANCELLED:
            # the warning came while the function was in code that cannot be interrupted: it is too late for it
            self.bypass(signum, frame)
            return
        timed_out = self._is_time_out(interruption)
        log.say("WARNING", f"{caught}: this job is {_cause(timed_out=timed_out)}.")
        if not checkpoint.is_checkpointable(self._delayed):
            reason = (
                "timed-out and not checkpointable"
                if timed_out
                else "not checkpointable: it is started again from the beginning"
            )
            log.say("INFO", f"Job not requeued because: {reason}.")
            return
        self._checkpoint(interruption, timed_out=timed_out)

    def checkpoint_and_exit(self, signum: int, frame: types.FrameType | None = None) -> None:
        """Save the state of a checkpointable function and end the process; whoever sent the signal runs the job again."""
        self._one_by_one(self._save_and_exit, signum, frame)

    def _save_and_exit(self, signum: int, frame: types.FrameType | None) -> None:
        log.say(
            "WARNING", f"Caught signal {signal.Signals(signum).name} on {self.env.hostname}: this job is preempted."
        )
        if self.env.global_rank != 0:
            self._leave_to_rank_0()
            log.say("INFO", f"Not checkpointing since I am a slave (procid={self.env.global_rank}).")
            return
        if checkpoint.is_checkpointable(self._delayed):
            self._checkpoint(Interruption.REQUEUED, timed_out=False)
        self._exit()

    def _on_term(self, signum: int, frame: types.FrameType | None = None) -> None:
        """SIGTERM may be all the warning that a job gets.

        That of a preempted one is (slurm.conf.5, GraceTime), and that of a job whose warning falls due together with the end of
        its time: Slurm looks at limits twice a minute. Some seconds are left then as well (KillWait).
        """
        self._one_by_one(self._answer_term, signum, frame)

    def _answer_term(self, signum: int, frame: types.FrameType | None) -> None:
        mine = self.env.global_rank == 0 and checkpoint.is_checkpointable(self._delayed)
        if self.env.global_rank != 0:
            self._leave_to_rank_0()
        interruption = self.env._interruption() if mine else Interruption.OTHER
        if interruption in (Interruption.REQUEUED, Interruption.PREEMPTED, Interruption.OUT_OF_TIME):
            timed_out = self._is_time_out(interruption)
            log.say(
                "WARNING",
                f"Caught signal {signal.Signals(signum).name} on {self.env.hostname}: this job is {_cause(timed_out=timed_out)}.",
            )
            self._checkpoint(interruption, timed_out=timed_out)
        self.bypass(signum, frame)

    def _leave_to_rank_0(self) -> None:
        self.left_to_rank_0 = checkpoint.is_checkpointable(self._delayed)

    def _is_time_out(self, interruption: Interruption) -> bool:
        """Whether this counts as one of the time-outs that the submission may have."""
        if interruption in (Interruption.REQUEUED, Interruption.PREEMPTED):
            return False  # it may be anywhere in its time: no clock can tell
        return self.has_timed_out() or interruption is Interruption.OUT_OF_TIME

    def _checkpoint(self, interruption: Interruption, *, timed_out: bool) -> None:
        """Save, requeue unless the scheduler has done that by itself, and end the call."""
        try:
            # what got on since it was started may go on for as long as it does
            counts = timed_out and not getattr(self._delayed.function, "_submitit_got_on", False)
            countdown = self._delayed._timeout_countdown - counts
            log.say("INFO", "Calling checkpoint method.")
            reason = checkpoint.checkpoint(self._delayed, self._job_paths.submitted_pickle, countdown)
            if reason:
                from submitit.errors import UncompletedJobError

                log.say("INFO", f"Job not requeued because: {reason}.")
                raise UncompletedJobError(f"Job not requeued because: {reason}.")
            if interruption is not Interruption.REQUEUED and self.env._requeue(countdown) is not False:
                log.say("INFO", f"Requeued job {self.env.job_id} ({countdown} remaining timeouts)")
                if interruption is not Interruption.PREEMPTED:
                    self._mark_requeued()
        except BaseException as error:
            self.ending = error
            stop = getattr(self._delayed.function, "_submitit_stop", None)
            if stop is not None:  # it takes exceptions of what it calls for theirs
                stop()
            raise
        self._exit()

    def _mark_requeued(self) -> None:
        """Tell the client that nobody else needs this job's place: it may start again as soon as there is room."""
        directory = os.environ.get("SUBMITIT_EVENTS")
        if directory:
            place = events.EventDirectory(directory)
            place.mark(self.env.job_id, self.env.global_rank, self.env._attempt, "requeue", self.env.hostname)

    def _exit(self) -> None:
        log.say("INFO", "Exiting gracefully after preemption/timeout.")
        self.ending = SystemExit(-1)
        raise self.ending

    def _one_by_one(
        self, act: Callable[[int, types.FrameType | None], None], signum: int, frame: types.FrameType | None
    ) -> None:
        """Answer a signal, unless the call is over; the others of the same moment wait, and none is lost.

        They are blocked, which is not enough: one that came just before, or that another thread takes, runs its handler in
        this thread all the same, on top of what goes on here.
        """
        self._waiting.append((act, signum, frame))
        # Handlers run when the block ends, and between any two lines here: whoever finds `_acting` set leaves it to this loop.
        while self._waiting and self.ending is None and not self._acting:
            self._acting = True
            try:
                with _Blocked(self._signals):
                    act, signum, frame = self._waiting.pop(0)
                    act(signum, frame)
            finally:
                self._acting = False


class _Blocked:
    """For the time of the block some signals wait. (``contextlib`` would be loaded for this alone.)"""

    def __init__(self, signals: frozenset[int]) -> None:
        self._signals = signals
        self._before: set[int] = set()

    def __enter__(self) -> None:
        self._before = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)}

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _cause(*, timed_out: bool) -> str:
    return "timed-out" if timed_out else "preempted"


def _warned_at(limit_s: float) -> float:
    return min(0.8 * limit_s, limit_s - 600) if limit_s > 600 else 0.0
