"""Settings: named, typed values that are checked when they are made."""

from typing import Any, get_args

import numpy as np
import pydantic
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from asdlib.errors import InputError, one_of


class Settings(BaseModel):
    """Base of what can be configured: it cannot be changed, and refuses wrong names and values.

    Raises :class:`InputError` with one sentence per fault: the field, its value and what was
    expected; an unknown field is listed together with the known ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any):
        for name in values:
            one_of(f"{type(self).__name__.lower()} field", name, type(self).model_fields)
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            faults = error.errors()  # for a list with wrong values, it says too short as well
            faults = [f for f in faults if f["type"] != "too_short" or not f["input"]]
            raise InputError("; ".join(map(_sentence, faults))) from None

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """NumPy scalars count as numbers; True and False do not, alone or among others."""
        value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"{info.field_name} is {value!r}; expected a word")
        annotation = cls.model_fields[info.field_name].annotation
        is_flag = bool in (annotation, *get_args(annotation))
        several = not is_flag and isinstance(value, list | tuple | set)
        for item in value if several else [value]:
            if isinstance(item, bool | np.bool) != is_flag or isinstance(item, bytes):
                wanted = "True or False" if is_flag else "a number or a word"
                raise ValueError(f"{info.field_name} is {value!r}; expected {wanted}")
        return value

    @field_validator("*")
    @classmethod
    def _each_once(cls, value: Any, info: ValidationInfo) -> Any:
        """Each of several values occurs once: a second run, or row, of one would count double."""
        if isinstance(value, tuple) and len({*value}) < len(value):
            words = ", ".join(map(str, value))
            raise ValueError(f"{info.field_name} are {words}; expected each once")
        return value

    def replace(self, **changes: Any) -> "Settings":
        """The same settings with some changed, checked again."""
        return type(self)(**(dict(self) | changes))


def _sentence(fault) -> str:
    """A fault of pydantic's in our words."""
    if fault["type"] == "value_error":  # raised by a validator of ours: it is a sentence already
        return str(fault["ctx"]["error"])
    name = ".".join(map(str, fault["loc"]))
    if fault["type"] == "missing":
        return f"{name} is missing; expected it"
    if fault["type"] == "literal_error":
        known = fault["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"unknown {name} {fault['input']!r}; known: {known}"
    if fault["type"] == "too_short":
        return f"{name} is {fault['input']!r}; expected at least {fault['ctx']['min_length']} value"
    wanted = fault["msg"].removeprefix("Input should be ").removeprefix("a valid ").split(", ")[0]
    wanted = {"tuple": "a list"}.get(wanted, wanted)  # as JSON and YAML call it
    return f"{name} is {fault['input']!r}; expected {wanted}"
