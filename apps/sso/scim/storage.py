"""Where the SCIM server keeps its resources: a document each, and the account or Team behind it.

scim2-server speaks the protocol (RFC 7643, 7644) and calls this. Every request runs in one
transaction under the organization's lock, so provisioning and sign-in never create the same person
twice.
"""

import json
import re
import uuid
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Union

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from scim2_models import (
    InvalidValueException,
    Meta,
    NotFoundException,
    PreconditionFailedException,
    Resource,
    ResourceType,
    ResponseParameters,
    ScimFilter,
    SearchRequest,
    UniquenessException,
)
from scim2_server.memory import _page
from scim2_server.service import ScimService
from scim2_server.storage import ScimStorage, SearchPage
from scim2_server.utils import parametrize

from apps.accounts.models import User
from apps.organizations.models import Organization
from apps.sso.models import ScimRecord
from apps.sso.scim import people, teams

# The filter that identity providers send before every write: one attribute, one value.
ONE_VALUE = re.compile(r'(userName|displayName|externalId|id) eq "([^"\\]*)"', re.IGNORECASE)


class RecordStorage(ScimStorage):
    """The people and groups that an organization's identity providers have provisioned."""

    supports_cursors = True

    def __init__(
        self, organization: Organization, service: ScimService, *, maker: User | None
    ) -> None:
        self.organization = organization
        self.service = service
        self.maker = maker

    def get(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        response_parameters: ResponseParameters[Any] | None = None,
    ) -> Resource[Any]:
        return self._resource(resource_type, self._record(resource_type, resource_id))

    def search(
        self,
        resource_types: list[ResourceType],
        search_request: SearchRequest[Any],
        *,
        position: Any = None,
    ) -> SearchPage:
        """Filter by one value, or page without a filter, in SQL; other filters over the records."""
        asked = search_request.filter
        if len(resource_types) == 1 and asked is None and _is_plain(search_request):
            return self._plain_page(resource_types[0], search_request)
        found = [
            self._resource(resource_type, record)
            for resource_type in resource_types
            for record in self._narrowed(resource_type, str(asked) if asked else "")
        ]
        if asked is not None and not asked.models and found:
            kinds = tuple(dict.fromkeys(type(one) for one in found))
            asked = parametrize(ScimFilter, Union[kinds])(str(asked))  # noqa: UP007 - made at run time
        matching = [one for one in found if asked is None or asked.match(one)]
        return _page(search_request, position, matching)

    def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        made = resource.model_copy(deep=True)
        record = ScimRecord(organization=self.organization, kind=str(resource_type.name))
        now = datetime.now(UTC)
        made.id = record.pk.hex
        made.meta = Meta(
            resource_type=resource_type.name, created=now, last_modified=now, version='W/"1"'
        )
        return self._save(record, made)

    def update(
        self,
        resource_type: ResourceType,
        resource: Resource[Any],
        *,
        expected_version: str | None = None,
    ) -> Resource[Any]:
        record = self._record(resource_type, str(resource.id))
        before = self._resource(resource_type, record)
        _check_version(record, expected_version)
        after = type(resource).model_validate(resource.model_dump())
        record.version += 1
        assert before.meta is not None  # noqa: S101 - `create` wrote it
        after.meta = before.meta.model_copy(
            update={
                "location": None,
                "last_modified": datetime.now(UTC),
                "version": f'W/"{record.version}"',
            }
        )
        return self._save(record, after, before)

    def delete(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        expected_version: str | None = None,
    ) -> None:
        record = self._record(resource_type, resource_id)
        _check_version(record, expected_version)
        if record.team is not None:
            teams.remove(record, maker=self.maker)
        if record.user is not None:
            people.delete(record, maker=self.maker)
        record.delete()

    def operation(self) -> AbstractContextManager[None]:
        return transaction.atomic()

    def _record(self, resource_type: ResourceType, resource_id: str) -> ScimRecord:
        try:
            return self._records(resource_type).get(pk=uuid.UUID(resource_id))
        except (ScimRecord.DoesNotExist, ValueError):
            raise NotFoundException(
                detail=f"{resource_type.name} {resource_id!r} not found"
            ) from None

    def _records(self, resource_type: ResourceType) -> QuerySet[ScimRecord]:
        return ScimRecord.objects.filter(
            organization=self.organization, kind=resource_type.name
        ).select_related("organization", "user", "team")

    def _narrowed(self, resource_type: ResourceType, asked: str) -> QuerySet[ScimRecord]:
        records = self._records(resource_type)
        one = ONE_VALUE.fullmatch(asked.strip())
        if one is None:
            return records
        attribute, value = one[1].lower(), one[2]
        if attribute == "externalid":
            return records.filter(external_id=value)
        if attribute == "id":
            return records.filter(pk=value) if _is_uuid(value) else records.none()
        # `displayName` is the key of groups alone.
        if attribute == "username" or resource_type.name == "Group":
            return records.filter(key=value.lower())
        return records

    def _plain_page(self, resource_type: ResourceType, asked: SearchRequest[Any]) -> SearchPage:
        records = self._records(resource_type).order_by("pk")
        total = records.count()
        # Any number may be asked for, and a database counts to 2 to the power of 63 only.
        start = min(asked.start_index_0 or 0, total)
        stop = total if asked.count is None else min(start + asked.count, total)
        found = [self._resource(resource_type, one) for one in records[start:stop]]
        return SearchPage(total, found)

    def _resource(self, resource_type: ResourceType, record: ScimRecord) -> Resource[Any]:
        model: type[Resource[Any]] = self.service.get_model(resource_type)
        return model.model_validate(record.document)

    def _save(
        self,
        record: ScimRecord,
        resource: Resource[Any],
        before: Resource[Any] | None = None,
    ) -> Resource[Any]:
        record.document = json.loads(resource.model_dump_json())
        if _holds_nul(record.document):
            raise InvalidValueException(detail="Texts must not contain NUL characters.")
        name = getattr(resource, "user_name", None) or (
            getattr(resource, "display_name", None) if record.kind == "Group" else None
        )
        record.key = name.lower()[:255] if name else None
        record.external_id = (resource.external_id or "")[:255]
        try:
            with transaction.atomic():
                record.save()
        except IntegrityError:
            raise UniquenessException() from None
        if record.kind == "User":
            people.follow(record, resource, before, maker=self.maker)
        elif record.kind == "Group":
            teams.follow(record, resource, maker=self.maker)
        return resource.model_copy(deep=True)


def _is_plain(asked: SearchRequest[Any]) -> bool:
    return asked.sort_by is None and asked.cursor is None


def _holds_nul(value: Any) -> bool:
    """Return whether a text in a document has a NUL character, which the database cannot store."""
    if isinstance(value, dict):
        return any(_holds_nul(one) for one in [*value, *value.values()])
    if isinstance(value, list):
        return any(_holds_nul(one) for one in value)
    return isinstance(value, str) and "\x00" in value


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def _check_version(record: ScimRecord, expected: str | None) -> None:
    if expected is not None and expected != f'W/"{record.version}"':
        raise PreconditionFailedException()
