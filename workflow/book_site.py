"""A Sphinx extension: what jupyter-book's own settings cannot say of this book."""

import re

import sphinx_thebe
from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

NOTEBOOK = re.compile(r"book(?P<slash>/|%2F)(?:machines(?:/|%2F))?(?P<name>[A-Za-z-]+)\.ipynb")
CAPTION = re.compile(r'(<caption>|"caption": ")(.+?)(?=</caption>|")', re.DOTALL)  # or itables'
HEAD = re.compile(r"<thead>.*?</thead>", re.DOTALL)
CODE = r"<(?P<code>pre|code|script|style)\b.*?</(?P=code)>"
MATH = r'<(?P<math>span|div) class="math .*?</(?P=math)>'
NUMBERED = "|".join(
    rf"(?<=\b{word})\s(?=\d)" for word in (r"Eq\.", r"Fig\.", "Table", "ID", "seed", r"p\s=")
)
QUANTITY = re.compile(  # its hyphens become minus signs, and its spaces do not break
    rf"(?P<kept>{CODE}|{MATH}|<[^>]*>)|{NUMBERED}"
    r"|(?<=\bTable)\s(?=[IV])|(?<=\bp)\s(?==\s?\d)"
    r"|(?<=\[)-?[\d.]+,\s-?[\d.]+(?=\])"  # an interval
    r"|(?<![\w.-])-(?=\d)|(?<=>)-(?=</t[dh]>)"  # a negative number, and an empty cell
    r"|(?<=\d)\s(?=[%±]|k?Hz\b|ms\b)|(?<=±)\s(?=\d)",
    re.DOTALL,
)
SIGNS = str.maketrans("- \n", "\N{MINUS SIGN}\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}")
TWO_WORDS = re.compile(  # of code, such as `make book`
    r'(<span class="pre">[\w.]{1,8}</span>) (<span class="pre">[\w.]{1,8}</span></code>)'
)
TAG, SHORT = re.compile("<[^>]*>"), 24  # a word of code that is no longer does not break
OPTION = re.compile(r"(?P<kept><[^>]*>)|(?<![\w-])--?[A-Za-z][\w-]*")
CHOICE = re.compile(r"- \[(?P<right>[ x])\] (?P<answer>.+)\n  > (?P<feedback>.+)")


def setup(app) -> dict:
    """No live code, whose script comes from another site, and buttons that lead to the sources."""
    for event in ("env-before-read-docs", "doctree-resolved"):
        for listener in list(app.events.listeners[event]):
            if listener.handler.__module__ == sphinx_thebe.__name__:
                app.disconnect(listener.id)
    # after the theme, which adds its buttons at 501
    app.connect("html-page-context", to_sources, priority=900)
    app.connect("html-page-context", typeset)
    app.connect("missing-reference", in_another_module)
    app.add_directive("quiz", Quiz)
    app.add_transform(FindTables)
    app.add_enumerable_node(CellTable, "table", caption_of, html=(begin_table, end_table))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Quiz(SphinxDirective):
    """A question with choices, of which one is right; a chosen one shows its feedback.

    The content has two lines for each choice: ``- [x] answer`` (``- [ ]`` if wrong), then
    ``  > feedback``. Radio buttons and CSS do the rest: no script, no kernel, no internet.
    """

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        choices = list(CHOICE.finditer("\n".join(self.content)))
        if [choice["right"] for choice in choices].count("x") != 1:
            raise self.error(
                f"{len(choices)} choices; expected one `- [x]` among them, each with `  > feedback`"
            )
        name = f"quiz-{self.env.new_serialno('quiz')}"
        parts = [html('<fieldset class="quiz"><legend>'), *self.inline(self.arguments[0])]
        parts.append(html("</legend>"))
        for choice in choices:
            kind = "right" if choice["right"] == "x" else "wrong"
            parts.append(html(f'<div class="choice"><label><input type="radio" name="{name}"> '))
            parts += self.inline(choice["answer"])
            parts.append(html(f'</label><div class="feedback {kind}" role="status">'))
            parts += [*self.inline(choice["feedback"]), html("</div></div>")]
        return [nodes.container("", *parts, html("</fieldset>"))]

    def inline(self, text: str) -> list[nodes.Node]:
        return self.state.inline_text(text, self.lineno)[0]


class CellTable(nodes.General, nodes.Element):
    """A table that a notebook displays: HTML with a caption, which Sphinx cannot read."""


class FindTables(SphinxTransform):
    """Wrap every such table, so that Sphinx numbers it among the tables of the chapters."""

    default_priority = 200  # Sphinx gives whatever it will number an id at 210

    def apply(self) -> None:
        for output in list(self.document.findall(nodes.container)):
            if output.get("nb_element") == "mime_bundle" and caption_of(output):
                output.replace_self(CellTable("", output.deepcopy()))


def caption_of(node: nodes.Element) -> str | None:
    matches = [CAPTION.search(raw.astext()) for raw in node.findall(nodes.raw)]
    return next((match[2] for match in matches if match), None)


def begin_table(writer, node: CellTable) -> None:
    """The number goes into the caption, where :meth:`add_fignumber` would put it before all."""
    begin = len(writer.body)
    writer.add_fignumber(node)
    number = "".join(writer.body[begin:]).replace('"', "'")  # itables' caption is in JSON
    del writer.body[begin:]
    for raw in node.findall(nodes.raw):
        text = HEAD.sub(with_names_beside, raw.astext())
        raw[:] = [nodes.Text(CAPTION.sub(rf"\1{number}\2", text))]
    writer.body.append(writer.starttag(node, "div"))


def end_table(writer, node: CellTable) -> None:
    writer.body.append("</div>")


def with_names_beside(head: re.Match) -> str:
    """The head of a table of pandas, the names of its index beside those of the columns.

    pandas gives them a row of their own, which is empty but for them.
    """
    soup = BeautifulSoup(head[0], "html.parser")
    *_, above, last = [None, *soup.find_all("tr")]
    names = [cell for cell in last("th") if "index_name" in cell.get("class", ())]
    others = [cell for cell in last("th") if cell not in names]
    if above is None or not names or any("blank" not in cell.get("class", ()) for cell in others):
        return head[0]
    for cell, name in zip(above("th"), names, strict=False):
        cell.replace_with(name)
    last.decompose()
    return str(soup)


def html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def in_another_module(app, env, node, contnode) -> nodes.reference | None:
    """Docstrings name what is documented in another module by its last name: ``InputError``."""
    if node["refdomain"] == "py":
        ending = "." + node["reftarget"]
        names = [name for name in env.domains["py"].objects if name.endswith(ending)]
        if len(names) == 1:
            return env.domains["py"].resolve_xref(
                env, node["refdoc"], app.builder, node["reftype"], names[0], node, contnode
            )


def typeset(app, pagename, templatename, context, doctree) -> None:
    """Negative numbers have a minus sign; no line ends in a quantity, an option or "Eq. 2".

    Formulas and the rest of code stay as they are.
    """

    def option(match) -> str:
        return match["kept"] or f'<span class="option">{match[0]}</span>'

    def typed(match) -> str:
        if match["code"] in ("pre", "code"):
            shown = len(TAG.sub("", match[0]))
            short = match["code"] == "code" and shown <= SHORT
            code = match[0].replace('class="', 'class="short ', 1) if short else match[0]
            code = TWO_WORDS.sub("\\1\N{NO-BREAK SPACE}\\2", code)
            return OPTION.sub(option, code)
        return match["kept"] or match[0].translate(SIGNS)

    context["body"] = QUANTITY.sub(typed, context.get("body", ""))


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
