"""Whatever calls share, each reads as if it had been pickled alone: the same values, and one object where there was one."""

from __future__ import annotations

import functools
import pickle
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import cloudpickle
from hypothesis import given, settings
from hypothesis import strategies as st

from submitit.storage import payload, sharing
from submitit.storage.submission import DelayedSubmission as Call


class Node:
    """An object with attributes, whose method may be what is called."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def method(self, *args: Any, **kwargs: Any) -> None:
        pass


KINDS = (list, dict, Node)


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    """Calls whose functions and arguments are taken from one graph of objects, cycles and all."""
    count = draw(st.integers(1, 6))
    nodes: list[Any] = [draw(st.sampled_from(KINDS))() for _ in range(count)]
    for node in nodes:
        for target in draw(st.lists(st.integers(0, count - 1), max_size=3)):
            add(node, nodes[target])
        if draw(st.booleans()):
            add(node, bytes(draw(st.sampled_from([10, 600]))))
    some = st.sampled_from(nodes)
    value = st.one_of(
        some,
        some,
        st.tuples(some, some),
        st.builds(lambda node: [node], some),
        st.builds(functools.partial, st.just(print), some),
        st.integers(),
    )
    methods = [node.method for node in nodes if isinstance(node, Node)]
    function = st.one_of(
        st.just(print),
        st.builds(functools.partial, st.sampled_from([print, *methods]), some),
        st.sampled_from([print, *methods]),
    )
    return [
        Call(draw(function), *draw(st.lists(value, max_size=3)), **draw(st.dictionaries(st.sampled_from("ab"), value)))
        for _ in range(draw(st.integers(2, 6)))
    ]


def add(node: Any, part: Any) -> None:
    if isinstance(node, dict):
        node[len(node)] = part
    else:
        (node if isinstance(node, list) else node.parts).append(part)


def shape(obj: Any, seen: dict[int, int]) -> Any:
    """The object as plain values, each thing that can be changed told by the order in which it is met."""
    if isinstance(obj, (list, dict, Node)):
        if id(obj) in seen:
            return ("again", seen[id(obj)])
        seen[id(obj)] = len(seen)
        inner = obj.items() if isinstance(obj, dict) else obj.parts if isinstance(obj, Node) else obj
        return (
            type(obj).__name__,
            [shape(part, seen) for part in inner],
            vars(obj).get("parts") is inner if isinstance(obj, Node) else None,
        )
    if isinstance(obj, tuple):
        return tuple(shape(part, seen) for part in obj)
    if isinstance(obj, functools.partial):
        return ("partial", shape(obj.func, seen), shape(obj.args, seen))
    if hasattr(obj, "__func__"):
        return ("method", shape(obj.__self__, seen))
    return obj


def call_shape(call: Call) -> Any:
    seen: dict[int, int] = {}
    return shape((call.function, call.args, call.kwargs), seen)


@settings(max_examples=300, deadline=None)
@given(calls(), st.sampled_from([0, 64, 512]))
def test_each_call_reads_as_if_pickled_alone(made: list[Call], small: int) -> None:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(sharing, "SMALL", small):
        path = Path(folder, "p.pkl")
        payload.write_payload(path, made)
        for index, call in enumerate(made):
            alone = pickle.loads(cloudpickle.dumps(call))
            assert call_shape(payload.read_submission(path, index)) == call_shape(alone) == call_shape(call)
