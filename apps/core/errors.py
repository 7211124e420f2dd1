"""Anticipated failures. Each carries one sentence that may be shown to the user as it is."""


class PortalError(Exception):
    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Conflict(PortalError):
    """Somebody else changed the same thing first."""


class Invalid(PortalError):
    """The input cannot be accepted. `field` names the form field at fault, empty when it is none of
    them.
    """

    def __init__(self, sentence: str, *, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


class Refused(PortalError):
    """The actor may see the object but may not do this to it."""
