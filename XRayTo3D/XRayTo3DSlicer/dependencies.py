"""Python packages that Slicer does not bring along: installed when the user starts work and agrees, never at import."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from importlib import metadata
from subprocess import CalledProcessError

import slicer
from slicer.i18n import tr as _

from XRayTo3DLib.errors import InputError

#: PyTorch, which the PyTorch extension installs, because the right build depends on the computer's graphics card.
TORCH = "torch>=2.4"
#: What finds the folder of downloads; it is small, and all that loading a sample needs.
FOLDERS = "platformdirs>=4"
#: The rest, which pip installs.
PACKAGES = ("scikit-image>=0.22", "jsonschema>=4.20", FOLDERS)
#: What simulating, reconstructing and comparing need; showing, loading and segmenting need nothing of it.
ALL = (TORCH, *PACKAGES)
#: What makes X-rays of a CT faster, and nothing else: without it everything works.
FASTER = "numba>=0.60"
#: Where the application's settings remember for which version of it the user was asked.
_ASKED = "XRayTo3D/AskedForFaster"


class Unavailable(Exception):  # noqa: N818 - to decline is no error
    """Packages are missing and the user knows why already: they were declined, or a dialog said why they failed."""


def missing(needed: Sequence[str] = ALL) -> list[str]:
    """Those of some requirements that are not installed in the version needed; nothing is imported for that."""
    return [requirement for requirement in needed if not _fulfilled(requirement)]


def ensure(needed: Sequence[str] = ALL) -> None:
    """Install what is missing of ``needed``, after asking once for all of it.

    Raises :class:`Unavailable` when the user declines, and :class:`InputError` when it is not there afterwards.

    What only makes the work faster is offered in the same question, and by itself once and never again. When it cannot be
    installed, or is not wanted, the log says so and the work goes on.
    """
    absent = missing(needed)
    if absent:
        _ensureNeeded(absent)
    elif TORCH in needed and _offerFaster():
        _installFaster()


def _ensureNeeded(absent: list[str]) -> None:
    faster = TORCH in absent and not _fulfilled(FASTER) and not slicer.app.testingEnabled()
    question = _(
        "XRayTo3D needs these Python packages, which are not part of 3D Slicer:\n\n{packages}\n\nThey are "
        "downloaded from the Internet into Slicer's own Python. Install them now?"
    ).format(packages="\n".join(absent))
    if TORCH in absent:
        question += "\n\n" + _("PyTorch takes 0.2 to 3 GB and some minutes.")
    if faster:
        question += "\n\n" + _("With them comes {package}, which makes simulated X-rays faster.").format(package=FASTER)
    if not slicer.util.confirmOkCancelDisplay(question, _("XRay to 3D: install Python packages")):
        raise Unavailable(
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
    absent = missing(absent)
    if absent:
        raise InputError(
            _("The Python packages {packages} could not be installed: see the error log, restart Slicer, try again.").format(
                packages=", ".join(absent)
            )
        )
    if faster:
        _installFaster()


def _offerFaster() -> bool:
    """Whether the user, who has everything that is needed, wants the faster way too; asked once for each version of it."""
    if _fulfilled(FASTER) or slicer.app.testingEnabled():
        return False
    if slicer.app.userSettings().value(_ASKED) == FASTER:
        return False
    _rememberAsking()
    question = _(
        "The Python package {package} makes simulated X-rays faster; without it everything works. Download it from the "
        "Internet (about 60 MB) and install it into Slicer's own Python now? This is asked only once."
    ).format(package=FASTER)
    return slicer.util.confirmOkCancelDisplay(question, _("XRay to 3D: install a Python package"))


def _rememberAsking() -> None:
    slicer.app.userSettings().setValue(_ASKED, FASTER)


def _installFaster() -> None:
    """Install what makes the work faster; a failure is a line in the log."""
    _rememberAsking()
    try:
        # It limits numpy from above. Rather no numba than another numpy than the one that Slicer was built with.
        requirements = [FASTER, f"numpy=={metadata.version('numpy')}"]
        try:
            from slicer.packaging import pip_install
        except ImportError:
            slicer.util.pip_install(requirements)
        else:  # with its progress it would also show a failure, which is none here
            pip_install(requirements, show_progress=False)
        importlib.invalidate_caches()
        failure = None if _fulfilled(FASTER) else "it is not there afterwards"
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    if failure is not None:
        logging.warning("XRay to 3D: %s could not be installed (%s); X-rays are simulated without it, slower.", FASTER, failure)


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
            try:  # The user has agreed already.
                pip_ensure([Requirement(r) for r in requirements], prompt_install=False, requester="XRay to 3D")
            except CalledProcessError as error:  # its own dialog has shown the whole log
                raise Unavailable(str(_failed(", ".join(requirements), error))) from error
    except Unavailable:
        raise
    except Exception as error:
        raise _failed(", ".join(requirements), error) from error


def _failed(what: str, error: Exception) -> InputError:
    logging.exception("installing %s failed", what)
    return InputError(
        _("{what} could not be installed ({error}): check the Internet connection and the error log, and try again.").format(
            what=what, error=type(error).__name__
        )
    )
