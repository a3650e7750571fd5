"""Jobs that are taken away for others, on a cluster that sends them the user signal and gives them no time.

Every job here is at the end of a limit of two minutes all the time: that it is preempted is not for a clock to say.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from support import faults
from support.attempts import Attempts, come_back, on, preempt
from support.reliability import Fault
from support.slurm_jobs import Client

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("unasked")]

SAVING = [kind for kind in faults.KINDS if kind != "plain"]


WITH_SIGNAL = "preempted, with the user signal, two minutes before the end of its time"


def test_with_the_user_signal(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    low = [Attempts(client, waits, f"{number}").of_kind(kind, **on("n1")) for number, kind in enumerate(SAVING)]
    high = preempt(client, waits, low)
    fault.injected()
    come_back(high, low, fault, WITH_SIGNAL)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_with_the_user_signal_and_functions_that_go_on(client: Client, waits: ThreadPoolExecutor, fault: Fault) -> None:
    """A plain one does, and one that is in C code has no choice. Slurm ends them after KillWait."""
    plain = [
        Attempts(client, waits, f"plain-{srun}").of_kind("plain", **on("n1", cpus=3, slurm_use_srun=srun))
        for srun in (True, False)
    ]
    saving = Attempts(client, waits, "saving").of_kind("checkpointable", **on("n2", slurm_use_srun=False))
    in_c = Attempts(client, waits, "in-c").submit(faults.InC(str(client.directory / "in-c")), **on("n2"))
    high = preempt(client, waits, [*plain, saving, in_c])
    fault.injected()
    in_c.until_waiting()
    come_back(high, [*plain, saving], fault, WITH_SIGNAL)
    in_c.kind = "checkpointable"
    sees = in_c.start_again().until_started(1).ran_again(saved=0)
    assert not in_c.said("Calling checkpoint method.")
    fault.seen(
        "preempted while in C code, to the end",
        sees,
        job="checkpointable",
        lost="what it did since its last checkpoint",
    )
