"""Shapes that many operations share: names are camelCase on the wire, snake_case here."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from apps.accounts.models import User, UserKind
from apps.core.public_ids import public_id


class Shape(BaseModel):
    """What a client sends or gets. Keys that are not known here are left out of account: a client
    may be newer than this portal.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


# A name that people read: blanks around it are no part of it, and alone they are none.
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class InOrganization(Shape):
    organization_id: str


class AtWorkspace(InOrganization):
    workspace_id: str


class FieldProblem(Shape):
    field: str
    message: str
    code: str = "invalid"


class Problem(Shape):
    """What every refusal looks like."""

    message: str
    request_id: str
    status_code: int
    field_errors: list[FieldProblem] | None = None


class Profile(Shape):
    """A person or an API token, where it did something."""

    id: str
    subject_type: str | None = None
    username: str | None = None
    full_name: str | None = None
    api_token_name: str | None = None
    avatar_url: str | None = None


NO_ONE = Profile(id="")


def profile_of(user: User | None) -> Profile:
    """Describe who did something; empty where that is not known any more."""
    if user is None:
        return NO_ONE
    if user.kind == UserKind.SERVICE:
        return Profile(
            id=public_id("user", user.pk), subject_type="SERVICEKEY", api_token_name=user.name
        )
    return Profile(
        id=public_id("user", user.pk),
        subject_type="USER",
        username=user.email,
        full_name=user.name or user.email,
        avatar_url="",
    )


class Listing(Shape):
    """The numbers around one page of a list."""

    total_count: int
    offset: int
    limit: int


class Dated(Shape):
    created_at: datetime
    updated_at: datetime
