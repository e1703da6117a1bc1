"""The wire format of `POST /v1/chat/completions`: OpenAI's, and what Deixis adds to it under the name `deixis`.

Facts of the format: https://platform.openai.com/docs/api-reference/chat. A scan comes as a `file` part (`file_id` of an
upload, or `file_data`), as an `image_url` part with a `data:` url, or by `deixis.scan`. What would change the answer
and is not done here (tools, several choices, ...) is refused and not ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from assistant.serving.ask import Ask, Past, Usage
from assistant.serving.refusal import Refusal

MODEL = "deixis"
COLDEST = 0.01  # below it a temperature is 0: the logits divided by it would overflow
FARTHEST = 1e5  # mm from the scanner's centre; no scan is 100 m long

Millimetres = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Pointing(Strict):
    """RAS+ millimetres: x to the patient's right, y to the front, z up."""

    points: list[Annotated[list[Millimetres], Field(min_length=3, max_length=4)]] | None = Field(
        default=None,
        max_length=100,
        description="[x, y, z] or [x, y, z, label]; label 1 = part of it, 0 = not part of it",
    )
    box: Annotated[list[Millimetres], Field(min_length=6, max_length=6)] | None = Field(
        default=None, description="x0, y0, z0, x1, y1, z1: two opposite corners"
    )
    mask_id: str | None = Field(
        default=None, max_length=20, description='a mask of this conversation ("m2") to refine or ask about'
    )


class Asked(Pointing):
    """What Deixis adds to a request; points, box and mask_id are for the last question."""

    scan: str | None = Field(default=None, max_length=100, description="id of an uploaded scan")


class TextPart(Strict):
    type: Literal["text"]
    text: str


class Url(Strict):
    url: str = Field(description="data:...;base64,... with a whole scan file")
    detail: str | None = None


class ImagePart(Strict):
    type: Literal["image_url"]
    image_url: Url


class File(Strict):
    file_id: str | None = Field(default=None, max_length=100)
    file_data: str | None = Field(default=None, description="data:...;base64,... or base64 alone")
    filename: str | None = Field(default=None, max_length=255)


class FilePart(Strict):
    type: Literal["file"]
    file: File


def _kind_of_content(value: Any) -> str:
    """So that a wrong part is told as such, and not also as something that is no text."""
    return "words" if isinstance(value, str) else "parts"


Part = Annotated[TextPart | ImagePart | FilePart, Field(discriminator="type")]
Content = Annotated[Annotated[str, Tag("words")] | Annotated[list[Part], Tag("parts")], Discriminator(_kind_of_content)]


class UserMessage(Strict):
    role: Literal["user"]
    content: Content
    name: str | None = None
    deixis: Pointing | None = Field(default=None, description="what this question points at")


class AssistantMessage(BaseModel):
    """An answer, as it was given; only its words are read."""

    role: Literal["assistant"]
    content: Content | None = None


class SystemMessage(BaseModel):
    """Accepted, since many clients always send one, and not read: the model was trained with one of its own."""

    role: Literal["system", "developer"]
    content: Content


Message = Annotated[UserMessage | AssistantMessage | SystemMessage, Field(discriminator="role")]


class StreamOptions(Strict):
    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(Strict):
    """Fields that allow one value alone are there because clients send them."""

    model: Literal["deixis"] = "deixis"
    messages: list[Message] = Field(min_length=1, max_length=200)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2, description="default 0: always the same answer")
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63, description="for temperatures above 0; default 0")
    max_tokens: int | None = Field(default=None, ge=1, le=100_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=100_000)
    user: str | None = Field(default=None, description="not used")
    metadata: dict[str, str] | None = Field(default=None, description="not used")
    store: Literal[False] | None = None
    n: Literal[1] | None = None
    top_p: float | None = Field(default=None, ge=1, le=1)
    presence_penalty: float | None = Field(default=None, ge=0, le=0)
    frequency_penalty: float | None = Field(default=None, ge=0, le=0)
    logprobs: Literal[False] | None = None
    stop: None = None
    deixis: Asked | None = None


@dataclass(frozen=True)
class Attached:
    """A scan inside a request: its file's bytes, and its name where one was given."""

    content: bytes
    filename: str | None


@dataclass(frozen=True)
class Request:
    """A chat request, read. scan: an upload's id, or the file itself."""

    scan: str | Attached
    past: tuple[Past, ...]
    ask: Ask
    notes: tuple[str, ...]


def read_request(body: ChatRequest, most_bytes: int) -> Request:
    """Take a request apart. Refusal (4xx) where it does not make a conversation about one scan.

    most_bytes: the largest scan inside a request.
    """
    system = [message for message in body.messages if isinstance(message, SystemMessage)]
    talk = [message for message in body.messages if not isinstance(message, SystemMessage)]
    roles = [message.role for message in talk]
    if roles != [("user", "assistant")[n % 2] for n in range(len(talk))] or len(talk) % 2 == 0:
        raise Refusal(
            400,
            f"the messages are {', '.join(roles) or 'none but the system’s'}: send user and assistant in turn, "
            "with the question, a user's, last",
            "invalid_messages",
            param="messages",
        )
    questions = [message for message in talk if isinstance(message, UserMessage)]
    replies = [_words(message.content) for message in talk if isinstance(message, AssistantMessage)]
    given = body.deixis or Asked()
    extra = Pointing(points=given.points, box=given.box, mask_id=given.mask_id)
    asks = [_ask(message, message.deixis or Pointing()) for message in questions[:-1]]
    last = questions[-1]
    if last.deixis is not None and extra != Pointing():
        raise Refusal(
            400, "the last message and the request both say what is pointed at: say it once", "invalid_value",
            param="deixis",
        )  # fmt: skip
    temperature = body.temperature or 0.0
    limits = [limit for limit in (body.max_tokens, body.max_completion_tokens) if limit is not None]
    ask = _ask(
        last,
        last.deixis or extra,
        temperature=temperature if temperature >= COLDEST else 0.0,
        seed=body.seed or 0,
        most_tokens=min(limits, default=None),
    )
    return Request(
        scan=_scan(given.scan, questions, most_bytes),
        past=tuple(Past(one, reply) for one, reply in zip(asks, replies, strict=True)),
        ask=ask,
        notes=("system messages are not read",) if system else (),
    )


def _words(content: str | Sequence[Any] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text for part in content if isinstance(part, TextPart))


def _ask(message: UserMessage, pointing: Pointing, **how: Any) -> Ask:
    return Ask(
        text=_words(message.content).strip(),
        points=tuple(tuple(point) for point in pointing.points or ()),
        box=None if pointing.box is None else tuple(pointing.box),
        mask_id=pointing.mask_id,
        **how,
    )


def _scan(named: str | None, questions: Sequence[UserMessage], most_bytes: int) -> str | Attached:
    """The one scan that the request speaks of."""
    found: dict[tuple[str, str | None], str] = {}  # (id or data, file name) -> "id" or "data", each once
    if named is not None:
        found[named, None] = "id"
    for part in (part for message in questions if not isinstance(message.content, str) for part in message.content):
        if isinstance(part, ImagePart):
            found[part.image_url.url, None] = "data"
        elif isinstance(part, FilePart):
            file = part.file
            if (file.file_id is None) == (file.file_data is None):
                raise Refusal(
                    400, "a file part needs either file_id or file_data: give one of them", "invalid_value",
                    param="messages",
                )  # fmt: skip
            if file.file_id is not None:
                found[file.file_id, None] = "id"
            elif file.file_data is not None:
                found[file.file_data, file.filename] = "data"
    if len(found) != 1:
        said = "no scan" if not found else f"{len(found)} different scans"
        raise Refusal(
            400,
            f"the request speaks of {said}: upload one with POST /v1/scans and give its id as deixis.scan, "
            "or attach one file",
            "one_scan_needed",
            param="deixis.scan",
        )
    (((text, filename), kind),) = found.items()
    return text if kind == "id" else Attached(_decoded(text, most_bytes), filename)


def _decoded(url: str, most_bytes: int) -> bytes:
    """The bytes of a `data:` url (RFC 2397), or of base64 alone."""
    head, comma, data = url.partition(",")
    if url.startswith("data:"):
        if not comma or not head.endswith(";base64"):
            raise Refusal(400, "the data: url is not base64: write it as data:;base64,...", "invalid_data_url")
    elif ":" in url[:16]:
        raise Refusal(
            400, f"the scan's address {url[:40]!r} is not read from here: attach the file as a data: url, or upload it",
            "invalid_data_url",
        )  # fmt: skip
    else:
        data = url
    if len(data) // 4 * 3 > most_bytes + 2:
        raise Refusal(
            413,
            f"the attached scan has {len(data) // 4 * 3:,} bytes and the limit inside a request is {most_bytes:,}: "
            "upload it with POST /v1/scans",
            "scan_too_large",
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(
            400, f"the attached scan is not valid base64 ({error}): encode the file again", "invalid_data_url"
        ) from error


class Completion:
    """What is sent back for one request: whole, or as a stream of chunks."""

    def __init__(self, name: str, fingerprint: str) -> None:
        self.name = name
        self._head = {"id": name, "created": int(time.time()), "model": MODEL, "system_fingerprint": fingerprint}

    def whole(self, text: str, finish: str, usage: Usage, deixis: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        head = self._head | {"object": "chat.completion"}
        return head | {"choices": [choice], "usage": usage_object(usage), "deixis": deixis}

    def chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        """One server-sent event; more: fields beside the choices."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse(self._head | {"object": "chat.completion.chunk", "choices": [choice]} | more)

    def usage_chunk(self, usage: Usage) -> str:
        """The last chunk of `stream_options.include_usage`: it has no choice."""
        return sse(self._head | {"object": "chat.completion.chunk", "choices": [], "usage": usage_object(usage)})


def usage_object(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }


def sse(value: dict[str, Any]) -> str:
    """A server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    return f"data: {json.dumps(value, allow_nan=False)}\n\n"


DONE = "data: [DONE]\n\n"


def sentences(errors: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """pydantic's errors as (field, sentence without its end), the value named and cut short."""
    for error in errors:
        path = [part for part in error["loc"] if part not in ("body", "query", "path")]
        # pydantic names the member of a union after an index and after "content"; no client knows those names
        named = [
            part for before, part in zip([None, *path], path, strict=False)
            if isinstance(part, int) or not (isinstance(before, int) or before == "content")
        ]  # fmt: skip
        field = ".".join(map(str, named))
        said = f"{error['msg'][:1].lower()}{error['msg'][1:]}"
        if error["type"] == "extra_forbidden":
            yield field, f"the field {field!r} is not known here: leave it out, or see /docs for those that are"
        elif error["type"] == "missing":
            yield field, f"the field {field!r} is missing: give it, see /docs"
        elif error["type"] == "json_invalid":
            yield "body", "the body is not valid JSON: check its quotes and commas"
        else:
            value = repr(error.get("input"))
            yield field, f"the field {field!r} is {value[:60]}{'…' * (len(value) > 60)}: {said}"
