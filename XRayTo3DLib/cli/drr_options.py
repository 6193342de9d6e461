"""The options of ``xrayto3d drr``: geometry, physics and output."""

from __future__ import annotations

import argparse
from pathlib import Path

from XRayTo3DLib.cli.options import FORMATS, at_least_zero, count, detector_size, finite, positive, whole
from XRayTo3DLib.geometry.views import (
    BEAMS,
    DEFAULT_SOURCE_TO_DETECTOR,
    SCANNER_SOURCE_TO_DETECTOR,
    SCANNER_SOURCE_TO_ISOCENTRE,
    VIEW_WORDS,
)

#: Those of XRayTo3DLib.images.display, with DICOM's words for the first two.
LOOKS = ("film", "inverted", "opacity", "clinical", "monochrome2", "monochrome1")
USAGE = "xrayto3d drr CT (--view VIEW | --matrix FILE) ... --out PATH [options]"
DESCRIPTION = f"""\
Simulate X-rays (digitally reconstructed radiographs) of a CT.

Each view becomes an image of line integrals -ln(I / I0) (float32, dimensionless) that carries its geometry, and a
16-bit PNG for the eye beside it. The CT's own direction matrix counts, so an oblique CT needs no resampling. The names of
the files are printed, and notes of what was simulated.

views: {VIEW_WORDS}
"""
EPILOG = """\
examples:
  xrayto3d drr ct.nii.gz --view AP --view LAT --out drr
        two cone beams, 1500 mm from source to detector, detectors just large enough, aimed at the CT's centre
  xrayto3d drr ct.nrrd --view LAO30CRAN15 --sdd 1020 --sid 700 --size 512 --pixel 0.7 --out c-arm.dcm
        one DICOM file, an RT image with its exact geometry
  xrayto3d drr ct.nrrd --view AP --kilovolts 90 --photons 20000 --blur 0.4 --electronic-noise 20 --out noisy.nrrd
  xrayto3d drr ct.nrrd --view AP --insert screw.stl=titanium --insert 'vessels.nrrd:2=iodine 15' --out inserts
        titanium inside a closed surface, contrast agent where a label image is 2
  xrayto3d drr ct.nrrd --view AP --labels organs.nii.gz --transform pose.tfm --out structures
  xrayto3d drr dicom_folder --view AP --parallel --look clinical --percentiles 2 98 --format dcm --out drr
  xrayto3d drr ct.nrrd --view AP --view LAT --beam scanned --out topograms
        a CT's topograms: perspective across the patient, parallel along
  xrayto3d drr ct.nrrd --matrix calibration.txt --size 1024x1024 --pixel 0.194 --out drr
        a calibrated 3x4 matrix: LPS mm to (column, row), pixel [0, 0] centred on (0, 0)
  xrayto3d drr ct.nrrd --geometry rig.json --geometry camera1.txt --pixel 0.2 --out drr
        projections of this software (they say all), and a camera of Autoscoper with pixels of 0.2 mm

Files that hold their geometry (all but .png) can be given to reconstruct as they are:
  xrayto3d reconstruct --view AP=drr/AP.nrrd --view LAT=drr/LAT.nrrd --out result
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ct", metavar="CT", type=Path, help="CT in HU: any image SimpleITK reads, or a folder with a DICOM series")
    _add_geometry(parser.add_argument_group("geometry", "Lengths in mm, coordinates LPS."))
    _add_physics(
        parser.add_argument_group(
            "physics",
            "Without these an X-ray is ideal: one energy, no noise, sharp. They act in this order: inserts and beam, quantum\n"
            "noise, blur, electronic noise.",
        )
    )
    _add_output(parser.add_argument_group("output"))


def _add_geometry(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--view", action="append", default=[], metavar="VIEW", help="a view (see above); may be repeated")
    group.add_argument(
        "--matrix",
        "--geometry",
        dest="matrix",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="exact geometries in place of views: a 3x4 matrix as text or JSON, projections as JSON (of this software), a camera "
        "file of Autoscoper (MayaCam 1.0 or 2.0), or RTK's geometry (.xml); may be repeated",
    )
    group.add_argument(
        "--size",
        type=detector_size,
        metavar="N",
        help="detector pixels, N or ROWSxCOLUMNS (default: as large as the CT's shadow)",
    )
    group.add_argument("--pixel", type=positive, metavar="MM", help="side of a detector pixel in mm (default 1)")
    group.add_argument(
        "--sdd",
        type=positive,
        metavar="MM",
        help=f"source-to-detector distance in mm (default {DEFAULT_SOURCE_TO_DETECTOR:g})",
    )
    group.add_argument(
        "--sid",
        type=positive,
        metavar="MM",
        help="source-to-isocentre distance in mm (default 0.8 of --sdd; of a scanned beam 0.548)",
    )
    group.add_argument(
        "--beam",
        choices=BEAMS,
        help="cone (the default), parallel, or scanned: source and detector travel along the patient, as for a CT's topogram (by "
        f"default --sdd {SCANNER_SOURCE_TO_DETECTOR:g} --sid {SCANNER_SOURCE_TO_ISOCENTRE:g}) or in a slot scanner",
    )
    group.add_argument("--parallel", action="store_true", help="the same as --beam parallel")
    group.add_argument(
        "--isocentre",
        nargs=3,
        type=finite,
        metavar=("X", "Y", "Z"),
        help="where views aim, LPS mm (default: the CT's centre, where --transform puts it)",
    )
    group.add_argument(
        "--seen-from-detector",
        action="store_true",
        help="the pictures of --matrix are mirrored on purpose, as a C-arm shows them",
    )
    group.add_argument(
        "--transform",
        type=Path,
        metavar="FILE",
        help="a linear transform that moves the CT, and the --insert and --labels with it: ITK (.tfm, .txt, .h5, .mat) or a 4x4 "
        "matrix of LPS mm as text or JSON",
    )


def _add_physics(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--quality", choices=("full", "preview"), default="full", help="preview is faster and a little less exact (default full)"
    )
    group.add_argument(
        "--kilovolts",
        type=positive,
        metavar="KV",
        help="tube voltage in kV: a beam of many energies through soft tissue and bone (default: the one energy of the CT's "
        "calibration, about 70 keV)",
    )
    group.add_argument(
        "--insert",
        dest="inserts",
        action="append",
        default=[],
        metavar="FILE=WHAT",
        help="what the CT does not hold: a label image (all that is not 0, or FILE:LABEL=WHAT) or a closed surface (.stl, .ply, "
        ".obj, .vtp, mm); WHAT is titanium, steel, cobalt-chromium or an attenuation in 1/mm, which take the place of the tissue, "
        "or 'iodine N', contrast agent with N mg/mL, which adds to it; may be repeated",
    )
    group.add_argument(
        "--photons", type=positive, metavar="N", help="quantum noise: photons a pixel of the open beam (default: no noise)"
    )
    group.add_argument(
        "--electronic-noise",
        type=at_least_zero,
        default=0.0,
        metavar="N",
        help="standard deviation in photons a pixel; needs --photons (default 0)",
    )
    group.add_argument(
        "--blur",
        type=at_least_zero,
        default=0.0,
        metavar="MM",
        help="blur of the detector, full width at half maximum in mm (default 0)",
    )
    group.add_argument("--seed", type=whole, default=0, metavar="N", help="of the noise: the same seed, the same noise (default 0)")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="PATH",
        help=f"a folder, or for a single view a file (.{', .'.join(FORMATS)})",
    )
    group.add_argument(
        "--format",
        choices=FORMATS,
        help="of the files in a folder (default nrrd): dcm is a DICOM RT image, png only the picture for the eye, without geometry",
    )
    group.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="a label image or .seg.nrrd: also writes, for each view and structure, the line integrals of that structure alone "
        "(VIEW_NAME.nrrd) and its mask (VIEW_NAME_mask.png), and for each view all outlines over its picture "
        "(VIEW_outlines.png); the structures are always ideal",
    )
    group.add_argument(
        "--look",
        type=str.lower,
        choices=(*LOOKS, "none"),
        default="film",
        help="of the PNG for the eye: film (bone white, MONOCHROME2), inverted (bone black, MONOCHROME1), opacity, clinical "
        "(window by percentiles), or none (default film)",
    )
    group.add_argument(
        "--percentiles",
        nargs=2,
        type=finite,
        metavar=("LOW", "HIGH"),
        help="the percentiles shown black and white by --look clinical (default 1 99)",
    )
    group.add_argument(
        "--keep-identity",
        action="store_true",
        help="DICOM files get the patient's name, birth date and sex, the accession number, the study's description and the "
        "referring physician of a DICOM CT; without it only the patient's identifier, the study and the frame of reference",
    )
    group.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all)")
