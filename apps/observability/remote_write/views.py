from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.observability.remote_write import services
from apps.observability.remote_write.forms import ReceiverForm
from apps.observability.remote_write.models import Receiver
from apps.organizations.models import Organization

EDIT = "organization.update"


@scoped(Organization, EDIT, by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def remote_write(request: HttpRequest, organization: Organization) -> HttpResponse:
    receiver = Receiver.objects.filter(pk=organization.pk).first()
    form = ReceiverForm(request.POST if request.method == "POST" else None, receiver=receiver)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.save_receiver(
                actor=request_user(request), organization=organization, entered=form.access()
            )
            messages.success(request, "Measurements are sent from now on.")
            return redirect("observability:remote_write", slug=organization.slug)
    context = {"organization": organization, "receiver": receiver, "form": form}
    return form_page(request, "observability/remote_write/remote_write.html", context, form)


@scoped(Organization, EDIT, by="slug")
@require_POST
def remove(request: HttpRequest, organization: Organization) -> HttpResponse:
    receiver = Receiver.objects.filter(pk=organization.pk).first()
    if receiver is not None:
        services.remove_receiver(actor=request_user(request), receiver=receiver)
        messages.success(request, f"Nothing is sent to {receiver.host} any more.")
    return redirect("observability:remote_write", slug=organization.slug)
