"""``python -m asdstudy`` is the console command ``asd``."""

from asdstudy.cli import app

app(prog_name="asd")
