"""The library's one logger, ``"submitit"``.

A job prints its records to its logs: INFO and above to stdout, WARNING and above to stderr too. A client's program decides by
itself what becomes of them, so nothing is configured at import.

A job that starts does not load ``logging`` for a few lines: ``say`` writes them in the same form. What else uses the logger in
a job finds it configured.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging

NAME = "submitit"
_FORMAT = "%(name)s %(levelname)s (%(asctime)s) - %(message)s"
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

#: Whether the output of this process is that of a job.
_in_a_job = False


def get_logger() -> logging.Logger:
    """The logger of the library; in a job it prints to the job's logs."""
    import logging

    logger = logging.getLogger(NAME)
    if _in_a_job:
        _configure(logger)
    return logger


def belong_to_a_job() -> None:
    """From now on the output of this process is that of a job."""
    global _in_a_job  # noqa: PLW0603 - a process belongs to a job or does not
    _in_a_job = True
    if "logging" in sys.modules:
        get_logger()


def say(level: str, text: str) -> None:
    """Log ``text`` for a job: straight to the descriptors, so that a signal handler may say something as well."""
    least = _level()
    if least is None:
        get_logger().log(_LEVELS[level], "%s", text)
        return
    if _LEVELS[level] < least:
        return
    now = time.time()
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))},{int(now % 1 * 1000):03d}"
    line = f"{NAME} {level} ({stamp}) - {text}\n".encode("utf-8", errors="backslashreplace")
    for descriptor in (1, 2) if _LEVELS[level] >= _LEVELS["WARNING"] else (1,):
        try:  # noqa: SIM105 - contextlib would be loaded for this alone
            os.write(descriptor, line)
        except OSError:
            pass  # a full disk, or a function that closed it: no reason to fail


def _level() -> int | None:
    """``SUBMITIT_LOG_LEVEL``: a level's name or number; ``None`` for NOCONFIG, which leaves logging alone."""
    text = os.environ.get("SUBMITIT_LOG_LEVEL", "INFO").strip().upper()
    if text == "NOCONFIG":
        return None
    return int(text) if text.lstrip("-").isdigit() else _LEVELS.get(text, _LEVELS["INFO"])


def _configure(logger: logging.Logger) -> None:
    import logging

    level = _level()
    if level is None or logger.handlers:
        return
    logger.setLevel(level)
    logger.propagate = False
    formatter = logging.Formatter(_FORMAT)
    for stream, least in ((sys.stdout, logging.NOTSET), (sys.stderr, logging.WARNING)):
        handler = logging.StreamHandler(stream)
        handler.setLevel(least)
        handler.setFormatter(formatter)
        logger.addHandler(handler)
