"""What a model answers: one JSON object, found in whatever it wrote around it, and checked against a schema.

Small models think aloud, fence their JSON, and break lines inside strings. All of that is read; what does not follow
the schema is refused with the exact reason, which goes back to the model once.
"""

import json
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

MAX_ANSWER: Final = 200_000  # characters; no program that may be edited is as long
MAX_HYPOTHESIS: Final = 500
STARTS: Final = 2_000  # braces at which an object is looked for
SHOWN_ERRORS: Final = 3

KnobValue = bool | int | FiniteFloat | Annotated[str, Field(max_length=200)]


class BadAnswer(Exception):
    """The answer cannot be used. The message says why, so that whoever wrote it can mend it."""


class Part(BaseModel):
    """A part of an answer: typed strictly, and what is beyond the schema is ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Edit(Part):
    """A piece of a file, which must be in it exactly once, and what to put in its place."""

    file: Annotated[str, Field(max_length=200)]
    search: Annotated[str, Field(min_length=1)]
    replace: str


class Draft(Part):
    """What to try and why. expected_effect: improvement in the metric's unit, positive is better; idea: the number of
    the open hypothesis that it tests.
    """

    hypothesis: Annotated[str, Field(min_length=1, max_length=MAX_HYPOTHESIS)]
    expected_effect: FiniteFloat | None = None
    knobs: Annotated[dict[str, KnobValue], Field(max_length=16)] = {}
    edits: Annotated[list[Edit], Field(max_length=32)] = []
    idea: int | None = None


Schema = TypeVar("Schema", bound=BaseModel)


def read_answer(text: str, schema: type[Schema]) -> Schema:
    """The object that an answer ends with. Raises BadAnswer."""
    if len(text) > MAX_ANSWER:
        raise BadAnswer(f"the answer has {len(text):,} characters, and at most {MAX_ANSWER:,} are read")
    objects = _objects(text.rpartition("</think>")[2])
    # drafts may come before it; of one that was cut off only what is inside is whole, and that has other keys
    wanted = next((one for one in reversed(objects) if not one or one.keys() & schema.model_fields.keys()), None)
    if wanted is None:
        what = "is empty" if not text.strip() else "holds no complete JSON object of the kind that is asked for"
        raise BadAnswer(f"the answer {what}; answer with one JSON object and nothing else")
    try:
        return schema.model_validate(wanted)
    except ValidationError as error:
        raise BadAnswer("; ".join(_told(error))) from None


def _objects(text: str) -> list[dict[str, object]]:
    """The JSON objects in a text that are inside no other, in order."""
    decoder = json.JSONDecoder(strict=False)  # line breaks inside strings
    found: list[dict[str, object]] = []
    start = text.find("{")
    for _ in range(STARTS):
        if start < 0:
            break
        try:
            value, end = decoder.raw_decode(text, start)
        except ValueError:
            end = start + 1
        except RecursionError:
            break  # nested as no answer is, and each further try would take as long
        else:
            found.append(value)
        start = text.find("{", end)
    return found


def _told(error: ValidationError) -> list[str]:
    told = []
    for one in error.errors(include_url=False, include_input=False)[:SHOWN_ERRORS]:
        where = ".".join(map(str, one["loc"])) or "the object"
        told.append(f"{where}: {one['msg']}"[:300])
    return told
