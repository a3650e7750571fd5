"""Lists of jobs in notebooks: a list has no hook of its own, and IPython is told how to show those that hold jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from submitit.client import notebook
from submitit.client.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable


def register() -> None:
    """Where IPython runs, lists of jobs are shown as ``notebook.of_jobs`` shows them, and all other lists as before."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        return
    formatter = shell.display_formatter.formatters["text/html"]
    earlier = formatter.for_type(list)
    if not isinstance(earlier, _ListFormatter):
        formatter.for_type(list, _ListFormatter(earlier))


class _ListFormatter:
    """Shows lists of jobs, and leaves every other list to who would show it without this."""

    def __init__(self, earlier: Callable[[Any], str | None] | None) -> None:
        self._earlier = earlier

    def __call__(self, value: Any) -> str | None:
        # IPython finds what is registered for `list` before a subclass's own method.
        own = getattr(type(value), "_repr_html_", None)
        if own is not None:
            shown: str | None = own(value)
            return shown
        if value and all(isinstance(item, Job) and "_submitit_executor" not in vars(item) for item in value):
            return notebook.of_jobs(value)
        return None if self._earlier is None else self._earlier(value)
