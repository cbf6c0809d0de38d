"""Every example in the documents is one."""

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from receiver.domain import Format
from receiver.json_text import read_strict
from receiver.web.bodies import model_of
from receiver.web.documents.operation import Operation
from receiver.web.documents.samples import TYPES, sample
from receiver.web.documents.schemas import event_schema, path_of
from receiver.web.documents.table import OPERATIONS
from tests.documents.judging import document, faults
from tests.rendered.samples import rendered_as

# The fifth is a provider's own, for callers in drop-in mode: its own documents tell it.
FORMATS = [each for each in Format if each is not Format.PROVIDER]
MEDIA = {each: "application/cloudevents+json" if each is Format.CLOUDEVENTS else "application/json" for each in FORMATS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_examples_of_requests_are_taken_and_those_of_answers_fit(operation: Operation) -> None:
    """By the very models that validate requests; refusals have an example, too."""
    for example in operation.examples.values():
        assert operation.body is not None
        model_of(example, operation.body)
    for answer in document()["paths"][operation.path][operation.method.lower()]["responses"].values():
        for told in answer.get("content", {}).values():
            if "example" in told:
                assert faults(told["schema"], told["example"]) == []
    for status, answer in document()["components"]["responses"].items():
        [told] = answer["content"].values()
        assert faults(told["schema"], told["example"]) == []
        assert told["example"]["status"] == int(status)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("type", TYPES)
def test_every_type_in_every_format_is_as_its_webhook_says(type: str, format: Format) -> None:
    """The documents' own examples, and what the destinations of the other tests get."""
    content = document()["webhooks"][type]["post"]["requestBody"]["content"][MEDIA[format]]
    assert faults(content["schema"], content["examples"][format.value]["value"]) == []
    assert faults(content["schema"], read_strict(rendered_as(format, type).body)) == []


@pytest.mark.parametrize("type", TYPES)
def test_every_type_has_a_schema_of_its_own(type: str) -> None:
    """Which stands alone, knows its own address, takes its own events and no others."""
    schema = event_schema(type)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == path_of(type) == f"/schemas/v1/{type}.json"
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    assert [*validator.iter_errors(read_strict(rendered_as(Format.STANDARD, type).body))] == []
    assert [each for each in TYPES if validator.is_valid(sample(each))] == [type]
