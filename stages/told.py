"""What the JSON reports are made of: figures of known names, from which their published schemas follow."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1 + 1e-9)]
ByClass = Annotated[dict[str, Share], Field(description="By class; one without films is left out.")]


class Told(BaseModel):
    """Figures of known names: another name is an error, and so is a number that JSON does not know."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def json_schema(report: type[Told]) -> dict[str, Any]:
    """Return the JSON Schema of a report."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **report.model_json_schema()}
