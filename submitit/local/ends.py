"""One descriptor that tells of the end of any of many processes, which need not be this one's children."""

from __future__ import annotations

import os
import selectors
from typing import TYPE_CHECKING

from submitit.local import processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from submitit.local.processes import Identity

#: So many processes are watched at a time by this one, whatever it waits for: the user's program needs descriptors too.
MOST = 128

#: The descriptors of all sets of this process.
_open: set[int] = set()


class Ends:
    """A set of processes, some or all of them watched. A copy that a fork has made leaves the original's alone."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._selector: selectors.BaseSelector | None = None
        self._descriptors: dict[Identity, int] = {}
        self._gone: set[Identity] = set()
        self._new = False

    def fileno(self) -> int | None:
        """Becomes readable when a watched process ends, and stays so until ``take``; ``None``: none is watched."""
        if self._selector is None or not self._descriptors or self._owner != os.getpid():
            return None
        return self._selector.fileno()  # type: ignore[attr-defined,no-any-return]  # epoll's and kqueue's have one

    def watch(self, wanted: Iterable[Identity]) -> None:
        """Watch these processes and no others. What has ended already counts as having ended now."""
        if self._owner != os.getpid():
            self.close()
            self._owner = os.getpid()
        wanted = dict.fromkeys(wanted)
        self._gone &= wanted.keys()
        for who in self._descriptors.keys() - wanted.keys():
            self._drop(who)
        for who in wanted:
            if who not in self._descriptors and who not in self._gone and not self._add(who):
                self._gone.add(who)
                self._new = True

    def take(self) -> bool:
        """Whether one of the watched processes has ended since the last call."""
        if self._selector is not None and self._owner == os.getpid():
            for key, _ in self._selector.select(0):
                self._drop(key.data)
                self._gone.add(key.data)
                self._new = True
        new, self._new = self._new, False
        return new

    def watches(self, who: Identity) -> bool:
        """Whether the end of this process will be told."""
        return who in self._descriptors

    def close(self) -> None:
        """Give every descriptor back."""
        if self._selector is not None:
            self._selector.close()
            self._selector = None
        for who in list(self._descriptors):
            self._drop(who)
        self._gone.clear()

    def _add(self, who: Identity) -> bool:
        """Whether the process lives, watched or not."""
        if len(_open) >= MOST:
            return True
        try:
            descriptor = processes.open_end(who)
            if descriptor is None:
                return True
            self._descriptors[who] = descriptor
            _open.add(descriptor)
            if self._selector is None:
                self._selector = selectors.DefaultSelector()
            self._selector.register(descriptor, selectors.EVENT_READ, who)
        except ProcessLookupError:
            return False
        except OSError:  # no descriptors left: one has to look
            self._drop(who)
        return True

    def _drop(self, who: Identity) -> None:
        descriptor = self._descriptors.pop(who, None)
        if descriptor is None:
            return
        _open.discard(descriptor)
        if self._selector is not None and descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
        os.close(descriptor)
