"""What the tube and the detector do in one exposure: a value that travels whole from shell, console and panel to the DRR."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.vectors import number
from XRayTo3DLib.simulation.beam import Beam, tube_beam

#: More photons a pixel than any detector counts, and far from where Poisson numbers overflow.
_MOST_PHOTONS = 1e12
_WIDEST_BLUR_MM = 1000.0


@dataclass(frozen=True)
class Exposure:
    """The physics of one exposure; the default is ideal: one energy, no noise, sharp.

    - ``kilovolts``: tube voltage of a polychromatic beam, 40 to 150 kV (see :mod:`.beam`); ``None`` is a beam of the one
      energy at which HU are measured, about 70 keV;
    - ``photons``: mean number a pixel in the open beam, for quantum noise; ``None`` is no noise. A polychromatic beam is
      treated like one of photons that all bring the mean signal, which leaves out a few per cent of noise;
    - ``electronic_noise``: standard deviation, in photons a pixel;
    - ``blur``: full width at half maximum in mm at the detector;
    - ``seed``: a whole number; the same seed and view name give the same noise, other names other noise.

    Raises :class:`InputError` for values that cannot be.
    """

    kilovolts: float | None = None
    photons: float | None = None
    electronic_noise: float = 0.0
    blur: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("kilovolts", "photons", "electronic_noise", "blur"):
            value = getattr(self, name)
            if value is not None or name not in ("kilovolts", "photons"):
                object.__setattr__(self, name, number(value, f"{name.replace('_', ' ')} of the exposure"))
        if self.photons is not None and not 1 <= self.photons <= _MOST_PHOTONS:
            raise InputError(
                f"{self.photons:g} photons a pixel make no picture: give 1 to {_MOST_PHOTONS:g} (about 1e5 for a radiograph, 1e3 "
                "for fluoroscopy)."
            )
        if not 0 <= self.electronic_noise <= _MOST_PHOTONS:
            raise InputError(
                f"The electronic noise of {self.electronic_noise:g} photons is no standard deviation: give a number from 0 to "
                f"{_MOST_PHOTONS:g}."
            )
        if self.electronic_noise > 0 and self.photons is None:
            raise InputError("The electronic noise is given in photons a pixel, but the number of photons is not: give both.")
        if not 0 <= self.blur <= _WIDEST_BLUR_MM:
            raise InputError(
                f"A blur of {self.blur:g} mm is no width: give one from 0 to {_WIDEST_BLUR_MM:g} mm (0.1 to 0.5 mm is usual)."
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise InputError(f"The seed {self.seed!r} must be a whole number of at least 0: give another one.")
        object.__setattr__(self, "seed", int(self.seed))
        _ = self.beam  # refuses a voltage that no tube has

    @cached_property
    def beam(self) -> Beam | None:
        """The polychromatic beam, or ``None`` for one energy."""
        return None if self.kilovolts is None else tube_beam(self.kilovolts)

    @property
    def is_ideal_detector(self) -> bool:
        """Whether the detector adds nothing: no noise and no blur."""
        return self.photons is None and self.blur == 0
