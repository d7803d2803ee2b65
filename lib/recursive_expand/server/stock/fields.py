"""The typed keys of requests that stock clients send as free JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator

from recursive_expand.errors import InputError
from recursive_expand.server.inputs import parse_object

Name = Annotated[str, Field(max_length=200)]
"""Who or what, as a client calls it."""
Devices = Annotated[str, Field(pattern=r"^(all|\d{1,3}(,\d{1,3}){0,15})$")]
"""GPUs as CUDA_VISIBLE_DEVICES takes them: all, or numbers separated by commas."""

NOT_IN_INFER = ("image", "model", "session", "session_id", "bundle_path", "label_tag")
"""What MONAI Label would read from POST /infer's params over the request's own values."""
NOT_IN_IMAGE_INFO = ("id", "path", "name", "strategy", "image", "ext", "label")
"""What clients read from an image's info as said by the server."""


class SampleFields(BaseModel):
    """POST /activelearning: what a strategy knows; the rest is the client's own and is not kept."""

    client_id: Name | None = Field(default=None, description="Who asks; a lease belongs to them.")
    skip: Name | None = Field(default=None, description="A case that they give back.")


class InferFields(BaseModel):
    """POST /infer: what the answer depends on; the rest is the client's own and is not kept."""

    result_extension: Name | None = None
    result_dtype: Name | None = None
    save_label: StrictBool = False

    @field_validator("save_label")
    @classmethod
    def _never(cls, value: bool) -> bool:
        if value:
            raise ValueError("proposals are kept by the server itself; a label is submitted by PUT /datastore/label")
        return value


class TrainFields(BaseModel):
    """POST /train."""

    model_config = ConfigDict(extra="forbid")

    client_id: Name | None = None
    multi_gpu: StrictBool = True
    gpus: Devices = "all"


class BatchFields(TrainFields):
    """POST /batch/infer; of MONAI Label's defaults those that mean nothing here are taken and not used."""

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?)$")] | None = None
    logging: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None
    save_label: StrictBool | None = None
    label_tag: Literal["original"] | None = None
    max_workers: Annotated[int, Field(strict=True, ge=0, le=64)] | None = None
    max_batch_size: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] | None = None


class SubmissionFields(BaseModel):
    """PUT /datastore/label: what a verdict keeps is held to POST /recursive/verdicts' limits; the rest is passed on."""

    model_config = ConfigDict(extra="allow")

    client_id: Name | None = None
    reviewer: Name | None = None
    reason: str | None = Field(default=None, max_length=200)
    comment: str | None = Field(default=None, max_length=2000)
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


Fields = TypeVar("Fields", bound=BaseModel)


def form_fields(kind: type[Fields], text: str, name: str = "params") -> Fields:
    """Typed keys from a form's JSON field.

    Raises:
        InputError: no JSON object.
        RequestValidationError: a key that is not known or not of its type.
    """
    try:
        return kind.model_validate(parse_object(text, name, limit=4 * 2**20))
    except ValidationError as error:
        raise RequestValidationError(
            [{**found, "loc": ("body", name, *found["loc"])} for found in error.errors(include_url=False)]
        ) from error


def infer_fields(text: str) -> InferFields:
    """The params of POST /infer.

    Raises:
        InputError: also for a key that would name another image, model or place.
    """
    for key in NOT_IN_INFER:
        if key in parse_object(text, "params", limit=4 * 2**20):
            raise InputError(f"params.{key}", "is not taken here; the image and the model are named in the address")
    return form_fields(InferFields, text)


def image_info(text: str, name: str) -> dict[str, Any]:
    """What a client attaches to an image.

    Raises:
        InputError: also for a key that the server answers itself.
    """
    info = parse_object(text, name)
    for key in NOT_IN_IMAGE_INFO:
        if key in info:
            raise InputError(f"{name}.{key}", "is the server's to say; choose another key")
    return info
