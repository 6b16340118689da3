"""What a page must have to be read, seen and operated by everyone, measured in the browser."""

from itertools import pairwise
from pathlib import Path
from typing import Any

NAMED = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "slider", "spinbutton", "image", "dialog"}
_MEASURES = Path(__file__).with_name("accessible.js").read_text(encoding="utf-8")


def measured(page: Any, name: str) -> Any:
    """A measure of accessible.js."""
    return page.evaluate(f"{_MEASURES}\naccessible.{name}()")


def nameless(page: Any) -> list[str]:
    """Roles of Chromium's accessibility tree that need a name and have none."""
    session = page.context.new_cdp_session(page)
    nodes = [one for one in session.send("Accessibility.getFullAXTree")["nodes"] if not one["ignored"]]
    session.detach()
    assert len(nodes) > 10, "the tree is there"
    roles = [(one["role"]["value"], str(one.get("name", {}).get("value", "")).strip()) for one in nodes]
    return [role for role, name in roles if role in NAMED and not name]


def outline_faults(page: Any) -> list[str]:
    """What is wrong with title, language, headings and ids."""
    seen = measured(page, "outline")
    levels, ids = seen["levels"], seen["ids"]
    faults = [] if seen["title"] and seen["language"] == "en" else [f"{seen['title']!r}, {seen['language']!r}"]
    faults += [f"heading {lower} below {upper}" for upper, lower in pairwise(levels) if lower > upper + 1]
    faults += ["several first headings"] if levels.count(1) > 1 else []
    return faults + [f"two elements {one!r}" for one in {one for one in ids if ids.count(one) > 1}]


def faint(page: Any) -> list[str]:
    """Texts below a contrast of 4.5 (3 if large), and edges of fields below 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    found: list[str] = measured(page, "faint")
    return found


def too_small(page: Any) -> list[str]:
    """What is clicked and smaller than 24 pixels (WCAG 2.2, 2.5.8)."""
    found: list[str] = measured(page, "small")
    return found


def cut_off(page: Any) -> list[str]:
    """What lies beyond the right edge of the window (WCAG 2.2, 1.4.10)."""
    found: list[str] = measured(page, "cut")
    return found


def tab_faults(page: Any) -> list[str]:
    """Walk through the page by the Tab key: what is skipped, out of order, out of view or without a focus ring."""
    reachable = measured(page, "reachable")
    in_dialog = page.locator("dialog[open]").count() > 0
    visited: list[Any] = []
    for _ in range(2 * len(reachable) + 10):
        page.keyboard.press("Tab")
        here = page.evaluate("accessible.here()")
        if visited and here and here["index"] == visited[0]["index"]:
            break  # all around, by way of the browser's own controls
        visited += [] if here is None else [here]
    faults = [f"no ring: {one['html']}" for one in visited if not one["ringed"]]
    faults += [f"out of view: {one['html']}" for one in visited if not one["inView"]]
    faults += [f"outside the dialog: {one['html']}" for one in visited if in_dialog and not one["inDialog"]]
    faults += [f"skipped: {one}" for one in reachable if one not in {here["html"] for here in visited}]
    order = [one["index"] for one in visited]
    backwards = sum(after < before for before, after in pairwise(order))
    return faults + ([] if backwards <= 1 else ["the order is not that of the page"])
