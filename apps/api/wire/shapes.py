"""Shapes that many operations share: names are camelCase on the wire, snake_case here."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, core_schema

from apps.accounts.models import User, UserKind
from apps.core.public_ids import public_id


class Shape(BaseModel):
    """What a client sends or gets. Keys that are not known here are left out of account: a client
    may be newer than this portal.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


# A name that people read: blanks around it are no part of it, and alone they are none.
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True)
class Like:
    """Beside the type of a text: it has to match a pattern. What is refused is told the example,
    because the pattern says nothing to people.
    """

    pattern: str
    example: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern, "examples": [self.example]}

    def _checked(self, text: str) -> str:
        if re.search(self.pattern, text) is None:
            told = {"example": self.example}
            raise PydanticCustomError("not_like", "Write it like {example}.", told)
        return text


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
    return NO_ONE if user is None else _profile(user.pk, user.kind, user.email, user.name)


@lru_cache(maxsize=4096)
def _profile(pk: int, kind: str, email: str, name: str) -> Profile:
    """Few people stand in many rows."""
    if kind == UserKind.SERVICE:
        return Profile(id=public_id("user", pk), subject_type="SERVICEKEY", api_token_name=name)
    return Profile(
        id=public_id("user", pk),
        subject_type="USER",
        username=email,
        full_name=name or email,
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
