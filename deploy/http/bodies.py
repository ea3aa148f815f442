"""What clients send, as models: fields that are not known are ignored, as peers do; types of the known are strict."""

from __future__ import annotations

from array import array
from typing import Annotated, Any, Final, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from deploy.http.errors import HttpError

MAX_STOPS: Final = 16
MAX_STOP_CHARACTERS: Final = 256
MAX_TOKEN_ID: Final = 2**32 - 1

MAX_COUNT: Final = 2**31 - 1
"""Of tokens: what the core's columns hold."""

MAX_MESSAGES: Final = 4096
"""Of a conversation, and parts of a message."""

Item = TypeVar("Item")
Several = Annotated[list[Item], Field(fail_fast=True)]
"""A list whose first wrong item ends it: a body of a million of them would else be a million errors, and gigabytes."""

Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]


def _check_token_ids(ids: list[Any]) -> list[int]:
    """By two calls for all of them: a validator of each would hold up everybody's tokens 100 ns an id."""
    if set(map(type, ids)) != {int}:
        raise ValueError("token ids are whole numbers")
    try:
        array("I", ids)
    except OverflowError:
        raise ValueError(f"token ids are from 0 to {MAX_TOKEN_ID}") from None
    return ids


_TOKEN_ID_SCHEMA: Final = {"type": "integer", "minimum": 0, "maximum": MAX_TOKEN_ID}
TokenIds = Annotated[
    list[Any], AfterValidator(_check_token_ids), WithJsonSchema({"type": "array", "items": _TOKEN_ID_SCHEMA})
]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class StreamOptions(_Body):
    """How a stream is written."""

    include_usage: bool = Field(
        default=False, description="One more event at the end with the usage of the whole request."
    )


class Part(_Body):
    """A piece of a message's content; only text is understood."""

    type: str
    text: str | None = None


class Message(_Body):
    """One message of a conversation."""

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: str | Annotated[Several[Part], Field(max_length=MAX_MESSAGES)] | None = None


Messages = Annotated[Several[Message], Field(min_length=1, max_length=MAX_MESSAGES)]


class GenerationBody(_Body):
    """What both kinds of completions take."""

    model: str | None = Field(default=None, description="The model of /v1/models; may be left out.")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    min_tokens: Annotated[int, Field(ge=0, le=MAX_COUNT)] | None = None
    ignore_eos: bool | None = Field(default=False, description="The answer has exactly max_tokens.")
    stop: Stop | Annotated[Several[Stop], Field(max_length=MAX_STOPS)] | None = None
    n: Count | None = Field(default=1, description="Only 1 is offered.")
    seed: int | None = Field(default=None, description="Chooses another answer of the same prompt.")
    timings: bool | None = Field(
        default=False, description="Tell how long the request was in each stage (an extension)."
    )

    @property
    def most_tokens(self) -> int | None:
        """The longest answer that the client takes, None if it does not say."""
        return self.max_tokens

    @property
    def stops(self) -> list[str]:
        """Texts at which an answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatBody(GenerationBody):
    """POST /v1/chat/completions."""

    messages: Messages
    max_completion_tokens: Count | None = None

    @property
    def most_tokens(self) -> int | None:
        """The newer name wins."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


DEFAULT_COMPLETION_TOKENS: Final = 16
"""Of /v1/completions where the client says nothing, as OpenAI and vLLM have it."""


class CompletionBody(GenerationBody):
    """POST /v1/completions."""

    # From left to right: to try each kind on a list that is long takes as long each time.
    prompt: Annotated[str | Several[str] | TokenIds | Several[TokenIds], Field(union_mode="left_to_right")]

    @property
    def most_tokens(self) -> int | None:
        """Short unless the client says otherwise."""
        return DEFAULT_COMPLETION_TOKENS if self.max_tokens is None else self.max_tokens


class TokenizeBody(_Body):
    """POST /tokenize: a prompt, or messages."""

    prompt: str | None = None
    messages: Messages | None = None


Model = TypeVar("Model", bound=BaseModel)

LONG_BYTES: Final = 4096
"""Of a body that may hold so many token ids that to decode them by the model would hold others up."""

Completion = TypeVar("Completion", bound=CompletionBody)

_PROMPT: Final = "prompt"
_NO_PROMPT: Final = msgspec.Raw(b'""')
_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_ids: Final = msgspec.json.Decoder(list[Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKEN_ID)]]).decode


def parse_body(model: type[Model], data: bytes) -> Model:
    """`HttpError` 400 for what is no JSON, 422 with the field for a type or value that is wrong."""
    try:
        if issubclass(model, CompletionBody) and len(data) >= LONG_BYTES and (body := _of_long_ids(model, data)):
            return body
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise HttpError(400, f"the body is no JSON: {_reason(first)}", "invalid_json") from None
        param = str(first["loc"][0]) if first["loc"] else None
        where = f"{param}: " if param else ""
        raise HttpError(422, f"{where}{_reason(first)}", "invalid_value", param=param) from None
    except (RecursionError, ValueError):
        raise HttpError(400, "the body is no JSON that can be read", "invalid_json") from None


def _of_long_ids(model: type[Completion], data: bytes) -> Completion | None:
    """A body whose prompt is a list of token ids, at a fifth of what the model takes to decode them: meanwhile nobody's
    tokens leave. None for any other; what is wrong with that is left to the model to say."""
    try:
        fields = _decode_fields(data)
        ids = _decode_ids(fields[_PROMPT])
        fields[_PROMPT] = _NO_PROMPT
        body = model.model_validate_json(msgspec.json.encode(fields))
    except (msgspec.DecodeError, KeyError, RecursionError, ValueError):
        return None
    return body.model_copy(update={_PROMPT: ids}) if ids else None


def _reason(error: Any) -> str:
    text: str = error["msg"]
    return f"{text[:1].lower()}{text[1:]:.200}"
