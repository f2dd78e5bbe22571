"""The recipe of the copies: augment's parameters, which training reads too where it draws copies itself."""

from __future__ import annotations

from pydantic import Field, field_validator

from stages.contract import Params
from stages.films.chain import Chain
from stages.films.codec import Encoding
from stages.films.frame import Frame
from stages.films.geometry import Interpolation, Margins
from stages.films.operations import Brightness, Flip, Operation, Rotate
from stages.folder import Layout


class AugmentParams(Params):
    """The recipe of the copies."""

    copies: int = Field(20, ge=0, le=9999, description="Copies of every training film, beside the original.")
    operations: tuple[Operation, ...] = Field(
        (Brightness(), Rotate(), Flip()), description="The chain, in its order; each kind at most once."
    )
    margins: Margins = Field(
        "cover",
        description="What a rotation lets in from beyond the frame: black (the 2020 recipe), reflect, replicate; "
        "cover zooms so far that nothing does.",
    )
    interpolation: Interpolation = Field(
        "bilinear", description="How the warp reads between pixels: nearest (the 2020 recipe) or bilinear."
    )
    seed: int = Field(0, description="Key of the draws, with the film's hash, the copy and the operation.")
    layout: Layout = Field(
        "shards",
        description="shards: Parquet files of images beside their rows; folder: split/label/name files.",
    )
    encoding: Encoding = Field("jpeg", description="jpeg, png or pgm; the last two are lossless.")
    quality: int = Field(95, ge=1, le=100, description="JPEG quality; the 2020 recipe used 75.")

    @field_validator("operations")
    @classmethod
    def _each_once(cls, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        kinds = [operation.op for operation in operations]
        twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} more than once; each operation fills its own columns once")
        return operations

    def chain(self, frame: Frame) -> Chain:
        """Return the chain of a frame."""
        return Chain(self.operations, self.margins, self.interpolation, frame, self.seed)
