"""Nurseries that die, seen from the controller's side: whatever the order of events, a start is made once or lost."""

from __future__ import annotations

import textwrap

from support.local_processes import Clients

#: A controller without a supervisor, as a program.
_CONTROLLER = """
import selectors
from submitit.local import forked, processes, tasks
from submitit.local.nurseries import Nurseries, Start

class Listener:
    pids = []
    def started(self, key, pids, problem):
        self.pids = [pid for pid, _ in pids]
        say("started", len(pids), problem)
    def ended(self, pid, code, used=None):
        say("ended", code)
    def bereft(self, pids, reason):
        say("bereft", sorted(pids) == sorted(self.pids), "SIGKILL(-9)" in reason)

assert processes.become_subreaper()
selector = selectors.DefaultSelector()
nurseries = Nurseries(selector)
nurseries.listener = listener = Listener()

def start(count):
    executor.folder.mkdir(exist_ok=True)
    launch = executor._launch(executor._submitit_command_str)._replace(tasks=count)
    gate = tasks.Gate()
    environment = {name: "t" for name in tasks.MARKS}
    nurseries.start(Start(count, launch, "1", 0, None, (), environment, gate))
    return gate

def started_by(count):
    # The nursery that has started so many tasks.
    start(count)
    work_until(lambda: listener.pids)
    (nursery,) = processes.children()
    return nursery

def work_until(is_true):
    while not is_true():
        for key, mask in selector.select():
            key.data(mask)

def wait(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
"""


def _run(clients: Clients, program: str) -> list[str]:
    return clients.run(_CONTROLLER + textwrap.dedent(program)).splitlines()


def test_tasks_that_are_seen_to_end_before_their_nursery(clients: Clients) -> None:
    """They died with it all the same, which is what is told of them."""
    output = _run(
        clients,
        """
        nursery = started_by(2)
        os.kill(nursery, signal.SIGKILL)
        for pid in (nursery, *listener.pids):
            wait(pid)  # children of this process from now on
        nurseries.ended(listener.pids[0], -signal.SIGKILL)
        """,
    )
    assert output == ["started 2 ", "bereft True True"]


def test_a_start_that_is_not_answered_is_made_by_another_nursery(clients: Clients) -> None:
    """What the first had begun, and may not be gone yet, does not get through the gate."""
    output = _run(
        clients,
        """
        nursery = started_by(1)
        os.kill(nursery, signal.SIGSTOP)
        first, listener.pids = listener.pids, []
        gate = start(2)
        late = os.fork()
        if not late:
            os.close(gate._entry)
            os._exit(len(os.read(gate.exit, 1)))
        os.kill(nursery, signal.SIGKILL)
        listener.pids = first
        work_until(lambda: len(listener.pids) == 2)
        gate.open(2)
        say(wait(late).si_status)
        """,
    )
    assert output == ["started 1 ", "bereft True True", "started 2 ", "0"]


def test_a_task_whose_nursery_has_died_before_it_looked(clients: Clients) -> None:
    """It is somebody else's child now, and does not begin."""
    output = _run(
        clients,
        """
        gate = tasks.Gate()
        gate.open(1)
        launch = executor._launch(executor._submitit_command_str)._replace(command=["true"])
        nursery = os.getpid
        os.getpid = lambda: nursery() + 1
        child = tasks.Child(forked.World(), ())
        child.begin(tasks.Order(launch, dict(os.environ), {}, True), os.dup(1), os.dup(2), gate.exit)
        say(wait(child.pid).si_status)
        """,
    )
    assert output == ["126"]
