"""The documentation on pages of the portal: the Markdown of docs/, in the order of mkdocs.yml.

So the help that people open fits the version that runs, and needs no internet and no build. The
site that `make docs` builds has the same addresses: what links here may as well link there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from html import unescape
from posixpath import join, normpath
from typing import Any
from xml.etree.ElementTree import Element

import yaml
from django.conf import settings
from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe
from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

KEPT_PAGES = 8
HIGHEST_HEADING = 2


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: its `name` is its address below /docs/ without slashes around it, "" for the first.

    `sections` are its headings of the second level, as (anchor, text).
    """

    name: str
    title: str
    body: SafeString
    sections: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pages under one title, as (name, title)."""

    title: str
    pages: tuple[tuple[str, str], ...]


@cache
def contents() -> tuple[Group, ...]:
    """Return the pages in the order of the navigation, those without a title of a group first."""
    loose, groups = [], []
    for entry in _configuration()["nav"]:
        [(title, inside)] = entry.items()
        if isinstance(inside, str):
            loose.append((_name(inside), title))
        else:
            groups.append(Group(title=title, pages=tuple(_pages(inside, title))))
    return (Group(title="", pages=tuple(loose)), *groups)


@lru_cache(maxsize=KEPT_PAGES)
def page(name: str) -> Page | None:
    """Return a page of the documentation, None if there is none of that name."""
    source = sources().get(name)
    if source is None:
        return None
    text = (settings.DOCS_FOLDER / source).read_text()
    markdown = Markdown(extensions=[*_extensions(), _InsideThePortal(source)])
    # Long lines scroll sideways, by keyboard too.
    body = markdown.convert(text).replace("<pre>", '<pre tabindex="0">')
    [top, *_] = markdown.toc_tokens  # type: ignore[attr-defined]  # set by the extension "toc"
    return Page(
        name=name,
        title=unescape(top["name"]),
        # Written by whoever wrote the templates, and of the same checkout.
        body=mark_safe(body),  # noqa: S308
        sections=tuple((one["id"], unescape(one["name"])) for one in top["children"]),
    )


@cache
def _configuration() -> dict[str, Any]:
    configuration: dict[str, Any] = yaml.safe_load(settings.DOCS_CONFIGURATION.read_text())
    return configuration


def _extensions() -> list[str]:
    named = _configuration()["markdown_extensions"]
    return [one if isinstance(one, str) else next(iter(one)) for one in named]


def _pages(entries: list[Any], title: str) -> Iterator[tuple[str, str]]:
    """Lay nested groups flat; a page without a title is called after its file."""
    for entry in entries:
        if isinstance(entry, str):
            if entry.endswith("README.md"):
                yield _name(entry), title
            continue
        [(own, inside)] = entry.items()
        if isinstance(inside, str):
            yield _name(inside), own
        else:
            yield from _pages(inside, own)


@cache
def sources() -> dict[str, str]:
    """Map the name of every page to its file: those of the navigation, and no other."""
    return {_name(path): path for path in _files(_configuration()["nav"])}


def _files(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
        return
    for inside in entry.values() if isinstance(entry, dict) else entry:
        yield from _files(inside)


def _name(path: str) -> str:
    """Return the address of a file as MkDocs would: adr/README.md is adr, roles.md is roles."""
    folder, _, file = path.rpartition("/")
    stem = file.removesuffix(".md")
    return folder if stem in ("index", "README") else join(folder, stem)


class _InsideThePortal(Extension):
    """Turns links between files into addresses, drawings into static files, and wraps tables."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name that Markdown calls
        md.treeprocessors.register(_Adapter(md, self.source), "inside_the_portal", 0)


class _Adapter(Treeprocessor):
    def __init__(self, md: Markdown, source: str) -> None:
        super().__init__(md)
        self.folder = source.rpartition("/")[0]

    def run(self, root: Element) -> None:
        for link in root.iter("a"):
            link.set("href", self._address(link.get("href", "")))
        for image in root.iter("img"):
            path = self._from_here(image.get("src", ""))
            image.set("src", static(path.replace("images/", "docs/", 1)))
        for parent in list(root.iter()):
            for place, child in enumerate(list(parent)):
                if child.tag == "table":
                    parent[place] = _in_a_panel(child)

    def _address(self, href: str) -> str:
        path, mark, anchor = href.partition("#")
        if not path.endswith(".md") or "://" in path:
            return href
        name = _name(self._from_here(path))
        return f"/docs/{f'{name}/' if name else ''}{mark}{anchor}"

    def _from_here(self, path: str) -> str:
        return normpath(join(self.folder, path))


def _in_a_panel(table: Element) -> Element:
    panel = Element("div", {"class": "panel table"})
    panel.append(table)
    return panel
