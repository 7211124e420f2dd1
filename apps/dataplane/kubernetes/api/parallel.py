"""Concurrent requests of one pass, over threads that are reused between calls."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import local
from typing import TypeVar

AT_ONCE = 6
Given = TypeVar("Given")
Made = TypeVar("Made")


class _Kept(local):
    """The pool of a thread; its workers end with that thread.

    A shared pool would deadlock once a request started others of its own.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="requests")


_kept = _Kept()


def in_parallel(act: Callable[[Given], Made], items: Iterable[Given]) -> list[Made]:
    """Run `act` on each item, some at a time, and return the results in order.

    Every item is tried; then the first failure, if there is one, is raised. No request outlives the
    call: at an interrupt, running ones are awaited and the rest is skipped.
    """
    work = list(items)
    if len(work) < 2:
        return [act(item) for item in work]
    futures = [_kept.pool.submit(copy_context().run, act, item) for item in work]
    try:
        wait(futures)
    finally:
        wait([future for future in futures if not future.cancel()])
    return [future.result() for future in futures]


def _after_fork() -> None:
    # The threads stayed in the parent.
    global _kept
    _kept = _Kept()


os.register_at_fork(after_in_child=_after_fork)
