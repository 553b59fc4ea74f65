"""Options of a command from settings."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated

from typer import Option

from asdlib.settings import Settings


def with_options(settings: type[Settings], **names: str) -> Callable:
    """Let a command take ``settings`` as its first argument, with an option for each field.

    Type, default and meaning are those of the field; ``names`` are options that are not called
    like their field. Several values are separated by commas.
    """

    fields = settings.model_fields
    lists = [name for name, field in fields.items() if isinstance(field.default, tuple)]

    def parameter(name, field):
        kind, default = field.annotation, field.default
        if name in lists:
            kind, default = str, ",".join(map(str, default))
        word = names.get(name, "--" + name.replace("_", "-"))
        annotation = Annotated[kind, Option(word, help=field.description)]
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )

    def decorate(command):
        @wraps(command)
        def run(**values):
            chosen = {name: values.pop(name) for name in fields}
            chosen |= {name: chosen[name].split(",") for name in lists}
            return command(settings(**chosen), **values)

        _, *parameters = inspect.signature(command).parameters.values()
        parameters += [parameter(*item) for item in fields.items()]
        run.__signature__ = inspect.Signature(parameters)
        return run

    return decorate
