"""Forms whose fields follow the type of a connection."""

import json
from collections.abc import Iterable
from typing import Any

from django import forms

from apps.core.web.forms import Choices
from apps.deployments.models import Deployment
from apps.environment.objects.backend_types import BackendType
from apps.environment.objects.connection_types import ConnectionType, Field
from apps.environment.objects.models import EnvironmentLink, EnvironmentObject, Kind
from apps.environment.objects.services import ObjectData

ALL, EXCEPT, SOME, NONE = "all", "except", "some", "none"
EXTRA = "extra-"
KEEP = "Stored, and never shown. Leave it empty to keep it."
CODE = {"class": "mono", "spellcheck": "false", "autocomplete": "off", "data-width": "l"}
HIDDEN_TEXT = {"autocomplete": "new-password", "spellcheck": "false", "data-width": "l"}


class ObjectForm(forms.Form):
    """What every object has: its name, a description, and where it is linked to."""

    name = forms.CharField(max_length=200, strip=True, widget=forms.TextInput(attrs=CODE))
    description = forms.CharField(
        max_length=500, required=False, widget=forms.TextInput(attrs={"data-width": "l"})
    )
    links = forms.ChoiceField(
        label="Available in",
        choices=[
            (ALL, "All Deployments"),
            (EXCEPT, "All except some"),
            (SOME, "Some Deployments"),
            (NONE, "None"),
        ],
        initial=ALL,
        widget=Choices(
            hints={
                ALL: "Those of today, and every new one",
                EXCEPT: "You choose which do without it; new ones begin with it",
                SOME: "You choose; new ones begin without it",
                NONE: "Stored here, used nowhere",
            }
        ),
    )
    deployments = forms.TypedMultipleChoiceField(
        label="Deployments", coerce=int, required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(
        self,
        data: Any,
        *,
        found: EnvironmentObject | None,
        deployments: Iterable[Deployment] | None,
    ) -> None:
        """`deployments` are those that may be linked; None for an object of a Deployment."""
        self.found = found
        super().__init__(data, initial=_initial(found))
        if found is not None:
            self.fields["name"].disabled = True
        if deployments is None:
            del self.fields["links"], self.fields["deployments"]
            return
        choices = [(one.pk, one.name) for one in deployments]
        self.fields["deployments"].choices = choices  # type: ignore[attr-defined]  # a choice field
        self.fields[
            "deployments"
        ].help_text = (
            "With “All except some”, those that do without it; with “Some”, those that have it."
        )
        if not choices:
            del self.fields["deployments"]

    def common(self) -> dict[str, Any]:
        data = self.cleaned_data
        links = data.get("links", NONE)
        chosen = frozenset(data.get("deployments", ()))
        linked = {ALL: _everyone(self), EXCEPT: _everyone(self) - chosen, SOME: chosen}
        return {
            "name": data["name"],
            "description": data["description"],
            "links_all": links in (ALL, EXCEPT),
            "linked": linked.get(links, frozenset()),
        }


def _everyone(form: forms.Form) -> frozenset[int]:
    field: Any = form.fields.get("deployments")
    return frozenset(pk for pk, _ in field.choices) if field else frozenset()


class VariableForm(ObjectForm):
    value = forms.CharField(
        required=False,
        strip=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={**CODE, "rows": 3}),
    )
    is_secret = forms.BooleanField(
        label="Secret",
        required=False,
        help_text="Encrypted, and never shown again.",
    )
    field_order = ("name", "value", "is_secret", "description", "links", "deployments")

    def __init__(self, data: Any, *, kind: str, found: EnvironmentObject | None, **kwargs: Any):
        super().__init__(data, found=found, **kwargs)
        self.kind = kind
        self.fields["name"].label = "Key" if kind == Kind.VARIABLE else "Name"
        if kind == Kind.ENVIRONMENT:
            self.fields[
                "value"
            ].help_text = "Every process of Airflow receives it, so a change restarts them."
        if found is not None and found.is_secret:
            self.fields["value"].help_text = KEEP

    def data_entered(self) -> ObjectData:
        data, found = self.cleaned_data, self.found
        keeps = found is not None and found.is_secret and not data["value"]
        value = {} if keeps else {"value": data["value"].replace("\r\n", "\n")}
        return ObjectData(**self.common(), value=value, is_secret=data["is_secret"])


class ConnectionForm(ObjectForm):
    """The fields of a type of connections, as its provider calls them."""

    def __init__(
        self,
        data: Any,
        *,
        type_: ConnectionType,
        found: EnvironmentObject | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data, found=found, **kwargs)
        self.type_ = type_
        self.fields["name"].label = "Connection id"
        add_value_fields(self, type_, found)
        names = [name for name in self.fields if name not in ("links", "deployments")]
        self.order_fields([*names, "links", "deployments"])

    def data_entered(self) -> ObjectData:
        return ObjectData(
            **self.common(),
            value={"type": self.type_.key, **value_entered(self, self.type_)},
            forgotten=frozenset(self.cleaned_data.get("forgotten", ())),
        )


class BackendForm(ConnectionForm):
    """The options of a secrets backend."""

    type_: BackendType

    def __init__(
        self, data: Any, *, type_: BackendType, found: EnvironmentObject | None, **kwargs: Any
    ) -> None:
        super().__init__(data, type_=type_, found=found, **kwargs)
        del self.fields["more"]
        for name in type_.required:
            self.fields[f"{EXTRA}{name}"].required = True
        self.fields["name"].label = "Name"
        self.fields["name"].help_text = "Airflow asks several backends in the order of their names."


class OverrideForm(forms.Form):
    """The fields of an object that differ in one Deployment; empty ones do not."""

    def __init__(
        self, data: Any, *, found: EnvironmentObject, type_: ConnectionType, link: Any
    ) -> None:
        super().__init__(data)
        self.found, self.type_ = found, type_
        if found.kind == Kind.CONNECTION:
            add_value_fields(self, type_, link, below=found)
            return
        stored = link is not None and bool(link.secret_fields)
        self.fields["value"] = forms.CharField(
            label="Value here",
            required=False,
            strip=False,
            initial=link.plain.get("value", "") if link else "",
            help_text=KEEP if stored else "Leave it empty to use the workspace's.",
            widget=forms.Textarea(attrs={**CODE, "rows": 3}),
        )
        if stored:
            self.fields["forgotten"] = _forgotten(["value"])

    def value_entered(self) -> dict[str, Any]:
        if self.found.kind == Kind.CONNECTION:
            return value_entered(self, self.type_)
        value = self.cleaned_data["value"].replace("\r\n", "\n")
        return {"value": value} if value else {}


def add_value_fields(
    form: forms.Form,
    type_: ConnectionType,
    stored: EnvironmentObject | EnvironmentLink | None,
    *,
    below: EnvironmentObject | None = None,
) -> None:
    """Add the fields of a type to a form; `below` is what an empty one leaves as it is."""
    plain = stored.plain if stored else {}
    secrets = list(stored.secret_fields) if stored else []
    under = below.plain if below else {}
    for one in type_.standard:
        form.fields[one.name] = _field(
            one, plain.get(one.name), under.get(one.name), one.name in secrets
        )
    for one in type_.extra:
        value = plain.get("extra", {}).get(one.name)
        usual = under.get("extra", {}).get(one.name)
        form.fields[f"{EXTRA}{one.name}"] = _field(
            one, value, usual, f"extra.{one.name}" in secrets
        )
    declared = {f"extra.{one.name}" for one in type_.extra}
    more = [name for name in secrets if name.startswith("extra.") and name not in declared]
    form.fields["more"] = _more(more)
    if secrets:
        form.fields["forgotten"] = _forgotten(secrets)


def value_entered(form: Any, type_: ConnectionType) -> dict[str, Any]:
    """Return what was typed into the fields of a type, those that are empty left out."""
    data = form.cleaned_data
    value = {one.name: data[one.name] for one in type_.standard if data[one.name] not in ("", None)}
    extra = {
        one.name: data[f"{EXTRA}{one.name}"]
        for one in type_.extra
        if data[f"{EXTRA}{one.name}"] not in ("", None, False)
    }
    extra |= data.get("more") or {}
    return {**value, "extra": extra} if extra else value


class MoreField(forms.CharField):
    """A JSON object as text."""

    def clean(self, value: Any) -> dict[str, Any]:
        text = str(super().clean(value)).strip()
        if not text:
            return {}
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise forms.ValidationError("This is not JSON.") from None
        if not isinstance(found, dict):
            raise forms.ValidationError("Enter a JSON object, such as {“timeout”: 10}.")
        return found


def _more(stored: list[str]) -> forms.Field:
    names = ", ".join(name.removeprefix("extra.") for name in stored)
    kept = f" Stored: {names}. What you enter is added; leave it empty to keep it." if names else ""
    return MoreField(
        label="More, as JSON",
        required=False,
        max_length=100_000,
        help_text=f"Further fields of extra. Encrypted, and never shown again.{kept}",
        widget=forms.Textarea(attrs={**CODE, "rows": 3}),
    )


def _forgotten(names: list[str]) -> forms.Field:
    labels = {"password": "Password", "value": "Value"}
    choices = [(name, labels.get(name, name.removeprefix("extra."))) for name in names]
    return forms.MultipleChoiceField(
        label="Remove stored secrets",
        required=False,
        choices=choices,
        widget=forms.CheckboxSelectMultiple,
    )


def _field(one: Field, value: Any, usual: Any, is_stored: bool) -> forms.Field:
    hint = one.hint
    if usual not in (None, "", False):
        hint = f"{hint} In the workspace: {usual}".strip()
    common: dict[str, Any] = {"label": one.label, "required": False, "help_text": hint}
    if one.is_secret:
        common["help_text"] = KEEP if is_stored else "Encrypted, and never shown again."
        widget = forms.PasswordInput(attrs=HIDDEN_TEXT)
        return forms.CharField(**common, strip=False, max_length=10_000, widget=widget)
    common["initial"] = value
    if one.name == "port" or one.kind == "number":
        widget_of_number = forms.NumberInput(attrs={"data-width": "s"})
        limits: dict[str, Any] = {"min_value": 1, "max_value": 65_535} if one.name == "port" else {}
        return forms.IntegerField(**common, **limits, widget=widget_of_number)
    if one.kind == "check":
        return forms.BooleanField(**common)
    if one.kind == "choice":
        choices = [("", "Default"), *((choice, choice) for choice in one.choices)]
        chooser = forms.Select(attrs={"data-width": "l"})
        return forms.ChoiceField(**common, choices=choices, widget=chooser)
    text = forms.TextInput(attrs={**CODE, "placeholder": one.placeholder})
    return forms.CharField(**common, max_length=2_000, widget=text)


def _initial(found: EnvironmentObject | None) -> dict[str, Any]:
    if found is None:
        return {}
    links = list(found.links.all())
    linked = [link.deployment_id for link in links if not link.is_excluded]
    initial: dict[str, Any] = {
        "name": found.name,
        "description": found.description,
        "is_secret": found.is_secret,
        "value": found.plain.get("value", ""),
        "links": SOME if linked else NONE,
        "deployments": linked,
    }
    if found.links_all:
        excluded = [link.deployment_id for link in links if link.is_excluded]
        initial |= {"links": EXCEPT if excluded else ALL, "deployments": excluded}
    return initial
