"""Modules that only show what lives in other modules.

Programs and their test suites replace names such as ``submitit.core.utils.CommandFunction``, while this library looks its names
up where they live. So a view has nothing of its own: reading a name reads it there, now; assigning to it assigns there; deleting
it takes the last assignment back, since that is how ``monkeypatch`` and ``unittest.mock`` undo one to a name that they do not
find in the module's ``__dict__``.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class View(ModuleType):
    """A module whose names are those of other modules, which are loaded when a name of theirs is used."""

    #: ``"module:name"`` for each name, or ``"module"`` for a module itself.
    _homes: Mapping[str, str]
    #: What each assigned name was before each assignment.
    _before: dict[str, list[object]]

    def __getattr__(self, name: str) -> Any:
        target = self.__dict__["_homes"].get(name)
        if target is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        home, _, attribute = target.partition(":")
        module = _load(home)
        return getattr(module, attribute) if attribute else module

    def __setattr__(self, name: str, value: object) -> None:
        home, _, attribute = self._homes.get(name, "").partition(":")
        if not attribute:
            super().__setattr__(name, value)
            return
        module = _load(home)
        self._before.setdefault(name, []).append(getattr(module, attribute))
        setattr(module, attribute, value)

    def __delattr__(self, name: str) -> None:
        home, _, attribute = self._homes.get(name, "").partition(":")
        if not attribute:
            super().__delattr__(name)
        elif self._before.get(name):
            setattr(_load(home), attribute, self._before[name].pop())
        else:
            raise AttributeError(f"{self.__name__}.{name} lives in {home}: assign to it instead")

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self._homes})


def _load(name: str) -> ModuleType:
    from importlib import import_module

    return import_module(name)


def view(name: str, homes: Mapping[str, str]) -> None:
    """Turn the module ``name`` into a view of what ``homes`` lists."""
    module = sys.modules[name]
    module.__dict__.update(_homes=homes, _before={}, __all__=sorted(homes))
    module.__class__ = View
