"""The forms of pages judge what programs send, too, so that each rule is written once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS
from django.forms import BaseForm, Field, ModelChoiceField

from apps.api.wire.errors import FieldError, FieldsInvalid
from apps.core.errors import Invalid

NOT_USABLE = "Nothing with that ID can be used here."


def check(form: BaseForm, names: Mapping[str, str]) -> None:
    """Raise FieldsInvalid with all that a form finds. `names` maps its fields to those on the wire;
    one that is not among them has the same name there.
    """
    if form.is_valid():
        return
    known = {NON_FIELD_ERRORS: "", **names}
    raise FieldsInvalid(
        [
            FieldError(known.get(field, field), _said(form.fields.get(field), one))
            for field, found in form.errors.get_json_data().items()
            for one in found
        ]
    )


@contextmanager
def fields_named(names: Mapping[str, str]) -> Iterator[None]:
    """Name the field that a service refuses in the block as clients do."""
    try:
        yield
    except Invalid as error:
        error.field = names.get(error.field, error.field)
        raise


def _said(field: Field | None, error: dict[str, Any]) -> str:
    """Return what is wrong. Forms name rows by numbers, which clients do not know."""
    is_row = isinstance(field, ModelChoiceField) and error["code"] == "invalid_choice"
    return NOT_USABLE if is_row else str(error["message"])
