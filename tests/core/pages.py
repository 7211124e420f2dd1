from typing import Any

import html5lib


def check_page(page: str) -> Any:
    """Fail unless the page is sound: strict HTML, one h1, unique ids, labels, no loose reference.

    Any test of a page may use it. Returns the parsed page.
    """
    root = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    labelled = {element.get("for") for element in root.iter("label")}

    assert sorted(ids) == sorted(set(ids)), {one for one in ids if ids.count(one) > 1}
    assert len(list(root.iter("h1"))) == 1
    for element in root.iter():
        if element.tag in ("input", "select", "textarea") and element.get("type") != "hidden":
            assert element.get("id") in labelled or element.get("aria-label"), dict(element.attrib)
        for name in ("aria-describedby", "aria-labelledby"):
            assert set((element.get(name) or "").split()) <= set(ids), dict(element.attrib)
    return root
