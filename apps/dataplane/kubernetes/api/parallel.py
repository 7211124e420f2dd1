"""Several requests of one pass at a time, over threads that are kept from one call to the next."""

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
    """The pool of a thread, whose own threads end with it.

    A pool that threads share would stand still once a request made others of its own.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="requests")


_kept = _Kept()


def in_parallel(act: Callable[[Given], Made], items: Iterable[Given]) -> list[Made]:
    """Run `act` on each item, some at a time, and return the results in order.

    Every item is tried; then the first failure, if there is one, is raised. Nothing goes on behind
    the back of who called: what an interrupt finds begun is waited for, the rest is left.
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
