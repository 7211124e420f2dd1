"""Sign-in by SAML: the response is checked where it is posted, and used where the session is."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from allauth.socialaccount.helpers import complete_social_login
from allauth.socialaccount.providers.base import ProviderException
from allauth.socialaccount.sessions import LoginSession
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from apps.core.web.gates import open_to_all
from apps.sso.models import SSOConnection
from apps.sso.protocols.assertions import spend_assertion
from apps.sso.protocols.failures import NOT_ASKED, BadAnswer
from apps.sso.sign_in.adapter import app_of, problem
from apps.sso.sign_in.views import connection_of

# What reads XML takes 12 MB: a portal without SAML never loads it.
if TYPE_CHECKING:
    from apps.sso.protocols.answers import Answer

ACS_SESSION = ("saml_acs_session", "saml-acs-session")
ANSWER_SECONDS = 300
# Longer than clocks may differ.
SPENT_FOR = timedelta(minutes=10)
# In the year 5138: SAML's own last moment is Python's, and nothing can be later than that.
LATEST = 10**11
OVER = "This sign-in is over. Begin it again."
LONGEST_ANSWER = 256 * 1024


@csrf_exempt
@open_to_all
@require_POST
def acs(request: HttpRequest, connection_key: str) -> HttpResponse:
    """Receive a SAML response, posted from another site and thus without our session's cookie.

    It is checked before anything is kept, because anyone may post here; what is wrong with it goes
    along in the address.
    """
    connection = connection_of(connection_key, SSOConnection.Protocol.SAML)
    finish = reverse("sso:acs_finish", args=[connection.key])
    try:
        answer = _believed(request, connection)
    except BadAnswer as error:
        said = signing.dumps([error.message, error.reason], salt=_salt(connection))
        return HttpResponseRedirect(f"{finish}?{urlencode({'problem': said})}")
    response = HttpResponseRedirect(finish)
    session = LoginSession(request, *ACS_SESSION)
    session.store["answer"] = asdict(answer)
    session.store.set_expiry(ANSWER_SECONDS)
    session.save(response)
    return response


def _believed(request: HttpRequest, connection: SSOConnection) -> "Answer":
    """Return what was posted, checked and spent; raises BadAnswer."""
    from apps.sso.protocols.answers import read_answer  # noqa: PLC0415 - see above

    text = request.POST.get("SAMLResponse", "")
    if not text or len(text) > LONGEST_ANSWER:
        raise BadAnswer("No SAML answer came with this request.")
    answer = read_answer(connection, text)
    try:
        spend_assertion(
            connection=connection,
            assertion_id=answer.assertion_id,
            expires_at=datetime.fromtimestamp(min(answer.ends_at, LATEST), UTC) + SPENT_FOR,
        )
    except ProviderException as error:
        raise BadAnswer(str(error)) from None
    return answer


def _salt(connection: SSOConnection) -> str:
    return f"apps.sso.acs.{connection.key}"


@open_to_all
@never_cache
@require_GET
def acs_finish(request: HttpRequest, connection_key: str) -> HttpResponse:
    """Process the response, now with our session's cookie."""
    connection = connection_of(connection_key, SSOConnection.Protocol.SAML)
    try:
        answer = _kept(request, connection)
        return _finish_saml(request, connection, answer)
    except BadAnswer as error:
        return problem(request, connection, error.message, reason=error.reason)
    except PermissionDenied:
        return problem(request, connection, NOT_ASKED)
    except ProviderException as error:
        return problem(request, connection, str(error))


def _kept(request: HttpRequest, connection: SSOConnection) -> "Answer":
    """Return the answer that was received; raises BadAnswer with what was wrong with it."""
    from apps.sso.protocols.answers import Answer  # noqa: PLC0415 - see above

    said = request.GET.get("problem", "")
    if said:
        try:
            message, reason = signing.loads(said, salt=_salt(connection), max_age=ANSWER_SECONDS)
        except signing.BadSignature:
            raise BadAnswer(OVER) from None
        raise BadAnswer(message, reason)
    session = LoginSession(request, *ACS_SESSION)
    kept = session.store.get("answer")
    if not kept:
        raise BadAnswer(OVER)
    session.delete()
    answer = Answer(**kept)
    if answer.issuer != connection.issuer:
        raise BadAnswer(OVER, "the identity provider was replaced meanwhile")
    return answer


def _finish_saml(request: HttpRequest, connection: SSOConnection, answer: "Answer") -> HttpResponse:
    provider = app_of(connection).get_provider(request)
    state = provider.unstash_redirect_state(request, answer.asked)
    login = provider.sociallogin_from_response(request, answer)
    login.state = state
    response: HttpResponse = complete_social_login(request, login)
    return response


@open_to_all
@require_GET
def metadata(request: HttpRequest, connection_key: str) -> HttpResponse:
    """The portal's SAML metadata. It holds no secret."""
    from apps.sso.protocols.saml import service_metadata  # noqa: PLC0415 - see above

    connection = connection_of(connection_key, SSOConnection.Protocol.SAML)
    response = HttpResponse(
        service_metadata(connection), content_type="application/samlmetadata+xml"
    )
    response["Content-Disposition"] = f'attachment; filename="astro-portal-{connection.key}.xml"'
    return response
