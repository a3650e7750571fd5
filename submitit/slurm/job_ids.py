"""The ids that Slurm prints and takes: of jobs, arrays, elements, components and steps.

=====================  ==========================================================  ==========================
text                   names                                                       source
=====================  ==========================================================  ==========================
``12``                 a job, or a whole array                                     sbatch.1
``12_3``               element 3 of array 12                                       job_array.shtml
``12_[0-4,7%3]``       elements that have not been split off; 3 run at a time      job_array.shtml
``12_[0-10:2]``        every second one                                            sbatch.1 --array
``12_[1,3,4...]``      cut at 64 bytes, unless ``SLURM_BITSTR_LEN=0``              squeue.1 ENVIRONMENT
``123+1``              component 1 of a heterogeneous job                          heterogeneous_jobs.shtml
``12.batch 12_3.0``    a step                                                      sacct.1
=====================  ==========================================================  ==========================

Which commands take ranges was tried on 22.05: ``scancel``, ``scontrol requeue`` and ``scontrol update`` do. ``squeue -j``
misreads them without a word (``-j 7_[1-3]`` lists element 0 alone); ``sacct -j`` and ``scontrol show job`` fail.
"""

# Annotations are evaluated here: as strings, every field of a NamedTuple would be compiled by itself, which takes
# longer than all the rest of the import. Patterns are compiled when they are first used.

import bisect
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

#: One more than the largest index that an array can have on any cluster (slurm.conf.5, MaxArraySize).
INDEX_LIMIT: Final = 4_000_001

_ID: Final = (
    r"(?P<main>[^\s_.\[\]]+)"
    r"(?:_(?:(?P<index>[0-9]{1,10})|\[(?P<items>[^\[\]]*)(?P<close>\]?)(?:%(?P<limit>[0-9]{1,10}))?))?"
    r"(?:\.(?P<step>[^\s\[\]]+))?"
)
_NUMBER: Final = r"[0-9]{1,10}"
_SPAN: Final = r"([0-9]{1,10})(?:-([0-9]{1,10})(?::([0-9]{1,10}))?)?"


class JobIds(NamedTuple):
    """What one printed id names. Ranges stay ranges, however large the array is."""

    #: ``"12"``, or ``"123+1"`` for a component
    main: str
    #: the indices of the elements, as printed; empty for a job or a whole array
    spans: tuple[range, ...] = ()
    #: whether it names elements; a cut list may do so and leave no span
    array: bool = False
    #: the list goes on, but Slurm did not print the rest
    cut: bool = False
    #: how many elements may run at once, where it is printed
    limit: int | None = None
    #: ``"batch"``, ``"extern"``, ``"0"``; empty for the job itself
    step: str = ""

    def includes(self, index: int) -> bool:
        """Whether this element is among those named."""
        return any(index in span for span in self.spans)

    def each(self) -> Iterator[str]:
        """The id of every job named, without its step: ``"12"``, or ``"12_0"``, ``"12_1"``, …"""
        if not self.array:
            yield self.main
        for span in self.spans:
            for index in span:
                yield f"{self.main}_{index}"


class Elements:
    """Finds elements in a list: of an array in use there may be thousands of spans, and thousands of elements to find."""

    __slots__ = ("_spans", "_starts")

    def __init__(self, spans: Iterable[range]) -> None:
        self._spans = sorted(spans, key=lambda span: span.start)
        # Empty where spans overlap, as those with steps may: then each has to be tried.
        apart = all(one[-1] < other[0] for one, other in zip(self._spans, self._spans[1:], strict=False))
        self._starts = [span.start for span in self._spans] if apart else []

    def __contains__(self, index: int) -> bool:
        if not self._starts:
            return any(index in span for span in self._spans)
        place = bisect.bisect_right(self._starts, index)
        return place > 0 and index in self._spans[place - 1]


def parse(job_id: str) -> JobIds:
    """Read any id that Slurm prints. Raises ValueError for what is none.

    Of a cut list only what is certainly whole is taken: ``12_[1,34...]`` may stand for 34 or 345, so it names element 1.
    """
    match = re.fullmatch(_ID, job_id.strip())
    if match is None:
        raise ValueError(f"Not a Slurm job id: {job_id!r}")
    main, step = match["main"], match["step"] or ""
    if match["index"] is not None:
        index = int(match["index"])
        return JobIds(main, (range(index, index + 1),), array=True, step=step)
    if match["items"] is None:
        return JobIds(main, step=step)
    items, _, limit = match["items"].partition("%")
    limit = limit or match["limit"] or ""
    # A column of squeue cuts as well, and leaves neither dots nor a bracket (seen on 22.05).
    cut = items.endswith(".") or not match["close"]
    parts = items.rstrip(".").split(",")
    if cut:
        # The last number may have lost digits, but not one that a dash follows.
        first, dash, _ = parts.pop().partition("-")
        parts += [first] if dash else []
    spans = tuple(_read_span(part, job_id) for part in parts)
    return JobIds(main, spans, True, cut, int(limit) if limit.isdecimal() else None, step)


def _read_span(text: str, job_id: str) -> range:
    match = re.fullmatch(_SPAN, text.strip())
    if match is None:
        raise ValueError(f"Not a Slurm job id: {job_id!r}")
    first = int(match[1])
    last = int(match[2] or first)
    by = int(match[3] or 1)
    if last < first or by == 0:
        raise ValueError(f"Not a Slurm job id: {job_id!r}")
    return range(first, last + 1, by)


def expand(job_id: str) -> Iterator[str]:
    """The id of every job that an expression names, one by one: ``"12_[0-4:2]"`` gives 12_0, 12_2, 12_4.

    Lazy: a range of millions costs what is taken of it. A cut expression gives what is certain, see `is_cut`.
    Raises ValueError, at the call, for what is no id.
    """
    return parse(job_id).each()


def is_cut(job_id: str) -> bool:
    """Whether Slurm printed only the beginning of this list of elements."""
    return parse(job_id).cut


def split_step(job_id: str) -> tuple[str, str]:
    """The job and the step of it: ``"123_4.0"`` is ``("123_4", "0")``, and a job itself has the step ``""``."""
    # The dots of a cut list stand inside its brackets, the second of which may be missing.
    dot = -1 if "[" in job_id and "]" not in job_id else job_id.find(".", job_id.rfind("]") + 1)
    return (job_id, "") if dot < 0 else (job_id[:dot], job_id[dot + 1 :])


def main_id(job_id: str) -> str:
    """The id of the whole: of the array for an element, of the job for a step. A component keeps its ``+1``."""
    return split_step(job_id)[0].partition("_")[0]


def leader_id(job_id: str) -> str:
    """The id to ask for: of the whole (`main_id`), for a component the heterogeneous job's, whose answer tells of every one.

    squeue takes ``12+1`` for 12, and sacct answers nothing (22.05).
    """
    return main_id(job_id).partition("+")[0]


def main_ids(job_ids: Iterable[str]) -> list[str]:
    """The wholes that these ids belong to, each once, in the order of their first appearance."""
    return list(dict.fromkeys(map(main_id, job_ids)))


def ranges(job_ids: Iterable[str]) -> list[str]:
    """The fewest ids that name the same jobs: ``["12_[0-3,7]", "13"]``, for commands that take ranges (see above).

    A whole array covers its elements. Steps are left off. Raises ValueError for what is no id.
    """
    indices: dict[str, set[int] | None] = {}
    for job_id in job_ids:
        ids = parse(job_id)
        known = indices.setdefault(ids.main, set() if ids.array else None)
        if not ids.array:
            indices[ids.main] = None
        elif known is not None:
            for span in ids.spans:
                known.update(span)
    return [main if elements is None else _join(main, sorted(elements)) for main, elements in indices.items()]


def _join(main: str, indices: list[int]) -> str:
    if len(indices) == 1:
        return f"{main}_{indices[0]}"
    spans: list[list[int]] = []
    for index in indices:
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    return f"{main}_[{','.join(texts)}]"


def read_job_id(job_id: str) -> list[tuple[str] | tuple[str, str] | tuple[str, str, str]]:
    """What an id names, as version 1 returns it.

    ``"12"`` is ``[("12",)]``, ``"12_3"`` ``[("12", "3")]``, ``"12_[0-4,7%3]"`` ``[("12", "0", "4"), ("12", "7")]``. Elements with
    a step between them come one by one. Raises ValueError for what is no id.
    """
    ids = parse(job_id)
    if not ids.array:
        # Version 1 leaves a step on the id of a job, and drops it from an element's.
        return [(split_step(job_id.strip())[0] + (f".{ids.step}" if ids.step else ""),)]
    found: list[tuple[str] | tuple[str, str] | tuple[str, str, str]] = []
    for span in ids.spans:
        if len(span) > 1 and span.step == 1:
            found.append((ids.main, str(span[0]), str(span[-1])))
        elif len(span) > INDEX_LIMIT:
            raise ValueError(f"Too many elements: {job_id!r}")
        else:
            found.extend((ids.main, str(index)) for index in span)
    return found


def _expand_id_suffix(suffix_parts: str) -> list[str]:
    """Every number of a list like ``1-3,07``, with the width that it is written in: 1, 2, 3, 07.

    What is neither a number nor a range is returned as it is. Raises ValueError for a range that is none, or is beyond belief.
    """
    found: list[str] = []
    for part in suffix_parts.split(","):
        first, dash, last = part.partition("-")
        if not dash:
            found.append(part)
            continue
        # int() would take much else: "1_0", " 1", digits of other scripts.
        if not (re.fullmatch(_NUMBER, first) and re.fullmatch(_NUMBER, last)):
            raise ValueError(f"Not a range of numbers: {part!r}")
        span = range(int(first), int(last) + 1)
        if len(span) + len(found) > INDEX_LIMIT:
            raise ValueError(f"Too many numbers: {part!r}")
        found.extend(str(number).zfill(len(first)) for number in span)
    return found
