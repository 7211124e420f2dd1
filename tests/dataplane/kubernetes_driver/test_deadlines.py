import os
import socket
import time

import pytest

from apps.dataplane.kubernetes.api import deadlines


@pytest.fixture
def ends():  # noqa: ANN201
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


def test_a_read_that_takes_too_long_is_ended(ends: tuple) -> None:
    began = time.monotonic()

    with deadlines.limit(ends[0], 0.2) as limit:
        assert ends[0].recv(1) == b""

    assert limit.is_over
    assert time.monotonic() - began < 2


def test_a_read_that_ends_in_time_leaves_the_socket_alone(ends: tuple) -> None:
    ends[1].send(b"x")

    with deadlines.limit(ends[0], 0.4) as limit:
        assert ends[0].recv(1) == b"x"
    time.sleep(0.6)
    ends[1].send(b"y")

    assert not limit.is_over
    assert ends[0].recv(1) == b"y"


def test_an_earlier_deadline_does_not_wait_for_a_later_one(ends: tuple) -> None:
    one, other = socket.socketpair()
    with one, other, deadlines.limit(one, 30), deadlines.limit(ends[0], 0.1) as limit:
        assert ends[0].recv(1) == b""

    assert limit.is_over


def test_a_fork_has_a_watch_of_its_own(ends: tuple) -> None:
    with deadlines.limit(ends[0], 30):
        pid = os.fork()
        if pid == 0:
            with deadlines.limit(ends[0], 0.1) as limit:
                ends[0].recv(1)
            os._exit(0 if limit.is_over else 1)
        _, status = os.waitpid(pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
