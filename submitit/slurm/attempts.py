"""One submission, tried again while Slurm is busy or out of reach, and never made twice.

::

    sbatch ── answers ─────────────────────────────────────────────▶ its answer
       └──── transient refusal, or none at all
               └ pause ─ look in the queue ── found ────────────────▶ the answer that was lost
                   ▲        │      └ the look failed: pause, look again
                   │        └ not there: sbatch ── answers ─────────▶ its answer
                   └─────────────────────────────────┘

That sbatch failed does not mean that slurmctld did not hear it. The script's path holds a token that is this submission's
alone, and slurmctld knows the path of every script: as long as it cannot be asked, nothing is sent again.
"""

from __future__ import annotations

import os
import random
import re
import time
from typing import TYPE_CHECKING

from submitit import commands, log
from submitit.errors import SubmissionRefusedError
from submitit.slurm import limits, queries, shield

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long one submission is tried in all, after its first refusal.
PATIENCE_S = 300.0
#: Pauses double from the first to the last; each is shortened at random by up to a half, so that the clients of a
#: cluster that comes back do not all come at once.
FIRST_PAUSE_S, LAST_PAUSE_S = 2.0, 30.0


def again(failure: Exception, submit: Callable[[], str], token: str, script: str) -> str:
    """What sbatch answers to a submission that came to the ``failure`` at first; raises that at once where it is not transient.

    ``submit`` makes the next attempt, ``script`` is the text that is sent, ``token`` a part of its path that no other script's
    has. Raises ``SubmissionRefusedError`` with the words of the last refusal, and what is known of the job, when the patience
    is at its end.
    """
    if not is_transient(failure):
        raise failure
    log.get_logger().warning(
        "Slurm did not take a submission now; it is tried again for up to %g s, and never sent twice. sbatch said: %s",
        PATIENCE_S,
        str(failure).strip(),
    )
    clusters = clusters_of(script)
    started, pause, tries = time.monotonic(), FIRST_PAUSE_S, 1
    while True:
        shield.pause(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LAST_PAUSE_S)
        late = time.monotonic() - started > PATIENCE_S
        try:
            found = look(token, clusters)
        except Exception as error:
            if late:
                raise SubmissionRefusedError(_given_up(failure, tries, _unknown(error, token))) from error
            continue
        if found is not None:
            log.get_logger().warning("Slurm has taken the submission all the same: it is job %s.", found)
            return f"Submitted batch job {found}"
        if late:
            raise SubmissionRefusedError(_given_up(failure, tries, "It is not in the queue.")) from failure
        tries += 1
        try:
            answer = submit()
        except (SubmissionRefusedError, TimeoutError) as error:
            if not is_transient(error):
                raise
            failure = error
        else:
            log.get_logger().warning("Slurm has taken the submission, at attempt %d.", tries)
            return answer


def is_transient(failure: Exception) -> bool:
    """Whether a submission that ended so may succeed at another time, or may have succeeded already."""
    if isinstance(failure, TimeoutError):
        return True
    words = str(failure)
    # A signal ended sbatch: somebody's, or the memory's. It may have been heard by then.
    killed = re.search(r"exited with -\d+ and said nothing\s*$", words) is not None
    return killed or limits.classify(words) is limits.Refusal.TRANSIENT


def look(token: str, clusters: str = "") -> str | None:
    """The id of the job, or array, whose script's path holds ``token``; ``None`` if Slurm has none.

    Raises what ``commands.query`` raises where slurmctld does not answer.
    """
    env = queries.environment(os.environ)
    user = str(os.getuid())
    command = queries.submissions_command(user)
    if clusters:
        command.append(f"--clusters={clusters}")
    found = queries.parse_submissions(commands.query(command, env), token)
    if found is None:
        # The accounts remember what ended so long ago that slurmctld has forgotten it; where there are none, that is all.
        try:
            found = queries.parse_submissions(
                commands.query(queries.accounted_submissions_command(user, clusters), env), token
            )
        except Exception:  # noqa: BLE001 - no accounts, or a version that does not keep what was submitted
            return None
    return found


def clusters_of(script: str) -> str:
    """The clusters that the script is sent to, if it names any: squeue does not look there by itself."""
    found = re.findall(r"(?m)^#SBATCH (?:--clusters?[= ]|-M ?)'?([\w,.-]+)", script)
    return found[-1] if found else os.environ.get("SBATCH_CLUSTERS", "")


def _given_up(failure: Exception, tries: int, known: str) -> str:
    times = "once" if tries == 1 else f"{tries} times"
    return f"{str(failure).strip()}\n\nSent {times} within {PATIENCE_S:g} s. {known}"


def _unknown(error: Exception, token: str) -> str:
    return (
        f"Whether the job is in the queue is not known, since that cannot be asked either ({error}). When Slurm answers again, "
        f"this finds it: squeue --me --states=all --format='%A %o' | grep {token}"
    )
