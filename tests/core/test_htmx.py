from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.test import RequestFactory

from apps.core.web.htmx import SignInAgain, is_fragment, skip_unchanged

HTMX = {
    "HX-Request": "true",
    "HX-Request-Type": "partial",
    "HX-Current-URL": "http://x/d/etl/?tab=logs",
}


def signed_out(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/accounts/login/?next=/d/etl/_health")


def test_an_ended_session_takes_the_window_to_sign_in_and_back_to_the_page(
    rf: RequestFactory,
) -> None:
    response = SignInAgain(signed_out)(rf.get("/d/etl/_health", headers=HTMX))

    assert response.status_code == 200
    assert response["HX-Redirect"] == "/accounts/login/?next=%2Fd%2Fetl%2F%3Ftab%3Dlogs"


def test_an_address_from_elsewhere_is_cut_to_its_path(rf: RequestFactory) -> None:
    headers = {**HTMX, "HX-Current-URL": "https://evil.example/d/x"}

    response = SignInAgain(signed_out)(rf.get("/d/etl/_health", headers=headers))

    assert response["HX-Redirect"] == "/accounts/login/?next=%2Fd%2Fx"


def test_a_page_is_redirected_as_ever(rf: RequestFactory) -> None:
    assert SignInAgain(signed_out)(rf.get("/d/etl/")).status_code == 302


def test_other_redirects_of_fragments_are_left_alone(rf: RequestFactory) -> None:
    middleware = SignInAgain(lambda request: HttpResponseRedirect("/d/other/"))

    assert middleware(rf.get("/x", headers=HTMX)).status_code == 302


def test_a_whole_page_asked_by_htmx_is_no_fragment(rf: RequestFactory) -> None:
    assert is_fragment(rf.get("/x", headers=HTMX))
    assert not is_fragment(rf.get("/x", headers={**HTMX, "HX-Request-Type": "full"}))
    assert not is_fragment(rf.get("/x"))


CARD = """<div id="card"><p class="live">as of <time datetime="{now}">{now}</time></p>
<form><input type="hidden" name="csrfmiddlewaretoken" value="{now}"></form>
<p><span data-checked><time datetime="{now}" data-relative>{now}</time></span> {word}
<time datetime="2026-11-27T08:00" data-relative>{now}</time></p></div>"""


def answer(rf: RequestFactory, *, now: str, word: str = "Healthy", tag: str = "") -> HttpResponse:
    request = rf.get("/x", headers={**HTMX, "HX-PTag": tag} if tag else HTMX)
    card = HttpResponse(CARD.format(now=now, word=word))
    return skip_unchanged(request, card, checked_at=datetime(2026, 11, 27, 9, tzinfo=UTC))


def test_a_card_that_shows_all_but_the_time_gets_no_body(rf: RequestFactory) -> None:
    first = answer(rf, now="08:00")

    second = answer(rf, now="08:05", tag=first["HX-PTag"])

    assert (first.status_code, second.status_code) == (200, 304)
    assert first.content
    assert second.content == b""
    assert second["X-Checked-At"] == "2026-11-27T09:00:00+00:00"
    assert second["X-As-Of"].endswith(" UTC")
    assert second["HX-PTag"] == first["HX-PTag"]


def test_a_card_that_changed_comes_whole(rf: RequestFactory) -> None:
    first = answer(rf, now="08:00")

    changed = answer(rf, now="08:05", word="Degraded", tag=first["HX-PTag"])

    assert changed.status_code == 200
    assert b"Degraded" in changed.content
    assert changed["HX-PTag"] != first["HX-PTag"]


def test_only_a_fragment_that_was_found_is_left_out(rf: RequestFactory) -> None:
    tag = answer(rf, now="08:00")["HX-PTag"]
    card = CARD.format(now="08:00", word="Healthy")

    page = skip_unchanged(rf.get("/x", headers={"HX-PTag": tag}), HttpResponse(card))
    missing = skip_unchanged(
        rf.get("/x", headers={**HTMX, "HX-PTag": tag}), HttpResponse(card, status=404)
    )

    assert (page.status_code, missing.status_code) == (200, 404)
    assert "HX-PTag" not in page
