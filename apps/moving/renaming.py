from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.deployments.editing.renaming import rename_deployment
from apps.deployments.models import Deployment


class RenameForm(forms.Form):
    name = forms.CharField(
        max_length=60,
        help_text="Its addresses, and its name on the cluster, stay as they are.",
        widget=forms.TextInput(attrs={"data-width": "m", "autocomplete": "off"}),
    )


@scoped(Deployment, "deployment.update", by="ref")
@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    data = request.POST if request.method == "POST" else None
    form = RenameForm(data, initial={"name": deployment.name})
    if is_submitted(request, form):
        with errors_shown_in(form):
            renamed = rename_deployment(
                actor=request_user(request), deployment=deployment, name=form.cleaned_data["name"]
            )
            messages.success(request, f"The Deployment is called {renamed.name} now.")
            return redirect("deployments:overview", deployment.ref)
    return form_page(request, "moving/rename.html", {"deployment": deployment, "form": form}, form)
