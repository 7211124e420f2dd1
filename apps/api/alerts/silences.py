"""Silences of alerts: list, begin and end."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import AwareDatetime, Field

from apps.alerts.pages.forms.silences import SilenceForm
from apps.alerts.pages.queries import deployments_to_choose
from apps.alerts.silences.models import Silence
from apps.alerts.silences.services import begin_silence, end_silence
from apps.api.alerts.places import entity_of, managed, managed_place, may_manage, seen
from apps.api.alerts.shapes import DAYS, weekdays_of
from apps.api.wire.errors import or_404
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Profile, Shape, profile_of
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, numbers_of, public_id

router = Router(by_alias=True, exclude_none=True, tags=["Alert"])
# Further away a calendar ends.
YEARS = range(2000, 2100)
FIELDS = {"begins_at": "beginsAt", "weekdays": "daysOfWeek"}


class AtSilence(InOrganization):
    silence_id: str


class SilenceShape(Shape):
    """With `daysOfWeek` it is repeated every week at the time of day of `beginsAt` in `timeZone`.
    `endedAt` is when a person ended it.
    """

    id: str
    entity_type: str
    entity_id: str
    entity_name: str
    organization_id: str
    workspace_id: str | None = None
    deployment_id: str | None = None
    dags: str
    reason: str
    begins_at: datetime
    ends_at: datetime
    days_of_week: list[str]
    time_zone: str
    ended_at: datetime | None = None
    created_at: datetime
    created_by: Profile


class SilenceList(Listing):
    silences: list[SilenceShape]


class SilenceQuery(Paging):
    workspace_ids: list[str] = []
    is_ended: bool | None = None


class NewSilence(Shape):
    """From now, or from `beginsAt`, for 1, 2, 4, 8, 24, 72 or 168 hours. `dags` are names,
    separated by commas; `*` stands for anything.
    """

    entity_type: str
    entity_id: str
    dags: str = Field(default="", max_length=200)
    reason: str = Field(default="", max_length=200)
    begins_at: AwareDatetime | None = None
    hours: int = 2
    days_of_week: list[str] = []
    time_zone: str = "UTC"


@router.get(
    "/organizations/{organizationId}/silences",
    auth=in_organization(),
    response=SilenceList,
    operation_id="ListSilences",
    summary="List the silences of the places whose alerts the caller manages, the newest first",
)
def list_silences(request: Call, at: Path[InOrganization], asked: Query[SilenceQuery]) -> Any:
    found = _rows().filter(managed(request))
    if asked.workspace_ids:
        found = found.filter(workspace__in=numbers_of("workspace", asked.workspace_ids))
    if asked.is_ended is not None:
        found = found.filter(ended_at__isnull=not asked.is_ended)
    page = page_of(found, asked, sorts={"beginsAt": "-begins_at"})
    return SilenceList(silences=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/silences",
    auth=in_organization(),
    response=SilenceShape,
    operation_id="CreateSilence",
    summary="Silence alerts for a time",
)
@once
def new_silence(request: Call, at: Path[InOrganization], body: NewSilence) -> Any:
    place, deployment = managed_place(request, body.entity_type, body.entity_id)
    if body.time_zone not in available_timezones():
        raise Invalid("Send a name such as Europe/Berlin.", field="timeZone")
    if body.begins_at and body.begins_at.year not in YEARS:
        raise Invalid("Send a time of this century.", field="beginsAt")
    user = request.caller.user
    with timezone.override(ZoneInfo(body.time_zone)):
        begins = timezone.localtime(body.begins_at) if body.begins_at else None
        form = SilenceForm(
            {
                "deployment": deployment.pk if deployment else None,
                "dags": body.dags,
                "begins_at": f"{begins:%Y-%m-%dT%H:%M}" if begins else "",
                "hours": body.hours,
                "weekdays": weekdays_of(body.days_of_week),
                "reason": body.reason,
            },
            place=place,
            deployments=deployments_to_choose(place=place, user=user),
        )
        check(form, FIELDS)
        made = begin_silence(actor=user, silence=form.filled())
    return _shape(made)


@router.delete(
    "/organizations/{organizationId}/silences/{silenceId}",
    auth=in_organization(),
    response={204: None},
    operation_id="EndSilence",
    summary="End a silence",
)
def stop_silence(request: Call, at: Path[AtSilence]) -> None:
    named = _rows().filter(seen(request), pk=number_of("silence", at.silence_id))
    silence = or_404(named.filter(ended_at=None).first())
    may_manage(request, silence.place)
    end_silence(actor=request.caller.user, silence=silence, now=timezone.now())


def _rows() -> Any:
    above = ("organization", "workspace__organization", "deployment", "created_by")
    return Silence.objects.select_related(*above)


def _shape(silence: Silence) -> SilenceShape:
    return SilenceShape(
        id=public_id("silence", silence.pk),
        dags=silence.dags,
        reason=silence.reason,
        begins_at=silence.begins_at.astimezone(UTC),
        ends_at=silence.ends_at.astimezone(UTC),
        days_of_week=[DAYS[one] for one in silence.weekdays],
        time_zone=silence.zone,
        ended_at=silence.ended_at,
        created_at=silence.created_at,
        created_by=profile_of(silence.created_by),
        **entity_of(silence, silence.deployment),
    )
