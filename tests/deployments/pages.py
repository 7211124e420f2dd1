"""What tests of pages share: reading a form and pressing buttons, as a browser without script."""

from typing import Any

import html5lib
from django.test import Client


def tree_of(response: Any) -> Any:
    return html5lib.parse(response.content.decode(), namespaceHTMLElements=False)


def assert_well_made(response: Any) -> None:
    """Check what no browser shows: valid markup, one heading of the page, ids that are unique."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree = parser.parse(response.content.decode())
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert sorted(ids) == sorted(set(ids)), {one for one in ids if ids.count(one) > 1}
    assert len(list(tree.iter("h1"))) == 1
    labels = {label.get("for") for label in tree.iter("label")}
    for field in tree.iter():
        if field.tag in ("input", "select", "textarea") and field.get("type") != "hidden":
            assert field.get("id") in labels or field.get("aria-label"), field.attrib


def text_of(response: Any) -> str:
    """Return the words of a page without markup, single spaced."""
    return " ".join("".join(tree_of(response).itertext()).split())


def form_data(response: Any, form_id: str = "configuration") -> dict[str, str]:
    """Return what a browser would post of a form, buttons left out."""
    form = next(form for form in tree_of(response).iter("form") if form.get("id") == form_id)
    data: dict[str, str] = {}
    for field in form.iter():
        if field.tag not in ("input", "textarea", "select"):
            continue
        name = field.get("name")
        if not name:
            continue
        if field.tag == "textarea":
            data[name] = (field.text or "").removeprefix("\n")
        elif field.tag == "select":
            options = list(field.iter("option"))
            chosen = next((one for one in options if one.get("selected") is not None), options[0])
            data[name] = chosen.get("value", chosen.text or "")
        elif field.get("type") in ("checkbox", "radio"):
            if field.get("checked") is not None:
                data[name] = field.get("value", "on")
        else:
            data[name] = field.get("value", "")
    return data


def fill(client: Client, url: str, **changes: str) -> Any:
    """Open a form page, change fields (`__` stands for `-`) and post it."""
    data = form_data(client.get(url))
    data |= {name.replace("__", "-"): value for name, value in changes.items()}
    return client.post(url, data)
