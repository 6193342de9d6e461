"""One operation at a time, with its progress, a button that cancels it, and its errors shown."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.progress import Cancelled, Progress
from XRayTo3DSlicer import dependencies
from XRayTo3DSlicer.panels.signal import Signal
from XRayTo3DSlicer.panels.ui_files import loadUI


class Work:
    """Runs operations in the main thread, where the scene lives; the panel answers at each step of their progress."""

    def __init__(self) -> None:
        self.widget = loadUI("XRayTo3DWork")
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.ui.cancelButton.clicked.connect(self.cancel)
        #: Emitted with whether an operation is running.
        self.busyChanged = Signal()
        self.busy = False
        self._cancelled = False
        self._show(False)

    def run(self, what: str, operation: Callable[[Progress], Any], needs: Sequence[str] = ()) -> Any:
        """The result of ``operation``, called with a progress, or ``None`` when it failed or was cancelled.

        ``what`` is its name for the user; the packages that it ``needs`` are installed first, if the user agrees. No
        exception leaves here: a slot has nobody who could catch it.
        """
        if self.busy:
            return None
        result = None
        outcome = _("{what}: failed, see the error log.").format(what=what)
        self._cancelled = False
        self._show(True)
        self.say(what)
        try:
            if needs:
                dependencies.ensure(needs)
            result = operation(self._progress)
            outcome = _("{what}: done.").format(what=what)
        except Cancelled:
            outcome = _("{what}: cancelled; the scene is as it was.").format(what=what)
        except dependencies.Unavailable as reason:
            outcome = str(reason)
        except InputError as error:
            outcome = str(error)
            slicer.util.errorDisplay(outcome, _("XRay to 3D"))
        except Exception as error:
            logging.exception(what)
            text = _("{what}: failed unexpectedly.").format(what=what)
            slicer.util.errorDisplay(f"{text}\n\n{error}", _("XRay to 3D"), detailedText=traceback.format_exc())
        finally:
            self._show(False)
            self.say(outcome)
        return result

    def cancel(self) -> None:
        """Stop the running operation at the next step of its progress."""
        self._cancelled = True
        self.ui.cancelButton.enabled = False

    def say(self, text: str) -> None:
        """Show a line of text."""
        self.ui.statusLabel.text = text

    def _progress(self, fraction: float, text: str) -> None:
        self.ui.progressBar.value = round(100 * min(max(fraction, 0.0), 1.0))
        self.say(text)
        slicer.app.processEvents()
        if self._cancelled:
            raise Cancelled

    def _show(self, busy: bool) -> None:
        self.busy = busy
        self.ui.progressBar.value = 0
        self.ui.progressBar.visible = busy
        self.ui.cancelButton.visible = busy
        self.ui.cancelButton.enabled = busy
        self.busyChanged.emit(busy)
