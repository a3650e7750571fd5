"""Finds the part of an object that keeps it from being pickled, for the error message."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import CodeType
    from typing import Any

#: More than this and the user has waited long enough; the nearest known part is named.
SECONDS = 3.0
DEPTH = 30
#: Elements of a container that are looked at.
WIDTH = 1000


def describe(obj: object, error: BaseException, dump: Callable[[object, Any], None]) -> str:
    """``"<path to the part>: <why>"``; the path is empty where ``obj`` itself is the part.

    Args:
        obj: what was to be pickled.
        error: what pickling it raised.
        dump: pickles an object into something with ``write``, or raises.
    """
    path, reason = _Search(dump, time.monotonic() + SECONDS).find(obj, error)
    return f"{path}: {in_a_line(reason)}" if path else in_a_line(reason)


def in_a_line(error: BaseException) -> str:
    """The error's message without line breaks; the name of its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def same_type(error: Exception, message: str) -> Exception:
    """A new error of the type of ``error``, or a ``PicklingError`` where such a one cannot be made with a message alone."""
    try:
        made = type(error)(message)
        if str(made) == message:
            return made
    except Exception:  # noqa: BLE001, S110 - an exception class may ask for anything
        pass
    from pickle import PicklingError

    return PicklingError(message)


class _OutOfTimeError(BaseException):
    """Not an ``Exception``: a ``__reduce__`` on the way may catch those."""


class _Clock:
    """A file that keeps nothing and raises when the time is up."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def write(self, data: object, /) -> int:
        if time.monotonic() > self.deadline:
            raise _OutOfTimeError
        return 0


class _Search:
    def __init__(self, dump: Callable[[object, Any], None], deadline: float) -> None:
        self._dump = dump
        self._clock = _Clock(deadline)
        self._seen: set[int] = set()

    def find(self, obj: object, error: BaseException) -> tuple[str, BaseException]:
        path = ""
        try:
            for _ in range(DEPTH):
                self._seen.add(id(obj))
                for step, part in _parts(obj):
                    failure = self._failure(part)
                    if failure is not None:
                        # A path begins with a word, not with the dot or blank that joins it to what is before.
                        path, obj, error = (path + step) if path else step.lstrip(". "), part, failure
                        break
                else:
                    break
        except _OutOfTimeError:
            pass
        return path, error

    def _failure(self, part: object) -> BaseException | None:
        """What pickling the part raises; ``None`` where it does not, or where it is one that we came from."""
        if part is None or type(part) in {bool, int, float, complex, str, bytes} or id(part) in self._seen:
            return None
        self._clock.write(b"")
        try:
            self._dump(part, self._clock)
        except Exception as error:  # noqa: BLE001 - that is the answer
            return error
        return None


def _parts(obj: object) -> Iterator[tuple[str, object]]:
    """What pickling ``obj`` goes on to pickle, each with how to say it after the name of ``obj``."""
    import functools
    import types

    if type(obj) in {list, tuple}:
        for index, item in zip(range(WIDTH), obj, strict=False):  # type: ignore[call-overload]
            yield f"[{index}]", item
    elif type(obj) in {set, frozenset}:
        for _, item in zip(range(WIDTH), obj, strict=False):  # type: ignore[call-overload]
            yield f"{{{_short(item)}}}", item
    elif type(obj) is dict:
        yield from _items(obj)
    elif isinstance(obj, types.FunctionType):
        yield from _function_parts(obj)
    elif isinstance(obj, types.MethodType):
        yield ".__self__", obj.__self__
        yield ".__func__", obj.__func__
    elif isinstance(obj, functools.partial):
        yield ".func", obj.func
        for index, item in enumerate(obj.args):
            yield f".args[{index}]", item
        for key, item in obj.keywords.items():
            yield f".keywords[{key!r}]", item
    elif isinstance(obj, type):
        for key, item in vars(obj).items():
            if key not in {"__dict__", "__weakref__"}:
                yield f".{key}", getattr(item, "__func__", item)
    else:
        yield from _instance_parts(obj)


def _items(obj: Mapping[Any, object]) -> Iterator[tuple[str, object]]:
    for _, (key, item) in zip(range(WIDTH), obj.items(), strict=False):
        yield f"[{_short(key)}]", item
    for _, key in zip(range(WIDTH), obj, strict=False):
        yield f" key {_short(key)}", key


def _function_parts(function: Any) -> Iterator[tuple[str, object]]:
    name = function.__name__
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f" closure variable {variable} of {name}", cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for variable in sorted(_global_names(function.__code__)):
        if variable in function.__globals__:
            yield f" global variable {variable} of {name}", function.__globals__[variable]
    for index, item in enumerate(function.__defaults__ or ()):
        yield f" default argument {index} of {name}", item
    for key, item in (function.__kwdefaults__ or {}).items():
        yield f" default of {key} of {name}", item
    for key, item in vars(function).items():
        yield f".{key}", item


def _global_names(code: CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            found |= _global_names(constant)
    return found


def _instance_parts(obj: object) -> Iterator[tuple[str, object]]:
    """By what the object says of itself to pickle: attributes, constructor arguments, items."""
    try:
        reduced = obj.__reduce_ex__(4)
    except Exception:  # noqa: BLE001 - then the object itself is what cannot be pickled
        return
    if not isinstance(reduced, tuple) or len(reduced) < 2:
        return
    arguments, state, items, pairs = [*reduced[1:5], None, None, None][:4]
    slots = None
    if isinstance(state, tuple) and len(state) == 2 and (state[0] is None or isinstance(state[0], dict)):
        state, slots = state
    for attributes in (state, slots):
        if isinstance(attributes, dict):
            for key, item in attributes.items():
                yield f".{key}", item
        elif attributes is not None:
            yield " state", attributes
    if isinstance(obj, dict):
        yield from _items(obj)
    elif isinstance(obj, (list, tuple, set, frozenset)):
        for index, item in zip(range(WIDTH), obj, strict=False):
            yield f"[{index}]", item
    elif items is not None or pairs is not None:
        yield " items", [*(items or ()), *(pairs or ())]
    for index, item in enumerate(arguments or ()):
        yield f" constructor argument {index}", item


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 40 else text[:37] + "..."
