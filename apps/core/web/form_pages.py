"""How views answer a posted form: call a service, show what it refuses, render the page again.

form = TeamForm(request.POST or None)
if is_submitted(request, form):
    with errors_shown_in(form):
        team = create_team(**form.cleaned_data)
        return redirect(team)
return form_page(request, "teams/new_team.html", {"form": form}, form)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.core.errors import PortalError
from apps.core.web.forms import add_error


def is_submitted(request: HttpRequest, form: forms.BaseForm) -> bool:
    """Return whether a form was posted and every field is good."""
    return request.method == "POST" and form.is_valid()


@contextmanager
def errors_shown_in(form: forms.BaseForm) -> Iterator[None]:
    """Show what a service refuses in the block at its field, or above all fields."""
    try:
        yield
    except PortalError as error:
        add_error(form, error)


@contextmanager
def errors_as_messages(request: HttpRequest) -> Iterator[None]:
    """Show what a service refuses in the block as a message on the next page."""
    try:
        yield
    except PortalError as error:
        messages.error(request, error.message)


def form_page(
    request: HttpRequest, template: str, context: dict[str, Any], form: forms.BaseForm
) -> HttpResponse:
    """Render a page with a form: 422 where it has errors."""
    return render(request, template, context, status=422 if form.errors else 200)
