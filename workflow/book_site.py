"""A Sphinx extension: what jupyter-book's own settings cannot say of this book."""

import re

import sphinx_thebe

NOTEBOOK = re.compile(r"book(?P<slash>/|%2F)(?:machines(?:/|%2F))?(?P<name>[A-Za-z-]+)\.ipynb")


def setup(app) -> dict:
    """No live code, whose script comes from another site, and buttons that lead to the sources."""
    for event in ("env-before-read-docs", "doctree-resolved"):
        for listener in list(app.events.listeners[event]):
            if listener.handler.__module__ == sphinx_thebe.__name__:
                app.disconnect(listener.id)
    # after the theme, which adds its buttons at 501
    app.connect("html-page-context", to_sources, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def to_sources(app, pagename, templatename, context, doctree) -> None:
    """Buttons lead to where a page's source is: the executed notebooks are in no repository."""
    notebook = "train" if pagename.startswith("machines/") else pagename

    def source(match) -> str:
        return f"notebooks{match['slash']}{notebook}.ipynb"

    buttons = list(context.get("header_buttons", []))
    while buttons:
        button = buttons.pop()
        buttons += button.get("buttons", [])
        if button.get("url"):
            button["url"] = NOTEBOOK.sub(source, button["url"])
