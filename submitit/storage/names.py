"""Words that are unique to a host, a process and a moment.

They name files and directories and stand in shell scripts: only letters, digits, ``-`` and ``.`` occur in them.
"""

from __future__ import annotations

import itertools
import os
import time

_counter = itertools.count()
_client: tuple[int, str] | None = None


def host_name() -> str:
    """The first label of this machine's name, reduced to what is harmless in a file name and in a shell."""
    label = os.uname().nodename.partition(".")[0]
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in label)[:32].strip("-") or "host"


def unique_name() -> str:
    """A name that no other host, process or call makes: ``20260131-235959-<host>-<pid>-<8 hex digits><count>``.

    Names of one host sort by time. The digits are random, since containers share host names and process ids.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{stamp}-{host_name()}-{os.getpid()}-{os.urandom(4).hex()}{next(_counter):x}"


def client_name() -> str:
    """The name of this client process: the same at every call, another one after a fork."""
    global _client  # noqa: PLW0603 - one name a process is the point
    pid = os.getpid()
    if _client is None or _client[0] != pid:
        _client = (pid, unique_name())
    return _client[1]


def temporary_name() -> str:
    """A name for a file that is written beside its target.

    It does not hold the target's name, which may already be as long as the file system allows. Cheaper than
    ``unique_name``: ``O_EXCL`` settles the rare clash with what a killed process left.
    """
    return f".submitit-{host_name()}-{os.getpid()}-{next(_counter):x}.tmp"
