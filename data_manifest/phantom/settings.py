"""The settings that distinguish one phantom from another.

The defaults are the demonstration's: at 3/16 of the paper's canvas, with effects chosen so that
networks of a few minutes' training land near the paper's table of combinations.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A block of settings: frozen, closed to unknown keys, and every number in it is finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _no_bool(value):
    if isinstance(value, bool):
        raise ValueError("should be a number, not yes or no")
    return value


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("should have its lower end first")
    return pair


Number = Annotated[float, BeforeValidator(_no_bool)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=10**9)]
Natural = Annotated[Count, Field(ge=1)]
Range = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]
Effect = Annotated[Number, Field(ge=0, le=10)]
Ends = tuple[Share, Share]  # at the lowest and the highest latent, in either order


class PhantomSettings(Section):
    """Settings of the phantom; lengths in px of its picture, grey from 0 (black) to 1 (white).

    A latent is a number with standard deviation 1 given the truth; an *effect* is the distance
    between its means for malignant and benign.  ``context_effect=0`` makes the control: nothing
    away from the lesions then tells of their truth, while every other draw stays the same.
    """

    # who is in it
    training: Natural = Field(500, description="patients with lesions, two views each")
    negative: Count = Field(120, description="further training patients, without lesions")
    aggregation: Count = Field(0, description="patients with lesions for f_agg alone, two views")
    aggregation_negative: Count = Field(0, description="the same, without lesions")
    validation: Natural = Field(240, description="patients with lesions, two views each")
    test: Natural = Field(400, description="patients with lesions, two views each")
    prevalence: Share = Field(0.4, gt=0, lt=1, description="of malignancy among the lesions")
    second_lesion: Share = Field(0.3, description="of the breasts with lesions that have two")
    second_differs: Share = Field(
        0.48,
        description="of the breasts with two: one of each truth; 2p(1-p) makes them independent",
    )
    right_breasts: Share = Field(
        0.5, description="of the patients; their chest wall is at the right"
    )

    # how much truth shows
    local_effect: Effect = Field(1.22, description="of u, one a lesion and view: AUC Phi(d/sqrt 2)")
    context_effect: Effect = Field(1.5, description="of c, one a half of the breast; 0 = control")
    view_correlation: Share = Field(0.3, description="of a latent between CC and MLO, given truth")
    local_range: Positive = Field(2.4, description="|u| from which a lesion looks no different")
    context_range: Positive = Field(2.2, description="|c| from which the specks look no different")

    # the picture
    rows: Count = Field(576, ge=64, description="px of the picture, as of the canvas")
    cols: Count = Field(384, ge=64, description="px of the picture, as of the canvas")
    noise: Share = Field(0.012, description="standard deviation of a pixel's grey")
    side_max: Positive = Field(
        48.0, description="px: no window is larger, so none bridges to a speck"
    )
    speck_margin: Number = Field(
        8.0, ge=6, description="px: a speck's own radius (5) and a window's rim"
    )

    # the lesion: what follows is drawn free of its truth, except where it says u
    core_radius: Range = Field((9.0, 15.0), description="px, uniform")
    core_contrast: Range = Field((0.15, 0.21), description="grey, uniform")
    half_margin: Positive = Field(
        48.0, description="px at least from a lesion's centre to the border between the halves"
    )
    spicules: Natural = Field(14, description="per lesion")
    spicule_length: tuple[Positive, Positive] = Field(
        (0.25, 1.5), description="radii beyond the core, lowest, highest u"
    )
    spicule_contrast: Ends = Field((0.02, 0.16), description="grey at the lowest and highest u")
    core_texture: Ends = Field((0.01, 0.10), description="grey, SD in the core, lowest, highest u")

    # the context: specks
    speck_spacing: Count = Field(
        20, ge=8, description="px: side of a square that holds one or none"
    )
    speck_sd: Positive = Field(1.25, le=1.6, description="px: standard deviation of its Gaussian")
    speck_contrast: Ends = Field((0.25, 0.70), description="grey at the lowest and highest c")

    @property
    def window_reach(self) -> float:
        """px: a window that touches an outline shows no point farther than this from it."""
        return self.side_max * math.sqrt(2)

    @property
    def reach(self) -> float:
        """px: no speck's centre lies nearer to an outline."""
        return self.window_reach + self.speck_margin

    @model_validator(mode="after")
    def _room(self):
        need = 2 * (self.reach + self.core_radius[1])
        if min(self.rows, self.cols) < need:
            raise ValueError(
                f"{self.rows} x {self.cols} px leave no room for specks out of reach of windows of "
                f"{self.side_max:g} px; at least {need:.0f} px each way, or lower side_max"
            )
        if self.half_margin > self.rows / 4:
            raise ValueError(
                f"half_margin {self.half_margin:g} px leaves no place for a lesion in a half; "
                f"at most a quarter of the picture's {self.rows} rows"
            )
        if self.second_differs / 2 > min(self.prevalence, 1 - self.prevalence):
            raise ValueError(
                f"second_differs {self.second_differs:g} asks for more mixed pairs than a "
                f"prevalence of {self.prevalence:g} allows; at most twice the rarer truth's share"
            )
        if self.core_radius[1] > 18:
            raise ValueError(f"core_radius: at most 18 px, not {self.core_radius[1]:g}")
        return self
