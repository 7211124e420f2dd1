"""Addresses for the browser tests: the styleguide, and a page with a card and a log."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import engines
from django.urls import include, path
from django.utils import timezone

from apps.core.styleguide.examples import examples
from apps.sso.sign_in.views import sign_in

CARD = """
<section class="panel" id="card"
  data-hx-get="/card/" data-hx-trigger="every 200ms" data-hx-swap="outerMorph">
  <header><h2>Card</h2>{% include "components/live.html" with at=now seconds=5 only %}</header>
  <div class="body"><input id="typed" aria-label="Typed"><p id="count">{{ count }}</p>
    <details id="folded"><summary>More</summary><p>Folded</p></details></div>
</section>"""
LOG = """
{% include "components/log.html" with id="log" label="Log" lines=lines tail_url="/tail/" only %}"""
PAGE = """{% extends "layouts/app.html" %}{% block main %}<h1>Live</h1>CARD LOG{% endblock %}"""


class Stage:
    """What the card answers next; tests change it."""

    status = 200
    answers = 0


def _render(source: str, request: HttpRequest, **context: object) -> HttpResponse:
    context = {"now": timezone.now(), "count": Stage.answers, **context}
    return HttpResponse(engines["django"].from_string(source).render(context, request))


def styleguide(request: HttpRequest) -> HttpResponse:
    return render(request, "styleguide.html", examples())


class LongChoices(forms.Form):
    """More choices than anyone reads."""

    deployment = forms.ChoiceField(choices=[("", "All"), *((n, f"etl-{n}") for n in range(99))])
    channels = forms.MultipleChoiceField(
        choices=[(str(n), f"#team-{n}") for n in range(99)],
        initial=["98"],
        widget=forms.CheckboxSelectMultiple,
    )


def choices(request: HttpRequest) -> HttpResponse:
    return _render(PAGE.replace("CARD LOG", "<form>{{ form }}</form>"), request, form=LongChoices())


def live(request: HttpRequest) -> HttpResponse:
    lines = [{"text": f"line {number}"} for number in range(100)]
    return _render(PAGE.replace("CARD", CARD).replace("LOG", LOG), request, lines=lines)


def card(request: HttpRequest) -> HttpResponse:
    Stage.answers += 1
    if Stage.status != 200:
        return HttpResponse("no", status=Stage.status)
    return _render(CARD, request)


def tail(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<li><span></span><span>new line</span></li>")


urlpatterns = [
    path("styleguide/", styleguide),
    path("choices/", choices),
    path("live/", live),
    path("card/", card),
    path("tail/", tail),
    path("accounts/login/", sign_in, name="account_login"),
    path("accounts/", include("apps.accounts.sign_in.urls")),
]
