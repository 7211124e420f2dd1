"""The status page of an organization: its settings, and switching it on and off."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Path, Router
from pydantic import Field

from apps.alerts.channels.models import Channel
from apps.api.wire.errors import or_404
from apps.api.wire.forms import NOT_USABLE, check, fields_named
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.shapes import InOrganization, Shape
from apps.core.errors import Invalid
from apps.core.public_ids import numbers_of, public_id
from apps.status_pages.copies.content import content_of
from apps.status_pages.manage.forms import SettingsForm
from apps.status_pages.setup.addresses import page_url
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.setup.services import save_page, switch_page

router = Router(by_alias=True, exclude_none=True, tags=["Status page"])
SEE, MANAGE = "organization.view", "organization.status_page.manage"
FIELDS = {"channels": "notificationChannelIds"}
KEPT = ("name", "about", "address", "host", "audience", "drafting")


class PageBody(Shape):
    """What is left out stays; a new page is named after its organization. `audience` is PUBLIC or
    MEMBERS; `drafting`, what happens when a component has a problem, NEVER, DRAFT or POST.
    """

    name: str | None = Field(default=None, max_length=80)
    about: str | None = Field(default=None, max_length=300)
    address: str | None = Field(default=None, max_length=60)
    host: str | None = Field(default=None, max_length=253)
    audience: str | None = None
    drafting: str | None = None
    notification_channel_ids: list[str] | None = None


class Switch(Shape):
    is_on: bool


class PageShape(Shape):
    """`status` is the worst state of its components: `operational`, `degraded_performance`,
    `partial_outage`, `major_outage`, `under_maintenance` or `unknown`.
    """

    id: str
    organization_id: str
    name: str
    about: str
    address: str
    host: str
    url: str
    audience: str
    drafting: str
    is_on: bool
    status: str
    notification_channel_ids: list[str]
    created_at: datetime


@router.get(
    "/organizations/{organizationId}/status-page",
    auth=in_organization(SEE),
    response=PageShape,
    operation_id="GetStatusPage",
    summary="Get the status page",
)
def get_page(request: Call, at: Path[InOrganization]) -> Any:
    return _shape(status_page(request))


@router.post(
    "/organizations/{organizationId}/status-page",
    auth=in_organization(MANAGE),
    response=PageShape,
    operation_id="UpdateStatusPage",
    summary="Set up the status page, switched off, or change its settings",
)
def change_page(request: Call, at: Path[InOrganization], body: PageBody) -> Any:
    organization = request.organization
    page = StatusPage.objects.filter(organization=organization).first()
    form = SettingsForm(_entered(body, page, organization), organization=organization, page=page)
    if body.host and "host" not in form.fields:
        raise Invalid(NOT_USABLE, field="host")
    check(form, FIELDS)
    with fields_named(FIELDS):
        saved = save_page(
            actor=request.caller.user,
            organization=organization,
            data=form.page_data(),
            channels=list(form.cleaned_data.get("channels", ())),
            now=timezone.now(),
        )
    return _shape(saved)


@router.post(
    "/organizations/{organizationId}/status-page/switch",
    auth=in_organization(MANAGE),
    response=PageShape,
    operation_id="SwitchStatusPage",
    summary="Switch the status page on or off",
)
def switch(request: Call, at: Path[InOrganization], body: Switch) -> Any:
    """409 while it has no component."""
    page, user = status_page(request), request.caller.user
    switch_page(actor=user, page=page, is_on=body.is_on, now=timezone.now())
    return _shape(page)


def status_page(request: Call) -> StatusPage:
    """Return the page of the organization. Raises NotHere while it has none."""
    rows = StatusPage.objects.select_related("organization")
    return or_404(rows.filter(organization=request.organization).first())


def _entered(body: PageBody, page: StatusPage | None, organization: Any) -> dict[str, Any]:
    """Return what the form of the page would hold."""
    blank = SettingsForm(organization=organization, page=page)
    data = {name: blank.get_initial_for_field(blank.fields[name], name) for name in blank.fields}
    sent = body.model_dump(include=set(KEPT), exclude_none=True)
    for name in ("audience", "drafting"):
        sent |= {name: sent[name].lower()} if name in sent else {}
    wanted = body.notification_channel_ids
    if wanted is not None:
        data["channels"] = _channels(wanted, organization)
    elif page is not None:
        data["channels"] = list(page.channels.values_list("pk", flat=True))
    return data | sent


def _channels(ids: list[str], organization: Any) -> list[int]:
    """Return the rows of channels. Raises Invalid: not all are channels of the organization."""
    mine = Channel.objects.filter(organization=organization, workspace=None)
    found = list(mine.filter(pk__in=numbers_of("channel", ids)).values_list("pk", flat=True))
    if len(found) != len(set(ids)):
        raise Invalid(NOT_USABLE, field="notificationChannelIds")
    return found


def _shape(page: StatusPage) -> PageShape:
    channels = page.channels.order_by("pk").values_list("pk", flat=True)
    return PageShape(
        id=page.key,
        organization_id=public_id("organization", page.organization_id),
        url=page_url(page),
        audience=page.audience.upper(),
        drafting=page.drafting.upper(),
        is_on=page.is_on,
        status=content_of(page, now=timezone.now()).state,
        notification_channel_ids=[public_id("channel", one) for one in channels],
        created_at=page.created_at,
        **{name: getattr(page, name) for name in ("name", "about", "address", "host")},
    )
