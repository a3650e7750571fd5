"""Jobs inside a ``with executor.batch()`` block: handed out at once, submitted together when the block ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex

from submitit.client.job import Job

if TYPE_CHECKING:
    from submitit.storage.submission import DelayedSubmission

_OWN = frozenset({"_promote", "_submitit_executor"})


class _Batching(Protocol):
    """What a delayed job needs of the executor that made it."""

    _allow_implicit_submissions: bool
    _delayed_batch: list[tuple[Job[Any], DelayedSubmission]] | None

    def _submit_delayed_batch(self) -> None: ...


class DelayedJob(Job[Any]):
    """A job that has no id yet.

    When its batch is submitted it becomes a job of the executor's class: the same object, with what was set on it kept. Until
    then asking it for anything raises ``AttributeError``, or submits the batch if that was allowed.
    """

    def __init__(self, ex: _Batching) -> None:
        self._submitit_executor = ex

    def __getattribute__(self, name: str) -> Any:
        # Everything of a Job would be found on the class; so this comes first, not __getattr__.
        if name.startswith("__") or name in _OWN or name in object.__getattribute__(self, "__dict__"):
            return object.__getattribute__(self, name)
        if name.startswith(("_ipython_", "_repr_")):
            raise AttributeError(name)  # a notebook that shows it asks for nothing
        executor = self._submitit_executor
        batch = executor._delayed_batch
        waiting = batch is not None and any(job is self for job, _ in batch)
        if waiting and executor._allow_implicit_submissions:
            executor._submit_delayed_batch()
            return getattr(self, name)
        reason = (
            "its submission happens when the block ends" if waiting else "its batch was dropped, it was never submitted"
        )
        raise AttributeError(
            f"Accessing job attributes is forbidden within 'with executor.batch()' context: {name!r} of a job was asked for, and {reason}"
        )

    def _promote(self, new_job: Job[Any]) -> None:
        """Become ``new_job``: its class and its state, beside what was set on this object."""
        del self.__dict__["_submitit_executor"]
        self.__dict__.update(new_job.__dict__)
        self.__class__ = type(new_job)  # type: ignore[assignment]  # so that `job` of the batch block is what the user holds afterwards

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        _ = self.job_id  # raises, or makes this a real job
        return super().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return object.__repr__(self)

    def __del__(self) -> None:
        # a Job's may cancel
        pass
