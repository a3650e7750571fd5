"""Looking into this machine, and into a folder that jobs are to use, without submitting anything."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from typing import TYPE_CHECKING

from submitit.local import resources
from submitit.storage import names
from submitit.upkeep.diagnosis import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a process of a local job and its controller need, with much to spare.
_FEW_FILES = 1024
_LITTLE_ROOM, _LITTLE_SHARE = 1 << 30, 0.01
#: Less is what clocks are apart that are kept right, and how coarse a file system's is.
_SKEW_S = 2.0
_SHARED = {
    "nfs": "NFS",
    "nfs4": "NFS",
    "lustre": "Lustre",
    "gpfs": "GPFS",
    "beegfs": "BeeGFS",
    "ceph": "CephFS",
    "fuse.ceph": "CephFS",
    "cifs": "SMB",
    "smb3": "SMB",
    "afs": "AFS",
    "glusterfs": "GlusterFS",
    "fuse.glusterfs": "GlusterFS",
    "fuse.sshfs": "sshfs",
    "fuse.juicefs": "JuiceFS",
    "wekafs": "WekaFS",
    "panfs": "PanFS",
    "orangefs": "OrangeFS",
    "9p": "9P",
    "virtiofs": "virtiofs",
}
_IN_MEMORY = ("tmpfs", "ramfs")
_OWN = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "overlay", "apfs", "hfs", "f2fs", *_IN_MEMORY)


def software() -> Iterator[Finding]:
    """The interpreter and the packages."""
    import submitit

    own = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    yield Finding("Python", Level.OK, own, "Jobs run with this interpreter, unless the executor is given another one.")
    try:
        from importlib.metadata import version

        pickles = version("cloudpickle")
    except Exception:  # noqa: BLE001 - whatever keeps it from being found keeps it from being imported
        yield Finding(
            "cloudpickle",
            Level.ERROR,
            "not installed",
            "Nothing can be submitted: install it with pip install cloudpickle.",
        )
        pickles = ""
    found = f"submitit {submitit.__version__}" + (f", cloudpickle {pickles}" if pickles else "")
    where = os.path.dirname(submitit.__file__)
    yield Finding("versions", Level.OK, found, f"In {where}, which jobs have to see as well.")


def hardware() -> Iterator[Finding]:
    """What local jobs have to share."""
    import resource

    cpus, every = resources.available_cpus(), os.cpu_count() or 1
    less = f" of {every}, limited by an affinity mask or a control group" if cpus < every else ""
    yield Finding(
        "CPUs", Level.OK, f"{cpus}{less}", "So many CPUs of local jobs are in use at a time; what does not fit waits."
    )
    memory = resources.available_memory()
    yield Finding(
        "memory",
        Level.OK if memory else Level.NOTE,
        f"{memory / 2**30:.1f} GB" if memory else "cannot be told",
        "Local jobs that are given mem_gb wait until there is room; it is no limit on what they use.",
    )
    gpus = resources.visible_gpus(dict(os.environ))
    yield Finding(
        "GPUs", Level.OK, f"{len(gpus)} ({', '.join(gpus)})" if gpus else "none", "For local jobs with gpus_per_node."
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    few = not unlimited and hard < _FEW_FILES
    yield Finding(
        "open files",
        Level.WARNING if few else Level.OK,
        "no limit" if unlimited else f"up to {hard} a process (hard limit)",
        "Local jobs that start together need some each: raise it (ulimit -Hn), or set local_max_jobs." if few else "",
    )


def folder(path: str, *, for_nodes: bool) -> Iterator[Finding]:
    """Whether jobs can keep their files there; ``for_nodes``: those on other machines as well."""
    there = path
    while not os.path.isdir(there) and os.path.dirname(there) != there:
        there = os.path.dirname(there)
    new = "" if there == path else f" (not there yet; {there} is)"
    if os.path.lexists(path) and not os.path.isdir(path):
        yield Finding("folder", Level.ERROR, f"{path} is a file", "Jobs keep their files in a folder: name one.")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        words = f"{there} cannot be written to by you"
        yield Finding(
            "folder", Level.ERROR, words, "Jobs keep their files there: choose a folder that you can write to."
        )
        return
    yield Finding("folder", Level.OK, f"{path}{new}", "You can write to it.")
    yield _room(there)
    yield file_system("file system", there, for_nodes=for_nodes)
    yield from _clock(there)


def file_system(topic: str, path: str, *, for_nodes: bool) -> Finding:
    """What kind of file system a path lies on, and whether other machines may see it."""
    mounted = _mounted(os.path.realpath(path))
    if mounted is None:
        return Finding(
            topic,
            Level.NOTE,
            "cannot be told",
            "Jobs on other machines need a folder that they see under the same path.",
        )
    kind, source, point = mounted
    if kind in _SHARED:
        late = " A result may show up on other machines some seconds late." if kind.startswith("nfs") else ""
        return Finding(
            topic, Level.OK, f"{_SHARED[kind]} ({source} at {point})", f"Shared between machines, most likely.{late}"
        )
    memory = " It is in memory, and gone with the next boot." if kind in _IN_MEMORY else ""
    if kind in _OWN:
        return Finding(
            topic,
            Level.WARNING if for_nodes else Level.OK,
            f"{kind} at {point}, this machine's own",
            f"Nodes may not see it, and their jobs would fail at once: `submitit doctor --submit` shows it.{memory}"
            if for_nodes
            else f"For local jobs it is the quickest.{memory}",
        )
    return Finding(topic, Level.NOTE, f"{kind} at {point}", "Whether other machines see it cannot be told from here.")


def _room(path: str) -> Finding:
    try:
        room = os.statvfs(path)
    except OSError as error:
        return Finding("free space", Level.NOTE, str(error))
    free, whole = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    found = f"{free / 2**30:,.1f} GB of {whole / 2**30:,.1f} GB"
    if not free or (not room.f_favail and room.f_files):
        what = found if not free else f"{found}, and no room for another file"
        return Finding(
            "free space", Level.ERROR, what, "Nothing can be written there: results would be lost. See submitit du."
        )
    if free < _LITTLE_ROOM and free < whole * _LITTLE_SHARE * 10:
        return Finding(
            "free space", Level.WARNING, found, "Jobs whose results do not fit fail: submitit du, submitit clean."
        )
    return Finding("free space", Level.OK, found, "A quota of yours, if there is one, is not seen here.")


def _clock(path: str) -> Iterator[Finding]:
    file = os.path.join(path, names.temporary_name())
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        yield Finding("folder", Level.ERROR, f"no file can be made in it: {error}", "Jobs keep their files there.")
        return
    try:
        before = time.time()
        os.utime(descriptor)  # as its server has the time
        after = time.time()
        stamp = os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(file)
    yield clock("clock", "file server", stamp, before, after)


def clock(topic: str, whose: str, moment: float, before: float, after: float) -> Finding:
    """Compare another clock with this machine's: it showed ``moment`` between ``before`` and ``after``."""
    skew = moment - after if moment > after else moment - before if moment < before else 0.0
    if abs(skew) < _SKEW_S:
        return Finding(topic, Level.OK, f"the {whose}'s and this machine's agree")
    ahead = "ahead of" if skew > 0 else "behind"
    return Finding(
        topic,
        Level.WARNING,
        f"the {whose}'s is {abs(skew):,.1f} s {ahead} this machine's",
        "Times of jobs are off by as much, and what clean takes by age; nothing else depends on them.",
    )


def _mounted(path: str) -> tuple[str, str, str] | None:
    """Kind, source and place of the file system that a path lies on; ``None`` where the platform does not tell."""
    found = None
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                source, point, kind = (
                    word.encode("latin-1", "replace").decode("unicode_escape") for word in line.split(" ")[:3]
                )
                if f"{path}/".startswith(f"{point.rstrip('/')}/") and (found is None or len(point) >= len(found[2])):
                    found = kind, source, point
    except OSError:
        return None
    return found
