"""The rim of every hook: no exception leaves, and its CPU time is counted."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from vllm.logger import init_logger

from headrace.vllm.stats import Counts

logger = init_logger("vllm.headrace")

P = ParamSpec("P")
R = TypeVar("R")


class Hooked(Protocol):
    counts: Counts
    seen_errors: set[tuple[str, str]]


H = TypeVar("H", bound=Hooked)


def report_error(owner: Hooked, where: str, error: Exception) -> None:
    """Counts the error; logs it with its trace the first time this kind is seen here."""
    owner.counts.add("hook_errors", 1)
    kind = (where, type(error).__name__)
    if kind in owner.seen_errors:
        return
    owner.seen_errors.add(kind)
    logger.error(
        "headrace: %s in %s: %s; the engine goes on without it (logged once)",
        type(error).__name__,
        where,
        error,
        exc_info=error,
    )


def hook(
    neutral: Callable[[], R], at_start: bool = False
) -> Callable[[Callable[Concatenate[H, P], R]], Callable[Concatenate[H, P], R]]:
    """Wraps a method that vLLM calls. An exception becomes `neutral()`, the answer that lets the
    engine go on as if there were no connector. Time spent `at_start` is no step's: not counted."""

    def wrap(method: Callable[Concatenate[H, P], R]) -> Callable[Concatenate[H, P], R]:
        where = method.__name__

        @functools.wraps(method)
        def guarded(self: H, *args: P.args, **kwargs: P.kwargs) -> R:
            start = time.thread_time_ns()
            try:
                return method(self, *args, **kwargs)
            except Exception as error:  # the rim: an engine never fails because of its cache
                report_error(self, where, error)
                return neutral()
            finally:
                if not at_start:
                    self.counts.hook_ns += time.thread_time_ns() - start

        return guarded

    return wrap


def guard(owner: Hooked, where: str, action: Callable[[], None]) -> bool:
    """Runs a part of a hook so that its failure costs only itself. False: it failed."""
    try:
        action()
        return True
    except Exception as error:
        report_error(owner, where, error)
        return False


def nothing() -> Any:
    return None
