"""What a data plane may raise. Nothing of a client library leaves a plane unless wrapped in one of
these.
"""


class DataPlaneError(Exception):
    """A failure with a message that may be shown to the user: no secrets, no stack, no client
    types.
    """

    def __init__(self, message: str, *, component: str = "", log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.component = component
        self.log = log


class Temporary(DataPlaneError):
    """It may work later without a change: back off and retry.

    `retry_after_seconds` is what the data plane itself asked for, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        component: str = "",
        log: tuple[str, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, component=component, log=log)
        self.retry_after_seconds = retry_after_seconds


class Permanent(DataPlaneError):
    """It will not work until a person changes something: stop and report it."""


class Unreachable(Temporary):
    """The data plane does not answer, so its state is unknown at the moment."""
