"""Historic import path: what it names lives in ``submitit.log``."""

from submitit.log import get_logger

__all__ = ["exception", "get_logger", "warning"]

exception = get_logger().exception
warning = get_logger().warning
