"""Anticipated failures. Each carries one message that may be shown to the user as it is."""


class PortalError(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Conflict(PortalError):
    """A concurrent change of the same object came first."""


class Invalid(PortalError):
    """The input cannot be accepted. `field` names the form field that is wrong, empty when it is
    none of them.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Refused(PortalError):
    """The actor may see the object but may not do this to it."""
