"""``NamedTuple`` as ``typing`` has it, without ``typing``: a job that starts would import that for nothing else."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple  # noqa: PLC0414 - this is how a stub exports a name
else:
    from collections import namedtuple

    class _FromAnnotations(type):
        def __new__(cls, name, bases, members):
            if not bases:
                return super().__new__(cls, name, bases, members)
            fields = list(members.get("__annotations__", ()))
            defaults = [members.pop(field) for field in fields if field in members]
            values = namedtuple(name, fields, defaults=defaults, module=members["__module__"])  # noqa: PYI024 - that is the point
            return type(name, (values,), {**members, "__slots__": ()})

    class NamedTuple(metaclass=_FromAnnotations):
        """A tuple whose annotated class attributes are its fields, with their values as defaults."""
