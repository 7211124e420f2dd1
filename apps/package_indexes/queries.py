"""Which package indexes belong to an object, and which are asked for a Deployment."""

from collections.abc import Iterable

from django.db.models import Case, F, Q, QuerySet, Value, When

from apps.access.scopes import with_ancestors
from apps.accounts.models import User
from apps.core.encryption.keys import key_ring
from apps.dataplane import spec
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace
from apps.package_indexes.models import PackageIndex

Place = Organization | Workspace | Deployment
NEAREST_FIRST = Case(
    When(deployment__isnull=False, then=Value(0)),
    When(workspace__isnull=False, then=Value(1)),
    default=Value(2),
)


def fields_of(place: Place) -> dict[str, Place]:
    """Return the column of an index that says what it belongs to."""
    return {type(place).access_scope: place}


def indexes_of(place: Place) -> QuerySet[PackageIndex]:
    """Return what an object names itself, in the order in which they are asked."""
    rows = PackageIndex.objects.filter(**fields_of(place)).order_by("name", "pk")
    return rows.select_related("created_by")


def indexes_above(place: Place) -> list[PackageIndex]:
    """Return what holds for an object because its workspace or organization names it, the nearest
    first.
    """
    return list(_rows(with_ancestors(place)[1:]))


def indexes_in(organization: Organization) -> QuerySet[PackageIndex]:
    """Return all that are named in an organization, with what they belong to."""
    rows = PackageIndex.objects.filter(
        Q(organization=organization)
        | Q(workspace__organization=organization)
        | Q(deployment__workspace__organization=organization)
    )
    above = ("organization", "workspace__organization", "deployment__workspace__organization")
    return rows.select_related(*above, "created_by")


def indexes_to_change(*, user: User, organization: Organization | None) -> QuerySet[PackageIndex]:
    """List the indexes that a person may change, everywhere or in one organization, with what they
    belong to.
    """
    may = Q(pk__in=())
    for model in (Organization, Workspace, Deployment):
        scope = model.access_scope
        mine = model.objects.allowing(user, f"{scope}.update")
        if organization is not None:
            path = model.access_paths["organization"]
            mine = mine.filter(**{path or "pk": organization.pk})
        may |= Q(**{f"{scope}__in": mine.values("pk")})
    return PackageIndex.objects.filter(may).select_related(
        "organization", "workspace", "deployment"
    )


def package_indexes(deployment: Deployment) -> tuple[spec.PackageIndex, ...]:
    """Return what is asked for packages of a Deployment, in this order, with secrets in plaintext.

    Raises SecretUnreadable.
    """
    return tuple(_opened(row) for row in _rows(with_ancestors(deployment)))


def _rows(places: Iterable[object]) -> QuerySet[PackageIndex]:
    rows = PackageIndex.objects.none()
    for place in places:
        rows = rows | PackageIndex.objects.filter(**fields_of(place))  # type: ignore[arg-type]
    above = rows.select_related("workspace", "organization", "created_by")
    return above.order_by(NEAREST_FIRST, F("name"), "pk")


def password_of(row: PackageIndex) -> str:
    """Return the secret in plaintext, empty where there is none; raises SecretUnreadable."""
    if not row.secret:
        return ""
    return key_ring().open(sealed=bytes(row.secret), identity=row.identity("secret"))


def _opened(row: PackageIndex) -> spec.PackageIndex:
    return spec.PackageIndex(
        key=f"{row.key}-{row.version}",
        name=row.name,
        url=row.url,
        user=row.username,
        password=password_of(row),
        ca_certificate=row.ca_certificate,
        is_only=row.is_only,
    )
