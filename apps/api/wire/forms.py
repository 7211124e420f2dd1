"""The forms of pages judge what programs send, too, so that each rule is written once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.core.exceptions import NON_FIELD_ERRORS
from django.forms import BaseForm

from apps.api.wire.errors import FieldError, FieldsInvalid
from apps.core.errors import Invalid


def check(form: BaseForm, names: Mapping[str, str]) -> None:
    """Raise FieldsInvalid with all that a form finds. `names` maps its fields to those on the wire;
    one that is not among them has the same name there.
    """
    if form.is_valid():
        return
    known = {NON_FIELD_ERRORS: "", **names}
    raise FieldsInvalid(
        [
            FieldError(known.get(field, field), str(one["message"]))
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
