"""Python packages that Slicer does not bring along: installed when the user starts work and agrees, never at import."""

from __future__ import annotations

import importlib
import logging
from importlib import metadata

import slicer
from slicer.i18n import tr as _

from XRayTo3DLib.errors import InputError

#: PyTorch, which the PyTorch extension installs, because the right build depends on the computer's graphics card.
TORCH = "torch>=2.4"
#: The rest, which pip installs.
PACKAGES = ("scikit-image>=0.22", "jsonschema>=4.20", "platformdirs>=4")


def missing() -> list[str]:
    """The requirements that are not installed in the version needed; nothing is imported for that."""
    return [requirement for requirement in (TORCH, *PACKAGES) if not _fulfilled(requirement)]


def ensure() -> None:
    """Install what is missing, after asking once for all of it; :class:`InputError` when it is not there afterwards."""
    absent = missing()
    if not absent:
        return
    question = _(
        "XRayTo3D needs these Python packages, which are not part of 3D Slicer:\n\n{packages}\n\nThey are "
        "downloaded from the Internet into Slicer's own Python; PyTorch takes 0.2 to 3 GB and some minutes. "
        "Install them now?"
    ).format(packages="\n".join(absent))
    if not slicer.util.confirmOkCancelDisplay(question, _("XRay to 3D: install Python packages")):
        raise InputError(
            _(
                "The Python packages {packages} are not installed, so nothing was started: press the button again to install them."
            ).format(packages=", ".join(absent))
        )
    if TORCH in absent:
        _installTorch()
    rest = [requirement for requirement in absent if requirement != TORCH]
    if rest:
        _installPackages(rest)
    importlib.invalidate_caches()
    absent = missing()
    if absent:
        raise InputError(
            _("The Python packages {packages} could not be installed: see the error log, restart Slicer, try again.").format(
                packages=", ".join(absent)
            )
        )


def _fulfilled(requirement: str) -> bool:
    name, minimum = requirement.split(">=")
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return _numbers(found) >= _numbers(minimum)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (2, 13, 0) of 2.13.0+cpu."""
    numbers = []
    for piece in version.split("+")[0].split("."):
        if not piece.isdigit():
            break
        numbers.append(int(piece))
    return tuple(numbers)


def _installTorch() -> None:
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        raise InputError(
            _("The PyTorch extension is missing: install it with the Extensions Manager, restart Slicer and try again.")
        ) from None
    try:
        installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=False, torchVersionRequirement=TORCH.removeprefix("torch")
        )
    except Exception as error:
        raise _failed("PyTorch", error) from error
    if installed is None:
        raise InputError(
            _("PyTorch could not be installed: install it with the module PyTorch Utils, restart Slicer and try again.")
        )


def _installPackages(requirements: list[str]) -> None:
    """With ``slicer.packaging`` (Slicer 5.12 and later), else with ``slicer.util.pip_install``."""
    try:
        try:
            from packaging.requirements import Requirement
            from slicer.packaging import pip_ensure
        except ImportError:
            slicer.util.pip_install(requirements)
        else:
            # The user has agreed already.
            pip_ensure([Requirement(r) for r in requirements], prompt_install=False, requester="XRay to 3D")
    except Exception as error:
        raise _failed(", ".join(requirements), error) from error


def _failed(what: str, error: Exception) -> InputError:
    logging.exception("installing %s failed", what)
    return InputError(
        _("{what} could not be installed ({error}): check the Internet connection and the error log, and try again.").format(
            what=what, error=type(error).__name__
        )
    )
