"""Packages whose modules and names are loaded when they are first asked for (PEP 562): ``import submitit`` stays light."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


def attributes(
    package: str, modules: Iterable[str], homes: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of ``package``.

    Its ``modules`` are attributes of it, as after an import of each; so are the names in ``homes``, which says in which module
    each lives. To be bound where no type checker looks, to whom every misspelt name would have a type.
    """
    names = tuple(modules)
    where = dict(homes or {})

    def find(name: str) -> Any:
        from importlib import import_module

        if name in names:
            return import_module(f"{package}.{name}")
        home = where.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
        setattr(sys.modules[package], name, value)
        return value

    def known() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names, *where})

    return find, known
