from importlib import import_module
from pathlib import Path
from typing import Any

import html5lib
import pytest
from django import forms

from apps.core.styleguide.examples import ExampleForm
from apps.core.web.forms import in_this_century, problems

APPS = Path(__file__).resolve().parents[2] / "apps"


def fields_of(markup: str) -> dict[str, Any]:
    root = html5lib.parseFragment(markup, namespaceHTMLElements=False)
    return {element.get("id"): element for element in root.iter() if element.get("id")}


def test_a_wrong_field_points_at_its_hint_and_its_error() -> None:
    found = fields_of(str(ExampleForm({"name": "x" * 41})))

    assert found["id_name"].get("aria-invalid") == "true"
    assert found["id_name"].get("aria-describedby") == "id_name_helptext id_name_error"
    assert "".join(found["id_name_error"].itertext()).strip().startswith("Error: Ensure this value")


def test_the_summary_links_to_the_first_input_of_each_wrong_field() -> None:
    found = {problem.target for problem in problems(ExampleForm({"name": "a"}))}

    assert {"id_memory", "id_executor_0", "id_zone", "id_agree"} <= found
    assert "id_name" not in found


def test_problems_of_the_whole_form_come_first_and_link_nowhere() -> None:
    form = ExampleForm({})
    form.add_error(None, "Somebody saved first.")

    assert next(problems(form)).text == "Somebody saved first."
    assert next(problems(form)).target == ""


def test_an_unbound_form_has_no_problems() -> None:
    assert list(problems(ExampleForm())) == []


def test_a_number_that_cannot_be_read_is_given_back() -> None:
    field = fields_of(str(ExampleForm({"memory": "lots"})))["id_memory"]

    assert field.get("type") == "text"
    assert field.get("value") == "lots"
    assert field.get("inputmode") == "decimal"


def test_a_placeholder_that_repeats_the_label_is_left_out() -> None:
    class Form(forms.Form):
        name = forms.CharField(widget=forms.TextInput(attrs={"placeholder": "Name"}))
        host = forms.CharField(widget=forms.TextInput(attrs={"placeholder": "db.example.org"}))

    found = fields_of(str(Form()))

    assert found["id_name"].get("placeholder") is None
    assert found["id_host"].get("placeholder") == "db.example.org"


def test_a_password_is_not_given_back() -> None:
    assert "hunter2" not in str(ExampleForm({"password": "hunter2"}))


def test_rows_of_a_formset_and_the_set_itself_are_in_the_summary() -> None:
    rows = forms.formset_factory(ExampleForm, min_num=2, validate_min=True)
    formset = rows({"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "0", "form-0-name": "A"})

    found = list(problems(formset))

    assert found[0].target == ""
    assert "id_form-0-memory" in {problem.target for problem in found}
    assert str(formset).count("error-summary-title") == 2  # one summary: its id and its reference


def test_a_row_to_be_deleted_has_no_problems() -> None:
    rows = forms.formset_factory(ExampleForm, can_delete=True)
    formset = rows(
        {
            "form-TOTAL_FORMS": "1",
            "form-INITIAL_FORMS": "1",
            "form-0-name": "A",
            "form-0-DELETE": "on",
        }
    )

    assert formset.is_valid()
    assert list(problems(formset)) == []


def test_hostile_input_is_escaped_in_the_field_and_in_the_summary() -> None:
    form = ExampleForm({"zone": "<img src=x>"})

    assert "<img" not in str(form)


@pytest.mark.parametrize(
    ("day", "is_accepted"),
    [("2000-01-01", True), ("2099-12-31", True), ("1999-12-31", False), ("9999-12-31", False)],
)
def test_days_and_moments_lie_where_something_can_be_added_to_them(day, is_accepted):
    class Moments(forms.Form):
        day = forms.DateField(validators=[in_this_century])
        moment = forms.DateTimeField(validators=[in_this_century])

    form = Moments({"day": day, "moment": f"{day} 23:59"})

    assert form.is_valid() is is_accepted
    assert set(form.errors) == (set() if is_accepted else {"day", "moment"})


def test_every_field_for_a_day_or_a_moment_refuses_the_ends_of_a_calendar():
    for path in APPS.rglob("*forms*.py"):
        import_module(".".join(path.relative_to(APPS.parent).with_suffix("").parts))
    found = {
        (form.__name__, name): field
        for form in _below(forms.Form)
        if form.__module__.startswith("apps.") and "styleguide" not in form.__module__
        for name, field in form.base_fields.items()
        if isinstance(field, (forms.DateField, forms.DateTimeField))
    }

    assert len(found) >= 8
    assert [one for one, field in found.items() if in_this_century not in field.validators] == []


def _below(kind: type[forms.Form]) -> set[type[forms.Form]]:
    return {kind}.union(*(_below(one) for one in kind.__subclasses__()))
