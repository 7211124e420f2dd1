"""Setting up a page: its settings, switching it on and off, its components."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Max

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.clusters.models import Cluster
from apps.core.errors import Conflict, Invalid
from apps.deployments.models import Deployment
from apps.organizations.models import Organization
from apps.status_pages.setup.addresses import checked_host
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.setup.states import State

MOST_COMPONENTS = 100
_ENTERED = ("name", "about", "group", "source", "cluster")
# What a change of the source of a component leaves of its state: nothing is known yet.
_UNSEEN = {"state": State.UNKNOWN, "seen_state": State.UNKNOWN, "looks": 0, "evaluated_at": None}


@dataclass(frozen=True, kw_only=True)
class PageData:
    """What a person enters about a page."""

    name: str
    about: str
    address: str
    host: str
    audience: str
    drafting: str


@dataclass(frozen=True, kw_only=True)
class ComponentData:
    """What a person enters about a component."""

    name: str
    about: str
    group: str
    source: str
    cluster: Cluster | None
    deployments: Sequence[Deployment]


@transaction.atomic
def save_page(
    *,
    actor: User,
    organization: Organization,
    data: PageData,
    channels: Sequence[Channel],
    now: datetime,
) -> StatusPage:
    """Create the page of an organization, switched off, or change it.

    Raises Invalid when the address or the host name is taken, or the host name is not allowed.
    """
    page = StatusPage.objects.filter(organization=organization).first()
    before = _settings_of(page)
    page = page or StatusPage(organization=organization)
    for name, value in asdict(data).items():
        setattr(page, name, value)
    page.host, page.changed_at = checked_host(data.host), now
    _save_once(page)
    page.channels.set(channels)
    after = _settings_of(page)
    changes = {name: [before.get(name), after[name]] for name in after}
    changed = {name: both for name, both in changes.items() if both[0] != both[1]}
    record_on(action="status_page.updated", actor=actor, on=organization, changes=changed)
    return page


def _settings_of(page: StatusPage | None) -> dict[str, str]:
    if page is None:
        return {}
    names = ("name", "about", "address", "host", "audience", "drafting")
    return {name: str(getattr(page, name)) for name in names}


def _save_once(page: StatusPage) -> None:
    try:
        with transaction.atomic():
            page.save()
    except IntegrityError as error:
        if "one_status_page_per_host" in str(error):
            raise Invalid("Another status page has this host name.", field="host") from None
        raise Invalid("Another status page has this address.", field="address") from None


@transaction.atomic
def switch_page(*, actor: User, page: StatusPage, is_on: bool, now: datetime) -> None:
    """Switch a page on or off. Raises Conflict while it has no component."""
    if is_on and not page.components.exists():
        raise Conflict("Add a component first: an empty page tells nothing.")
    # What happened while it was off is not known.
    page.components.update(**_UNSEEN)
    page.is_on, page.changed_at = is_on, now
    page.save(update_fields=["is_on", "changed_at"])
    words = ["off", "on"] if is_on else ["on", "off"]
    record_on(
        action="status_page.switched",
        actor=actor,
        on=page.organization,
        changes={"status page": words},
    )


@transaction.atomic
def save_component(
    *,
    actor: User,
    page: StatusPage,
    component: Component | None,
    data: ComponentData,
    now: datetime,
) -> Component:
    """Add a component at the end of a page, or change one.

    Raises Invalid when the name is taken, and Conflict when the page has 100 of them.
    """
    old = str(component) if component else None
    if component is None:
        component = _new_component(page)
    elif _is_read_elsewhere(component, data):
        Component.objects.filter(pk=component.pk).update(**_UNSEEN)
    for name in _ENTERED:
        setattr(component, name, getattr(data, name))
    try:
        with transaction.atomic():
            component.save(update_fields=_ENTERED if old else None)
    except IntegrityError:
        raise Invalid(f"There is a component “{data.name}” already.", field="name") from None
    component.deployments.set(data.deployments)
    read_from = ", ".join(map(str, data.deployments)) or str(data.cluster or data.source)
    _touch(page, now)
    record_on(
        action="status_page.component_saved",
        actor=actor,
        on=page.organization,
        changes={"component": [old, data.name], "read from": [None, read_from]},
    )
    return component


def _new_component(page: StatusPage) -> Component:
    # The row of the page orders those who add at the same time.
    StatusPage.objects.select_for_update(no_key=True).get(pk=page.pk)
    if page.components.count() >= MOST_COMPONENTS:
        raise Conflict("A status page has 100 components at most.")
    last = page.components.aggregate(last=Max("position"))["last"] or 0
    return Component(page=page, position=last + 1)


def _is_read_elsewhere(component: Component, data: ComponentData) -> bool:
    if (component.source, component.cluster) != (data.source, data.cluster):
        return True
    return set(component.deployments.all()) != set(data.deployments)


@transaction.atomic
def delete_component(*, actor: User, component: Component, now: datetime) -> None:
    """Delete a component with its history."""
    page = component.page
    record_on(
        action="status_page.component_deleted",
        actor=actor,
        on=page.organization,
        changes={"component": [component.name, None]},
    )
    component.delete()
    _touch(page, now)


@transaction.atomic
def move_component(*, component: Component, is_up: bool, now: datetime) -> None:
    """Move a component one place up or down; at the edge it stays."""
    page = component.page
    StatusPage.objects.select_for_update(no_key=True).get(pk=page.pk)
    order = list(page.components.order_by("position", "pk"))
    at = order.index(component)
    other = at - 1 if is_up else at + 1
    if 0 <= other < len(order):
        order[at], order[other] = order[other], order[at]
    for position, one in enumerate(order, 1):
        one.position = position
    Component.objects.bulk_update(order, ["position"])
    _touch(page, now)


def _touch(page: StatusPage, now: datetime) -> None:
    """Let the copy be written anew."""
    StatusPage.objects.filter(pk=page.pk).update(changed_at=now)
