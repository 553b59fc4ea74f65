"""A Sphinx extension: labels of the bibliography that are those of the text, author and year.

Works of the same authors and year have a letter after the year in ``book/references.bib``.
"""

from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style
from pybtex.style.labels import BaseLabelStyle


class AuthorYearLabels(BaseLabelStyle):
    """``Bishop, 2006``, ``Tan and Le, 2019``, ``Ruff et al., 2020``."""

    def format_labels(self, sorted_entries):
        for entry in sorted_entries:
            yield f"{names_of(entry.persons['author'])}, {entry.fields['year']}"


class AuthorYearStyle(Style):
    """Entries like those of ``plain``, sorted by author and year."""

    default_label_style = AuthorYearLabels


def names_of(persons) -> str:
    """The last names of one or two persons, or of the first of more."""
    names = [
        " ".join(str(part) for part in person.rich_prelast_names + person.rich_last_names)
        for person in persons
    ]
    return " and ".join(names) if len(names) < 3 else f"{names[0]} et al."


def setup(app) -> dict:
    register_plugin("pybtex.style.formatting", "author_year", AuthorYearStyle, force=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
