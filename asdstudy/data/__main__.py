"""``python -m asdstudy.data``."""

from asdstudy.data.commands import main

main()
