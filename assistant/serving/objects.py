"""What the server's answers look like, for its OpenAPI description (and for the tests, which hold it to them)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScanObject(Exact):
    """An uploaded scan. shape: of the file's own array; spacing_mm, extent_mm: along x, y, z in RAS+ order."""

    id: str
    object: Literal["scan"]
    created_at: int = Field(description="Unix time")
    bytes: int
    name: str
    sha256: str = Field(description="of shape, affine and voxels")
    modality: Literal["CT", "MR", "PET"]
    modality_source: Literal["header", "estimated", "given"] = Field(description="notes say from what it was estimated")
    intensity_unit: str
    shape: list[int]
    affine: list[list[float]] = Field(description="stored index -> RAS+ mm")
    orientation: str
    spacing_mm: list[float]
    extent_mm: list[float]
    notes: list[str] = Field(description="what a reader should know about this file")


class Deleted(Exact):
    id: str
    object: Literal["scan.deleted"]
    deleted: Literal[True]


class FindingObject(Exact):
    """A target that was looked for. id: "m1", ... within the conversation, "" when absent. presence, quality: 0 to 1.
    taught: false where the model was never taught such a thing, so that its absence says nothing. made: of what other
    masks it was computed, and how, or null where it was drawn; version: 1, and one more for each change under its
    id."""

    id: str
    phrase: str
    present: bool
    presence: float
    taught: bool
    made: str | None
    version: int
    quality: float | None
    volume_ml: float | None
    longest_diameter_mm: float | None
    mean_intensity: float | None
    intensity_unit: str
    centroid_mm: list[float] | None = Field(description="RAS+ mm")
    mask_url: str | None


class MeasuredMask(FindingObject):
    mask_id: str
    question: str


class Measurements(Exact):
    object: Literal["list"]
    scan: str
    data: list[MeasuredMask]


class DeixisObject(Exact):
    """What goes beside the text. corrections: what was changed in the model's words because the measurements said
    otherwise. timings: seconds."""

    scan: str
    findings: list[FindingObject]
    corrections: list[str]
    notes: list[str]
    timings: dict[str, float | None]


class CompletionMessage(Exact):
    role: Literal["assistant"]
    content: str
    refusal: None


class Choice(Exact):
    index: Literal[0]
    message: CompletionMessage
    logprobs: None
    finish_reason: Literal["stop", "length"]


class UsageObject(Exact):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(Exact):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: UsageObject
    deixis: DeixisObject


class ModelObject(Exact):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    sha256: str | None = Field(description="of the base and everything trained; null when untrained")
    base: dict[str, str]


class Models(Exact):
    object: Literal["list"]
    data: list[ModelObject]


class Queue(Exact):
    computing: bool
    waiting: int
    limit: int


class Health(Exact):
    """live: the server answers. ready: it can compute."""

    live: Literal[True]
    ready: bool
    version: str
    model: str | None = Field(description="sha256 of the base and everything trained")
    queue: Queue
    scans: int
    scans_limit: int
    session_bytes: int
    session_bytes_limit: int


class ErrorObject(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None
    position: int | None = Field(None, description="in line, of a question that was refused for it")


class ErrorBody(BaseModel):
    error: ErrorObject
