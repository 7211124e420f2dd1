"""A real chromium, and what every page must stand: axe, a silent console, no sideways scroll."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LEFT_OUT = (
    "Left out: the tests in a browser, because chromium is not installed. To include them, run "
    "`apt-get install chromium`, or name a browser in CHROMIUM."
)
# Playwright's own five seconds to see something pass by where an Airflow starts beside the browser.
PATIENCE_MILLISECONDS = 20_000
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 320, "height": 700}
PICTURES = Path(__file__).resolve().parents[2] / "test-results"
# All rules once, then those whose answer another theme or width can change.
COLORS = ("color-contrast", "link-in-text-block")
RULES: dict[str, dict[str, Any]] = {
    "light": {"rules": {"target-size": {"enabled": True}}},
    "dark": {"runOnly": {"type": "rule", "values": COLORS}},
    "narrow": {
        "rules": {"target-size": {"enabled": True}} | {name: {"enabled": False} for name in COLORS}
    },
}
VIOLATIONS_ONLY = {"resultTypes": ["violations"]}
AXE_RUN = """(options) => axe.run(document, options).then(found => found.violations.map(one =>
  one.id + ": " + one.nodes.slice(0, 3).map(node => node.target.join(" ")).join(" | ")))"""
# Contrast takes most of the time, and rows and menus repeat themselves from page to page. What has
# the colors, sizes and layers of an element seen before, and so have all that it is in, has its
# contrast: the rule looks only at elements whose number is new.
MARK_NEW = """(known) => {
  const before = new Set(known), found = new Set();
  const styles = ["color", "backgroundColor", "backgroundImage", "opacity", "fontSize",
    "fontWeight", "textShadow", "filter", "mixBlendMode", "position", "zIndex", "visibility"];
  const number = text => {
    let high = 0xdeadbeef, low = 0x41c6ce57;
    for (let at = 0; at < text.length; at++) {
      high = Math.imul(high ^ text.charCodeAt(at), 2654435761);
      low = Math.imul(low ^ text.charCodeAt(at), 1597334677);
    }
    return (high & 0x1fffff) * 4294967296 + (low >>> 0);
  };
  const visit = (element, above) => {
    const style = getComputedStyle(element);
    const is_off = element.matches(":disabled, [aria-disabled=true]");
    const own = number([above, element.tagName, is_off, ...styles.map(name => style[name])].join());
    element.toggleAttribute("data-new-colors", !before.has(own));
    found.add(own);
    for (const child of element.children) visit(child, own);
  };
  visit(document.documentElement, 0);
  axe.configure({ rules: [{ id: "color-contrast", selector: "[data-new-colors]" }] });
  return [...found];
}"""
# A change of theme fades, and a colour on its way is no colour of the page.
SETTLED = """() => Promise.all(
  document.getAnimations().filter(one => one instanceof CSSTransition).map(one => one.finished))"""
# What sticks to an edge lies over what a reader scrolls to: it is no neighbor of a target.
UNSTICK = """() => { scrollTo(0, 0); document.querySelectorAll("main *").forEach(one => {
  const { position, insetBlockEnd } = getComputedStyle(one);
  if (position === "sticky" && insetBlockEnd === "0px") one.style.position = "static"; }); }"""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def chromium_path() -> str:
    """Return where chromium is, empty if it is not installed."""
    named = os.environ.get("CHROMIUM", "")
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return named or next((path for path in found if path), "")


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)


# What Chromium remarks about pages that are as they should be: a form with several secrets for
# password managers, and a field that would take the focus where the reader has it already.
HINTS = ("Multiple forms should be contained", "Autofocus processing was blocked")


@dataclass
class Inspector:
    """Looks at pages and collects what is wrong, in sentences that name the page."""

    page: Page
    problems: list[str] = field(default_factory=list)
    address: str = ""
    # Numbers of what contrast was asked of, by variant.
    known: dict[str, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self._note(f"script error: {error}"))

    def visit(self, address: str, *, status: int = 200) -> None:
        """Open the page and look at it: light and dark, wide and narrow."""
        self.address = address
        response = self.page.goto(address)
        if response is None or response.status != status:
            self._note(f"answered {response.status if response else 'nothing'}, not {status}")
            return
        self.look()

    def look(self, *, is_thorough: bool = True) -> None:
        """Look at the page that is open. Not thorough: light and wide only."""
        self.address = self.page.url
        self.page.evaluate(AXE_SCRIPT)
        self._axe("light")
        self._width()
        if is_thorough:
            self.page.emulate_media(color_scheme="dark")
            self._axe("dark")
            self.page.emulate_media(color_scheme="light")
            self.page.set_viewport_size(NARROW)
            self.page.evaluate(UNSTICK)
            self._axe("narrow")
            self._width()
            self.page.set_viewport_size(WIDE)

    def picture(self, name: str) -> None:
        PICTURES.mkdir(exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def _width(self) -> None:
        if (pixels := self.page.evaluate(SIDEWAYS)) > 0:
            self._note(f"is {pixels} pixels wider than a screen of {self.page.viewport_size}")

    def _axe(self, variant: str) -> None:
        self.page.evaluate(SETTLED)
        if variant != "narrow":
            known = self.known.setdefault(variant, set())
            known.update(self.page.evaluate(MARK_NEW, list(known)))
        for violation in self.page.evaluate(AXE_RUN, RULES[variant] | VIOLATIONS_ONLY):
            self._note(f"{variant}: {violation}")

    def _note_console(self, message: ConsoleMessage) -> None:
        # The browser itself logs every answer of 400 and more; the status is checked elsewhere.
        if (
            "Failed to load resource" in message.text
            and message.location.get("url") == self.page.url
        ):
            return
        if any(hint in message.text for hint in HINTS):
            return
        self._note(f"console {message.type}: {message.text}")

    def _note(self, problem: str) -> None:
        text = f"{self.address} {problem}"
        if text not in self.problems:
            self.problems.append(text)


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    context = browser.new_context(
        viewport=WIDE, color_scheme="light", reduced_motion="reduce", **options
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    return context
