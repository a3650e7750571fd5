"""Writes the elements of an array so that what several of them share is written once.

References are pickle's persistent ids: ``n`` is the object of block n, ``(n, k)`` an object inside it, the k-th that its
pickler met. So an optimizer that one element gets still points into the model that all of them share, as it does when
the whole call is one pickle.

Two rules keep each element whole and free of what is not its own. An element refers into the blocks that it uses. A
block refers into another block only if all its users use that one as well; if some do and some do not, it is not
shared after all but written in each element, where the first rule holds.
"""

from __future__ import annotations

import functools
import types
from enum import Enum
from typing import Any, NamedTuple

from submitit.storage import serialization
from submitit.storage.submission import DelayedSubmission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from submitit.storage.output import Output

    PersistentId = int | tuple[int, int]

#: What is smaller than this is cheaper in every element than behind a seek.
SMALL = 512

_ATOMS = frozenset({type(None), bool, int, float, complex, type(Ellipsis), type(NotImplemented)})
#: Objects that no program tells apart from an equal one, or that are found by name.
_VALUES = _ATOMS | {str, bytes, tuple, frozenset, range, slice, type, types.BuiltinFunctionType, types.ModuleType}
_WRAPPER = type(object.__hash__)

#: What a submission holds beside its call and its time-outs, when it has not run.
_FRESH = ("_result", "_done")
_NAMED = frozenset({"function", "args", "kwargs", "_timeout_min", "_timeout_countdown"})


def write_elements(output: Output, submissions: Sequence[DelayedSubmission]) -> tuple[list[int], list[int]]:
    """Writes blocks and elements; returns their offsets.

    Raises:
        Exception: see ``payload.write_payload``.
    """
    writer = _Writer(output, submissions)
    offsets = []
    for index, submission in enumerate(submissions):
        try:
            offsets.append(writer.write(index, submission))
        except Exception as error:
            output.explain(error, submission, index)
            raise
    return [block.offset for block in writer.blocks], offsets


class _Block(NamedTuple):
    """One object that several elements share, in the file."""

    offset: int
    #: The elements that have it.
    users: frozenset[int]
    #: cloudpickle's stand-ins for the global variables of functions, by the id of the real ones.
    globals: dict[int, Any]


class _Writer:
    def __init__(self, output: Output, submissions: Sequence[DelayedSubmission]) -> None:
        self.blocks: list[_Block] = []
        self._output = output
        self._whole = serialization.dump_is_replaced()
        # By the id of an object: by the blocks that it is in, the persistent id that leads to it.
        self._places: dict[int, dict[int, PersistentId]] = {}
        # An object that is gone would leave its id to another one.
        self._alive: list[object] = []
        # By the id of an object that several elements have, these elements in order.
        self._users: dict[int, list[int]] = {}
        candidates = [_shareable(submission) for submission in submissions]
        for index, objects in enumerate(candidates):
            for obj in objects:
                users = self._users.setdefault(id(obj), [])
                if not users or users[-1] != index:
                    users.append(index)
        self._users = {key: users for key, users in self._users.items() if len(users) > 1}
        # By element: the objects that it shares, those of most users first, since a block refers to what is already
        # there; and the blocks that it has so far.
        self._shared = [[obj for obj in objects if id(obj) in self._users] for objects in candidates]
        for objects in self._shared:
            if len(objects) > 1:
                objects.sort(key=lambda obj: -len(self._users[id(obj)]))
        self._blocks_of: list[list[int]] = [[] for _ in submissions]
        # Of the pickle that is being written: the blocks that all its readers have, those that some of them have, and whether
        # it turned out that its object had better not be shared.
        self._common: list[int] = []
        self._partial: set[int] = set()
        self._clash = False
        self._pickler = serialization.pickler(output, self._make_persistent_id())

    def write(self, index: int, submission: DelayedSubmission) -> int:
        """Adds an element, and before it the blocks that it is the first to need; returns its offset."""
        if self._whole:
            offset = self._output.size
            serialization.write(submission, self._output)
            return offset
        for obj in self._shared[index]:
            if id(obj) not in self._places and id(obj) in self._users:
                self._write_block(obj, keep=obj is submission.function)
        offset = self._output.size
        self._common, self._partial = self._blocks_of[index], set()
        self._dump(_record(submission))
        return offset

    def _write_block(self, obj: object, *, keep: bool) -> None:
        """Adds a block for the object, however small to ``keep``, or finds that it is better written in each element."""
        number, offset, users = len(self.blocks), self._output.size, frozenset(self._users[id(obj)])
        near = set().union(*(self._blocks_of[index] for index in users))
        self._common = sorted(block for block in near if users <= self.blocks[block].users)
        self._partial = near.difference(self._common)
        self._clash = False
        self._dump(obj)
        if self._clash or (self._output.size - offset < SMALL and not keep):
            self._output.rewind(offset)
            del self._users[id(obj)]
            return
        self.blocks.append(_Block(offset, users, dict(getattr(self._pickler, "globals_ref", ()))))
        for index in users:
            self._blocks_of[index].append(number)
        self._places[id(obj)] = {number: number}
        for key, (place, part) in self._pickler.memo.copy().items():
            if key != id(obj) and _has_identity(part):
                self._places.setdefault(key, {})[number] = (number, place)
                self._alive.append(part)

    def _dump(self, obj: object) -> None:
        pickler = self._pickler
        pickler.clear_memo()
        # Functions of one module that meet in a call share its global variables there: those of the blocks go on.
        variables: dict[int, Any] = {}
        for number in self._common:
            if self.blocks[number].globals:
                variables = self.blocks[number].globals | variables
        pickler.globals_ref = variables
        pickler.dump(obj)

    def _make_persistent_id(self) -> Callable[[Any, Any], PersistentId | None]:
        look_up = self._places.get

        def persistent_id(_: Any, obj: Any) -> PersistentId | None:
            places = look_up(id(obj))
            return None if places is None else self._refer(obj, places)

        return persistent_id

    def _refer(self, obj: object, places: dict[int, PersistentId]) -> PersistentId | None:
        for number in self._common:
            if number in places:
                return places[number]
        # A copied function does what the function does; anything else may be changed by its holder and must stay one.
        if type(obj) is not types.FunctionType and not self._partial.isdisjoint(places):
            self._clash = True
        return None


def _shareable(submission: DelayedSubmission) -> list[object]:
    """The objects of a call that it may share with others, parts before what holds them."""
    found: list[object] = []
    for obj in (submission.function, *submission.args, *submission.kwargs.values()):
        kind = type(obj)
        if kind in _ATOMS or ((kind is str or kind is bytes) and len(obj) < SMALL):
            continue
        if kind is functools.partial or kind is types.MethodType:
            _add_parts(obj, found)
        else:
            found.append(obj)
    return found


def _add_parts(obj: Any, found: list[object]) -> None:
    """What a fresh ``partial`` or bound method is made around is shared even where each call has its own."""
    if type(obj) is functools.partial:
        for part in (obj.func, *obj.args, *obj.keywords.values()):
            _add_parts(part, found)
    elif type(obj) is types.MethodType:
        _add_parts(obj.__self__, found)
    if type(obj) not in _VALUES:
        found.append(obj)


def _record(submission: DelayedSubmission) -> object:
    state = vars(submission)
    if type(submission) is not DelayedSubmission or not state.keys() >= _NAMED:
        return submission
    others = None
    if len(state) != len(_NAMED) + len(_FRESH) or submission._done or submission._result is not None:
        others = {key: value for key, value in state.items() if key not in _NAMED}
    return (
        submission.function,
        submission.args,
        submission.kwargs,
        submission._timeout_min,
        submission._timeout_countdown,
        others,
    )


def _has_identity(obj: object) -> bool:
    """Whether a program may notice that an object has become two.

    Not those that compare by value in C (strings, numpy's dtypes), enum members, and classes, which are found by name or by
    cloudpickle's own book-keeping.
    """
    kind = type(obj)
    if kind in _VALUES or isinstance(obj, (type, Enum)):
        return False
    hashing: object = kind.__hash__  # None where the type forbids it
    return hashing is None or hashing is object.__hash__ or type(hashing) is not _WRAPPER
