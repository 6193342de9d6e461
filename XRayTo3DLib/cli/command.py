"""Where the command starts: arguments to a subcommand, and its end to an exit code."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from typing import NoReturn

from XRayTo3DLib.cli import demo, drr, evaluate, models, parametrized, population, reconstruct, shape, train
from XRayTo3DLib.cli.codes import BAD_INPUT, NOT_PRINTED, STOPPED
from XRayTo3DLib.cli.stopping import stoppable
from XRayTo3DLib.cli.streams import patient_streams, plain
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.progress import Cancelled

#: Errors of the system for names that cannot be those of files.
_BAD_NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)

_DESCRIPTION = """\
3D from one or two X-rays: simulated X-rays (DRRs) of a CT, reconstruction of a volume with a bundled model, correction
of the result until it agrees with the X-rays (fusion), closed surfaces, and measured figures.

Research software, not for diagnosis. Two X-rays do not determine a volume: what they leave open, the model decides.
"""
_EPILOG = """\
start here:
  xrayto3d demo                                      one real chest CT all the way through, with a report
  xrayto3d COMMAND --help                            options with their units, and examples

Lengths are in mm, angles in degrees, CTs in HU. Coordinates are LPS (x to the left, y to the back, z to the head).
Exit codes: 0 done, 1 done but the summary could not be printed, 2 bad input (one sentence says what, where and what to
do; nothing was written), 130 stopped by Ctrl-C or terminated.
"""


class _Parser(argparse.ArgumentParser):
    """Says a wrong argument in one sentence, as every other wrong input."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {' '.join(plain(message).split()).rstrip('.')}: see `{self.prog} --help`.\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; each subcommand puts its function into ``run``."""
    parser = _Parser(
        prog="xrayto3d",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"xrayto3d {_version()}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (demo, drr, reconstruct, shape, parametrized, evaluate, models, train, population):
        module.add_parser(subparsers)
    return parser


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("xrayto3d")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def run_command(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is the command line by default."""
    with patient_streams() as (out, err):
        code = _run(argv)
        out.flush()
        if isinstance(out.failure, OSError) and out.failure.errno not in (None, errno.EPIPE):
            # The work is done and its files are there: only what was to be read on the terminal is lost.
            print(f"xrayto3d: The summary could not be printed ({out.failure.strerror}).", file=err)
            code = code or NOT_PRINTED
        return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as end:  # --help, --version and wrong arguments
        return int(end.code or 0)
    try:
        with stoppable():
            return _work(arguments)
    except KeyboardInterrupt:  # a second one
        return STOPPED


def _work(arguments: argparse.Namespace) -> int:
    try:
        arguments.run(arguments)
    except InputError as error:
        return _say(str(error), BAD_INPUT)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("XRayTo3D"):
            raise
        return _say(f"The Python package {error.name} is missing: run `pip install 'xrayto3d[demo]'`.", BAD_INPUT)
    except MemoryError:
        return _say("The memory is not enough for this: use a smaller grid (--grid-size) or detector (--size).", BAD_INPUT)
    except OSError as error:
        if error.errno not in _BAD_NAMES:
            raise
        return _say(f"{str(error.filename)[:80]!r} is no name of a file here ({error.strerror}): correct it.", BAD_INPUT)
    except (KeyboardInterrupt, Cancelled):
        return _say("Stopped.", STOPPED)
    return 0


def _say(sentence: str, code: int) -> int:
    print(f"xrayto3d: {' '.join(plain(sentence).split())}", file=sys.stderr)
    return code
