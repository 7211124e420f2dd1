import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from apps.dataplane import fence
from apps.dataplane.kubernetes.api.parallel import AT_ONCE, in_parallel


class Interrupted(Exception):
    pass


def test_every_item_is_tried_before_the_first_failure_is_raised() -> None:
    tried = []

    def act(number: int) -> None:
        tried.append(number)
        if number in (1, 3):
            raise ValueError(number)

    with pytest.raises(ValueError, match="1"):
        in_parallel(act, range(20))

    assert sorted(tried) == list(range(20))


def test_results_come_in_the_order_of_what_was_given() -> None:
    def act(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * 2

    assert in_parallel(act, range(9)) == [number * 2 for number in range(9)]


def test_threads_are_kept_from_one_call_to_the_next() -> None:
    names = set(_threads_of(30)) | set(_threads_of(30)) | set(_threads_of(30))

    assert len(names) <= AT_ONCE
    assert threading.current_thread().name not in names


def test_a_request_may_make_others_of_its_own() -> None:
    def act(number: int) -> list[int]:
        return in_parallel(lambda other: number * other, range(3))

    assert in_parallel(act, range(AT_ONCE + 2))[-1] == [0, AT_ONCE + 1, 2 * AT_ONCE + 2]


def test_the_threads_of_a_thread_end_with_it() -> None:
    kept: list[threading.Thread] = []

    def call() -> None:
        kept.extend(in_parallel(lambda _: threading.current_thread(), range(4)))

    caller = threading.Thread(target=call)
    caller.start()
    caller.join()
    gc.collect()
    for thread in kept:
        thread.join(timeout=5)

    assert kept
    assert not any(thread.is_alive() for thread in kept)


def test_a_child_process_begins_with_threads_of_its_own() -> None:
    _threads_of(4)

    child = os.fork()
    if child == 0:
        os._exit(0 if in_parallel(lambda number: number, range(4)) == [0, 1, 2, 3] else 1)

    assert _ended_well(child)


def test_the_end_of_a_lease_holds_for_all_that_run_at_once() -> None:
    with fence.writing_until(time.monotonic() - 1), pytest.raises(fence.TooLate):
        in_parallel(lambda _: fence.check(), range(3))

    assert in_parallel(lambda _: fence.check(), range(3)) == [None] * 3


def test_an_interrupt_waits_for_what_was_begun_and_leaves_the_rest() -> None:
    begun, ended = [], []

    def act(number: int) -> None:
        begun.append(number)
        time.sleep(0.2)
        ended.append(number)

    with pytest.raises(Interrupted), _interrupt_after(0.05):
        in_parallel(act, range(50))

    assert sorted(ended) == sorted(begun)
    assert len(begun) < 50


def _threads_of(items: int) -> list[str]:
    return in_parallel(lambda _: threading.current_thread().name, range(items))


def _ended_well(child: int) -> bool:
    for _ in range(200):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status == 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@contextmanager
def _interrupt_after(seconds: float) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
