"""How forms look: the renderer, the bound field that styles widgets, the problems for the summary.

Templates live in templates/django/forms. A form needs nothing from here: FORM_RENDERER does it.
Width and unit are widget attributes: `attrs={"data-width": "s", "data-unit": "GiB"}`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField
from django.forms.formsets import DELETION_FIELD_NAME, BaseFormSet
from django.forms.renderers import TemplatesSetting
from django.http import HttpRequest

from apps.core.errors import PortalError

YEARS = range(2000, 2100)
BARE_WIDGETS = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a form; `target` is the id to jump to, if it belongs to a field."""

    text: str
    target: str = ""


def in_this_century(value: date) -> None:
    """Refuse what is near the ends of a calendar: nothing can be added to it."""
    if value.year not in YEARS:
        raise ValidationError("Enter a date of this century.")


class PortalBoundField(BoundField):
    @property
    def width(self) -> str:
        return str(self.field.widget.attrs.get("data-width", ""))

    @property
    def unit(self) -> str:
        return str(self.field.widget.attrs.get("data-unit", ""))

    @property
    def is_choice(self) -> bool:
        return isinstance(self.field.widget, forms.CheckboxInput)

    def build_widget_attrs(
        self, attrs: dict[str, Any], widget: forms.Widget | None = None
    ) -> dict[str, Any]:
        widget = widget or self.field.widget
        built = super().build_widget_attrs(attrs, widget)
        if not isinstance(widget, BARE_WIDGETS) and not self.is_hidden:
            built["class"] = f"input {widget.attrs.get('class', '')}".strip()
        if str(widget.attrs.get("placeholder", "")).lower() in str(self.label).lower():
            built["placeholder"] = False  # the label would be read twice
        if isinstance(widget, forms.NumberInput):
            whole = isinstance(self.field, forms.IntegerField) and not isinstance(
                self.field, (forms.FloatField, forms.DecimalField)
            )
            built.setdefault("inputmode", "numeric" if whole else "decimal")
        if isinstance(widget, (forms.EmailInput, forms.URLInput)):
            built.setdefault("spellcheck", "false")
        return built


class Renderer(TemplatesSetting):
    """Set as FORM_RENDERER: our templates, our bound field."""

    bound_field_class = PortalBoundField


class Choices(forms.RadioSelect):
    """Radio buttons that may each carry a hint: Choices(hints={"celery": "Named queues"})."""

    def __init__(self, *, hints: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hints = hints or {}

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        option["hint"] = self.hints.get(str(value), "")
        return option


def problems(form: "forms.BaseForm | BaseFormSet[Any]") -> Iterator[Problem]:
    """Yield what is wrong with a bound form or formset, in the order of its fields."""
    if isinstance(form, BaseFormSet):
        if not form.is_bound:
            return
        yield from (Problem(str(text)) for text in form.non_form_errors())
        for row in form.forms:
            if not _is_deleted(row):
                yield from problems(row)
        return
    yield from (Problem(str(text)) for text in form.non_field_errors())
    for name in form.errors:
        if name in form.fields:
            yield from _field_problems(form[name])


def _is_deleted(row: forms.BaseForm) -> bool:
    if not row.errors:
        return False
    return bool(getattr(row, "cleaned_data", {}).get(DELETION_FIELD_NAME))


def _field_problems(field: BoundField) -> Iterator[Problem]:
    target = target_of(field)
    for text in field.errors:
        yield Problem(f"{field.label}: {text}" if field.label else str(text), target)


def target_of(field: BoundField) -> str:
    """Return the id of the input to jump to for a field, empty for a hidden one."""
    if field.is_hidden:
        return ""
    # A group of radio buttons has no input of its own id; its first option does.
    if isinstance(field.field.widget, (forms.RadioSelect, forms.CheckboxSelectMultiple)):
        return f"{field.auto_id}_0"
    return str(field.id_for_label or field.auto_id)


def is_dialog_open(form: "forms.BaseForm | None", request: HttpRequest, name: str) -> bool:
    """Tell whether the dialog around a form is shown at once: after an error, and to browsers
    without script, which follow its button to ?dialog=<name>.
    """
    return bool(form is not None and form.errors) or request.GET.get("dialog") == name


def add_error(form: forms.BaseForm, error: PortalError) -> None:
    """Show an anticipated failure of a service in the form: at its field, or above all fields."""
    field = getattr(error, "field", "")
    form.add_error(field if field in form.fields else None, error.message)
