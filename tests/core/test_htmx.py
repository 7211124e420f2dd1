from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.test import RequestFactory

from apps.core.htmx import SignInAgain, is_fragment, redirect, tagged, unchanged

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


def test_a_redirect_moves_the_window_for_htmx_and_for_a_plain_form(rf: RequestFactory) -> None:
    assert redirect(rf.post("/x", headers=HTMX), "/d/etl/")["HX-Redirect"] == "/d/etl/"
    assert redirect(rf.post("/x"), "/d/etl/")["Location"] == "/d/etl/"


def test_a_whole_page_asked_by_htmx_is_no_fragment(rf: RequestFactory) -> None:
    assert is_fragment(rf.get("/x", headers=HTMX))
    assert not is_fragment(rf.get("/x", headers={**HTMX, "HX-Request-Type": "full"}))
    assert not is_fragment(rf.get("/x"))


def test_a_card_that_shows_the_state_already_gets_no_body(rf: RequestFactory) -> None:
    same = unchanged(rf.get("/x", headers={"HX-PTag": "r48"}), "r48")

    assert same is not None
    assert same.status_code == 304
    assert unchanged(rf.get("/x", headers={"HX-PTag": "r47"}), "r48") is None
    assert tagged(HttpResponse(), "r48")["HX-PTag"] == "r48"
