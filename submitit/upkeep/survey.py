"""What has to be known of a folder of jobs before anything in it is deleted: who lives, who waits for whom, what is whose."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from submitit import commands
from submitit.slurm import queries
from submitit.storage import names, payload, registry
from submitit.storage.paths import Layout, tagless_root
from submitit.upkeep import inventory
from submitit.views import folder as views

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from submitit.local.journals import Controller
    from submitit.upkeep.inventory import Inventory, Key
    from submitit.views.entry import JobEntry
    from submitit.views.folder import Folder

#: A client on another machine that has written nothing for so long is taken to be gone.
QUIET_S = 7 * 86400.0
#: For so long a claim to submit a job anew may not have come to anything yet.
CLAIMED_S = 3600.0


class Survey(NamedTuple):
    """A folder of jobs at one moment; whose files may go is decided from it alone."""

    root: str
    time: float
    #: The number of the user who asks.
    user: int
    entries: list[JobEntry]
    #: The jobs that were cleaned away and that journals still name: what is left of their files is nobody's.
    cleaned: list[JobEntry]
    inventory: Inventory
    #: The client of each job, and by clients the users whose journals they are.
    clients: Mapping[Key, str]
    owners: Mapping[str, int]
    #: The clients that are not known to be gone: they may be submitting at this moment.
    living: frozenset[str]
    controllers: list[Controller]
    #: The jobs that others wait for, which read their results; and those that were submitted anew, as long as that goes on.
    needed: frozenset[Key]
    #: By their names the payloads that jobs of other folders need.
    needed_payloads: frozenset[str]
    #: How many calls each of the payloads holds whose client may still be sending.
    elements: Mapping[str, int]
    #: Words of the scripts in Slurm's queue: a job that its client did not live to note down is found by its payload's name.
    #: ``None`` where Slurm did not answer.
    queued: str | None


def take(folder: Folder, *, user: int | None = None) -> Survey:
    """Look at a folder that was brought up to date just now; other folders of the user are asked about jobs that wait for its jobs."""
    listed = inventory.take(folder)
    jobs = [*folder.entries, *folder.cleaned]
    clients = {(entry.folder, entry.job_id): folder.client(entry) for entry in jobs}
    owners = {folder.client(entry): folder.owner(entry) for entry in jobs}
    layout = Layout(folder.root)
    living = frozenset(client for client in owners if not _is_gone(layout, client))
    elsewhere = _elsewhere(folder.root)
    waiting = [entry for entry in (*folder.entries, *elsewhere) if not entry.over]
    return Survey(
        root=folder.root,
        time=time.time(),
        user=os.geteuid() if user is None else user,
        entries=folder.entries,
        cleaned=folder.cleaned,
        inventory=listed,
        clients=clients,
        owners=owners,
        living=living,
        controllers=_controllers(folder.root),
        needed=frozenset([*_upstreams(waiting), *_replaced(layout, folder)]),
        needed_payloads=frozenset(name for entry in elsewhere if not entry.over for name in payloads_of(entry)),
        elements=_elements(layout, [entry for entry in jobs if folder.client(entry) in living]),
        queued=_queued(jobs),
    )


def payloads_of(entry: JobEntry) -> list[str]:
    """The names of the payloads that a job reads its call from."""
    submission = entry.submission
    found = [submission.get("payload"), submission.get("shares")]
    return [name for name in found if isinstance(name, str) and name and "/" not in name]


def writer_is_gone(name: str) -> bool | None:
    """Whether the process that has made a unique name is gone; ``None`` where it is another machine's."""
    head, _, _ = name.rpartition("-")
    head, _, pid = head.rpartition("-")
    if not pid.isdecimal() or head[len("20260131-235959-") :] != names.host_name():
        return None
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _is_gone(layout: Layout, client: str) -> bool:
    gone = writer_is_gone(client)
    if gone is not None:
        return gone
    last = 0.0
    for path in (layout.locate(f"journal/{client}.jsonl"), layout.locate(f"events/{client}")):
        with contextlib.suppress(OSError):
            last = max(last, os.stat(path).st_mtime)
    return time.time() - last > QUIET_S


def _elsewhere(root: str) -> list[JobEntry]:
    """The jobs of the user's other folders that wait for jobs of this one, or read its payloads, as of now."""
    found = []
    for one in registry.folders():
        if one.root == root:
            continue
        folder = views.Folder(one.root)
        folder.refresh(ask=False)
        if any(_leads_to(entry, root) for entry in folder.entries if not entry.over):
            folder.refresh()
            found += [entry for entry in folder.entries if _leads_to(entry, root)]
    return found


def _leads_to(entry: JobEntry, root: str) -> bool:
    return "shares" in entry.submission or any(tagless_root(folder) == root for folder, _ in _upstreams([entry]))


def _upstreams(waiting: Iterable[JobEntry]) -> set[Key]:
    """The jobs that these wait for."""
    found = set()
    for entry in waiting:
        submission = entry.submission
        words: list[object] = []
        for name in ("after", "after_any", "after_own"):
            told = submission.get(name)
            for word in told if isinstance(told, list) else ():
                words += word if name == "after_own" and isinstance(word, list) else [word]
        for word in words:
            if isinstance(word, str):
                found.add((entry.folder, word))
            elif isinstance(word, list) and len(word) == 2 and all(isinstance(part, str) for part in word):
                found.add((word[1], word[0]))
    return found


def _replaced(layout: Layout, folder: Folder) -> set[Key]:
    """The jobs that were submitted anew since Slurm had refused to requeue them, as long as the new ones are not over."""
    try:
        listed = {item.name: item for item in os.scandir(layout.locate("again"))}
    except OSError:
        return set()
    found = set()
    for name, item in listed.items():
        if name.endswith(".job"):
            continue
        following = ""
        with contextlib.suppress(OSError), open(f"{item.path}.job", encoding="utf-8", errors="replace") as file:
            following = file.read().strip()
        for entry in folder.find(name.rpartition(".")[0]):
            goes_on = [other for other in folder.find(following) if other.folder == entry.folder] if following else []
            with contextlib.suppress(OSError):
                fresh = not following and time.time() - item.stat().st_mtime < CLAIMED_S
                if fresh or any(not other.over for other in goes_on):
                    found.add((entry.folder, entry.job_id))
    return found


def _controllers(root: str) -> list[Controller]:
    from submitit.local.journals import journal_source

    source = journal_source(root)
    source.refresh()
    return source.controllers()


def _elements(layout: Layout, jobs: Iterable[JobEntry]) -> dict[str, int]:
    found = {}
    for name in {name for entry in jobs for name in payloads_of(entry)}:
        try:
            found[name] = payload.count_submissions(layout.locate(f"payloads/{name}"))
        except Exception:  # noqa: BLE001 - it is gone, or is not whole: then nobody reads it
            continue
    return found


def _queued(jobs: Iterable[JobEntry]) -> str | None:
    if all(entry.backend != "slurm" for entry in jobs):
        return ""
    try:
        return commands.query(queries.submissions_command(str(os.geteuid())), queries.environment(os.environ))
    except Exception:  # noqa: BLE001 - no Slurm here, or it is away
        return None
