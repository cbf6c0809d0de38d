"""What no-code tools say of a REST hook: where to, under one of the names that they know, and which events."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from receiver.errors import Fault, Invalid
from receiver.web.destination_models import known_type


class HookIn(BaseModel):
    """Fields that are not known here are ignored: each tool sends some of its own."""

    model_config = ConfigDict(extra="ignore", strict=True)

    target_url: str | None = None
    target_url_as_zapier: str | None = Field(default=None, alias="targetUrl")
    hook_url: str | None = Field(default=None, alias="hookUrl")
    url: str | None = None
    event: Annotated[str, AfterValidator(known_type)]


_NAMES = {name: field.alias or name for name, field in HookIn.model_fields.items() if name != "event"}


def target_of(asked: HookIn) -> tuple[str, str]:
    """The field that says where to, and what it says; raises `Invalid` where none does, or several do differently."""
    given = {alias: value for name, alias in _NAMES.items() if (value := getattr(asked, name))}
    if not given:
        raise Invalid([Fault(path="target_url", message=f"required: the URL to send to, as {_OR_ANY}")])
    if len(set(given.values())) > 1:
        message = "there are several URLs, and they differ: give one"
        raise Invalid([Fault(path=name, message=message) for name in given])
    return next(iter(given.items()))


_OR_ANY = " or ".join(_NAMES.values())
