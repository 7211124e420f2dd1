"""Tags and filters of the pages: icons, containers with a slot, plain words for time and size.

A component is one file in templates/components. It has a tag here only when it holds other markup
(a block tag), reads the request (pagination, sorting), or gathers values (the error summary).
"""

from collections.abc import Callable, Container, Hashable
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django import template
from django.conf import settings
from django.core.paginator import Page, Paginator
from django.forms import BaseForm
from django.forms.formsets import BaseFormSet
from django.http import QueryDict
from django.template.context import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.web.forms import problems
from apps.core.words import (
    bytes_in_words,
    duration_in_words,
    moment_in_words,
    time_ago_in_words,
    zone_in_words,
)

register = template.Library()

TONE_ICONS = {"good": "good", "move": "move", "warn": "warn", "bad": "bad", "idle": "unknown"}

MESSAGE_TONES = {"error": "bad", "warning": "warn", "success": "good", "info": "move"}
MOST_TICKS = 20
OUTBOX = "apps.accounts.mail.PageBackend"
KEPT_ICONS = 200
KEPT_DRAWINGS = 1_000
MOST_KEPT_CHARACTERS = 200


def _component(context: Context, name: str, **values: Any) -> SafeString:
    engine = context.template.engine  # type: ignore[union-attr]  # there while it renders
    return engine.get_template(f"components/{name}.html").render(context.new(values))


@register.simple_tag
def once(component: str, **values: Hashable) -> SafeString:
    """Draw a component that shows nothing but some values, or return how it was drawn for them.

    Not for one that shows a time, of which words and zone depend on who reads it and when, nor for
    one with a form, whose token is another each time.
    """
    return _drawn(component, tuple(values.items()))


@lru_cache(maxsize=KEPT_DRAWINGS)
def _drawn(component: str, values: tuple[tuple[str, Hashable], ...]) -> SafeString:
    return render_to_string(component, dict(values))


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw one symbol of the sprite: decoration, or an image when a label is given."""
    return _drawn_icon(name, label)


# A page draws some dozens of the same few, and each asks the storage for the sprite's address.
@lru_cache(maxsize=KEPT_ICONS)
def _drawn_icon(name: str, label: str) -> SafeString:
    href = f"{static('img/icons.svg')}#{name}"
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}"/></svg>', label, href
        )
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"/></svg>', href)


@register.simple_tag
def docs_url(page: str = "") -> str:
    """Return the address of a page of the documentation: docs_url "clusters", or with an anchor
    "clusters#details"; without a page that of the first one.
    """
    name, mark, anchor = page.partition("#")
    return f"{settings.DOCS_URL}{f'{name}/' if name else ''}{mark}{anchor}"


@register.simple_tag
def portal_version() -> str:
    """Return the version that runs."""
    return str(settings.VERSION)


@register.filter
def message_tone(level_tag: str) -> str:
    """Give the tone of a Django message level."""
    return MESSAGE_TONES.get(level_tag, "idle")


@register.filter
def tone_icon(tone: str) -> str:
    """Name the drawing that belongs to a tone."""
    return TONE_ICONS.get(tone, "unknown")


@register.simple_tag
def portal_url() -> str:
    """Give the address of this portal, without a slash at its end. A request may name any host."""
    return str(settings.PORTAL_URL)


@register.simple_tag
def portal_host() -> str:
    """Give the host of this portal, with its port, as people know it."""
    return urlsplit(settings.PORTAL_URL).netloc


@register.simple_tag
def sends_mail() -> bool:
    """Tell whether mail leaves this installation. Without a mail server it waits in the Outbox."""
    return settings.EMAIL_BACKEND != OUTBOX


@register.simple_block_tag(takes_context=True)
def panel(
    context: Context, content: str, title: str, id: str, tone: str = "", note: str = "", **link: str
) -> SafeString:
    """Hold content in a panel with a heading; link_label and link_url put a link into it."""
    return _component(
        context, "panel", content=content, title=title, id=id, tone=tone, note=note, **link
    )


@register.simple_block_tag(takes_context=True)
def banner(
    context: Context, content: str, tone: str, title: str, icon: str = "", id: str = ""
) -> SafeString:
    """Show a problem or news; the content is the message and the remedies."""
    return _component(context, "banner", content=content, tone=tone, title=title, icon=icon, id=id)


@register.simple_block_tag(takes_context=True)
def empty(
    context: Context, content: str, title: str, kind: str = "none", icon: str = ""
) -> SafeString:
    """Explain an empty place. kind: none, match, denied or silent (the source does not answer)."""
    return _component(context, "empty", content=content, title=title, kind=kind, icon=icon)


@register.simple_block_tag(takes_context=True)
def form_section(context: Context, content: str, title: str, id: str, note: str = "") -> SafeString:
    """Lay out one section of a long form: its reason on the left, its fields on the right."""
    return _component(context, "form_section", content=content, title=title, id=id, note=note)


@register.simple_block_tag(takes_context=True)
def dialog(context: Context, content: str, id: str, title: str, is_open: Any = False) -> SafeString:
    """Hold content in a dialog; what has data-dialog="<id>" opens it, and the server with is_open.

    Without script an open dialog is a part of the page.
    """
    return _component(context, "dialog", content=content, id=id, title=title, is_open=bool(is_open))


@register.simple_tag(takes_context=True)
def pagination(context: Context, page: "Page[Any]", noun: str = "Results") -> SafeString:
    """Link the pages of a list; other query parameters stay."""
    query, paginator = _query(context), page.paginator
    draw = _kept(_drawn_pagination, query)
    return draw(page.number, paginator.count, int(paginator.per_page), noun, query)


@lru_cache(maxsize=KEPT_DRAWINGS)
def _drawn_pagination(number: int, count: int, size: int, noun: str, query: str) -> SafeString:
    paginator = Paginator(range(count), size)
    values = {
        "page": paginator.page(number),
        "numbers": list(paginator.get_elided_page_range(number, on_each_side=1, on_ends=1)),
        "noun": noun,
        "query": QueryDict(query),
    }
    return render_to_string("components/pagination.html", values)


@register.simple_tag(takes_context=True)
def sort_header(context: Context, label: str, key: str, kind: str = "") -> SafeString:
    """Make a column heading that sorts by `key`, and by `-key` when chosen again."""
    query = _query(context)
    return _kept(_drawn_sort_header, query)(label, key, kind, query)


@lru_cache(maxsize=KEPT_DRAWINGS)
def _drawn_sort_header(label: str, key: str, kind: str, query: str) -> SafeString:
    asked = QueryDict(query)
    order = {key: "ascending", f"-{key}": "descending"}.get(asked.get("sort", ""), "")
    values = {
        "label": label,
        "kind": kind,
        "order": order,
        "next": f"-{key}" if order == "ascending" else key,
        "query": asked,
    }
    return render_to_string("components/sort_header.html", values)


def _kept(draw: Any, query: str) -> Callable[..., SafeString]:
    """Return what draws links with a query: anew if that is long, so that what is kept stays small
    whatever people ask for.
    """
    drawn_anew: Callable[..., SafeString] = draw.__wrapped__
    return draw if len(query) <= MOST_KEPT_CHARACTERS else drawn_anew


def _query(context: Context) -> str:
    """Return the query of the address, which links of a list change a part of."""
    request = context.get("request")
    return request.GET.urlencode() if request else ""


@register.simple_tag(takes_context=True)
def error_summary(context: Context, *forms: "BaseForm | BaseFormSet[Any] | None") -> SafeString:
    """List everything wrong with the forms of a page, each line a link to its field."""
    found = [problem for form in forms if form is not None for problem in problems(form)]
    return _component(context, "error_summary", problems=found)


@register.filter
def ago(value: datetime | None, none: str = "never") -> SafeString | str:
    """Show a moment as relative words in a <time> that carries the exact one."""
    if value is None:
        return none
    local = timezone.localtime(value)
    exact = f"{local:%a} {moment_in_words(local, has_seconds=True)}"
    return format_html(
        '<time datetime="{}" title="{}" data-relative>{}</time>',
        value.isoformat(),
        exact,
        time_ago_in_words(then=value, now=timezone.now()),
    )


@register.filter
def clock(value: datetime | None) -> SafeString | str:
    """Show the exact time of day with its zone, for lines such as "as of 14:08:12 UTC"."""
    if value is None:
        return ""
    local = timezone.localtime(value)
    return _time(local, f"{local:%H:%M:%S} {zone_in_words(local)}")


@register.filter
def moment(value: datetime | None, precision: str = "minute") -> SafeString | str:
    """Show a date and time with the reader's zone: "27 Nov 2026, 14:08 CET".

    With the precision "second" the seconds, too; with "day" the date alone.
    """
    if value is None:
        return ""
    local = timezone.localtime(value)
    if precision == "day":
        return _time(local, f"{local.day} {local:%b %Y}")
    return _time(local, moment_in_words(local, has_seconds=precision == "second"))


def _time(local: datetime, text: str) -> SafeString:
    exact = local.isoformat(timespec="seconds")
    return format_html('<time datetime="{}" title="{}">{}</time>', exact, exact, text)


@register.filter
def duration(seconds: float | None) -> str:
    """Write seconds as "1 min 08 s"."""
    return "" if seconds is None else duration_in_words(float(seconds))


@register.filter("bytes")
def filesize(size: int | None) -> str:
    """Write bytes as "1.4 MiB"."""
    return "" if size is None else bytes_in_words(size)


@register.filter
def among(value: object, found: "Container[object]") -> bool:
    """Tell whether a value is one of some, where a template can only hand on the answer."""
    return value in found


@register.filter
def initials(name: object) -> str:
    """Take up to two initials of a name or an email address."""
    words = str(name).partition("@")[0].replace(".", " ").replace("-", " ").split()
    return "".join(word[0] for word in [*words[:1], *words[1:][-1:]]).upper()


@register.filter
def percent_of(part: float, whole: float) -> str:
    """Write part/whole as an SVG length such as "33.3%", never outside 0 to 100 %."""
    share = 0.0 if not whole else min(max(part / whole, 0.0), 1.0)
    return f"{share * 100:.4g}%"


@register.filter
def ticks(whole: int) -> list[str]:
    """Place one tick per worker on the scale of a queue, fewer when they would run together."""
    step = max(1, -(-whole // MOST_TICKS))
    return [percent_of(position, whole) for position in range(0, whole + 1, step)]
