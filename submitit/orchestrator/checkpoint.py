"""Save what a function has done so far, as the submission that goes on from there."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from submitit.storage.submission import DelayedSubmission


def is_checkpointable(delayed: DelayedSubmission) -> bool:
    """Whether the function can save its state: it has ``__submitit_checkpoint__`` or ``checkpoint``."""
    return any(hasattr(delayed.function, name) for name in ("__submitit_checkpoint__", "checkpoint"))


def checkpoint(delayed: DelayedSubmission, filepath: str | os.PathLike[str], countdown: int) -> str:
    """Call the function's checkpoint method and write the submission it returns to ``filepath``.

    Returns why there is nothing to run again, or ``""`` when the file holds the submission to run, with ``countdown``
    time-outs left. What the method raises passes through.
    """
    from submitit.storage.atomic import temporary_save_path

    if countdown < 0:
        return "timed-out too many times"
    resumed = delayed._checkpoint_function()
    if resumed is None:
        return "checkpoint function returned None"
    resumed._timeout_min = delayed._timeout_min
    resumed._timeout_countdown = countdown
    with temporary_save_path(filepath) as tmp:
        resumed.dump(tmp)
    return ""
