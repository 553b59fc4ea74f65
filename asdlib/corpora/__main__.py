"""``python -m asdlib.corpora``."""

from asdlib.corpora.commands import main

main()
