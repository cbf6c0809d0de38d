"""Kinds of fields that answers have in common."""

from typing import Annotated, Any

from pydantic import Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Count = Annotated[int, Field(ge=0)]


def absent() -> Any:
    """The default of a field that an answer may lack altogether."""
    return Field(default_factory=lambda: None)
