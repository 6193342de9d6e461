"""Pictures and compressed DICOM: every variant of the same X-ray gives the same values, and what is refused says why."""

from __future__ import annotations

import io
import os
import threading

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom import encaps
from pydicom.uid import DeflatedExplicitVRLittleEndian, HTJ2KLossless, JPEGBaseline8Bit, RLELossless
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkIOImage import vtkPNGWriter
from xray_files import GEOMETRY, write_dicom

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.quiet import quiet
from XRayTo3DLib.io.radiograph_values import PICTURE_WHITE
from XRayTo3DLib.io.radiographs import read_radiograph


@pytest.fixture
def grey() -> np.ndarray:
    """8 bits that differ along both axes, 24 x 32, without any symmetry."""
    rows, columns = np.mgrid[:24, :32]
    return (5 * rows + 3 * columns + (rows > 15) * (columns > 20) * 30).astype(np.uint8)


def read(path) -> np.ndarray:
    return read_radiograph(path, "AP", 0.5).line_integrals


def expected(values: np.ndarray) -> np.ndarray:
    values = values.astype(float)
    return (values - values.min()) / np.ptp(values) * PICTURE_WHITE


def png16(path, channels: np.ndarray) -> None:
    """A PNG of 16 bits a channel, which Pillow does not write."""
    image = vtkImageData()
    image.SetDimensions(channels.shape[1], channels.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(channels[::-1].reshape(-1, channels.shape[2]).astype(np.uint16), deep=True))
    writer = vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()


def test_variants_of_a_grey_picture(tmp_path, grey):
    deep = grey.astype(np.uint16) * 250 + 7
    opaque, black = np.full_like(grey, 255), np.zeros_like(grey)
    tint = np.stack([grey // 2 + 60, grey // 2 + 50, grey // 2 + 30], axis=-1)
    one_level = np.stack([grey, grey, grey + 1], axis=-1)
    palette = Image.fromarray(grey).convert("P")
    cases = {
        "l.png": Image.fromarray(grey), "l.bmp": Image.fromarray(grey), "l.webp": Image.fromarray(grey).convert("RGB"),
        "i16.png": Image.fromarray(deep), "i16.tif": Image.fromarray(deep), "f.tif": Image.fromarray(grey.astype(np.float32)),
        "la.png": Image.fromarray(np.stack([grey, opaque], axis=-1)), "rgb.tif": Image.fromarray(np.stack([grey] * 3, axis=-1)),
        "rgba.png": Image.fromarray(np.stack([grey] * 3 + [opaque], axis=-1)), "p.png": palette,
        "level.png": Image.fromarray(one_level), "tint.png": Image.fromarray(tint),
    }  # fmt: skip
    for name, picture in cases.items():
        picture.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {"dpi": (300, 300)}))
        within = 0.05 if name.startswith(("tint", "level")) else 1e-5
        assert read(tmp_path / name) == pytest.approx(expected(grey), abs=within), name
        with pytest.raises(InputError, match="give the spacing"):  # what it says of prints and screens are no mm
            read_radiograph(tmp_path / name, "AP")
    for count in (2, 3, 4):
        channels = [deep] * (1 if count == 2 else 3) + [np.full_like(deep, 65535)] * (count != 3)
        png16(tmp_path / "deep.png", np.stack(channels, axis=-1))
        fine = deep + (np.arange(32) % 7).astype(np.uint16)  # below 8 bits
        png16(tmp_path / "fine.png", np.stack([fine if c is deep else c for c in channels], axis=-1))
        assert read(tmp_path / "deep.png") == pytest.approx(expected(deep), abs=1e-5), count
        assert read(tmp_path / "fine.png") == pytest.approx(expected(fine), abs=1e-5), count
    white_is_zero = Image.fromarray(65535 - deep)
    white_is_zero.save(tmp_path / "w.tif", tiffinfo={262: 0})
    assert read(tmp_path / "w.tif") == pytest.approx(expected(deep), abs=1e-5)
    Image.fromarray(grey).save(tmp_path / "l.png")
    (tmp_path / "l.png").rename(tmp_path / "no_ending")
    assert read(tmp_path / "no_ending") == pytest.approx(expected(grey), abs=1e-5)
    half = np.where(np.arange(32) < 4, black, opaque)
    Image.fromarray(np.stack([grey, half], axis=-1)).save(tmp_path / "half.png")
    assert not read_radiograph(tmp_path / "half.png", "AP", 0.5).valid[:, :4].any()


def test_pictures_are_turned_upright_as_they_say(tmp_path, grey):
    stored = {
        1: grey, 2: grey[:, ::-1], 3: grey[::-1, ::-1], 4: grey[::-1], 5: grey.T, 6: np.rot90(grey), 7: grey[::-1, ::-1].T,
        8: np.rot90(grey, -1),
    }  # fmt: skip
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[274] = orientation
        for ending in (".png", ".jpg", ".tif"):
            path = tmp_path / f"o{orientation}{ending}"
            Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif, **({"quality": 100} if ending == ".jpg" else {}))
            found = read_radiograph(path, "AP", 0.5)
            assert found.line_integrals == pytest.approx(expected(grey), abs=0.15 if ending == ".jpg" else 1e-5), path.name
            if orientation != 1:
                assert any("upright" in note for note in found.notes), path.name


def test_pictures_that_are_refused_say_why(tmp_path, grey, rng):
    marked = np.stack([grey] * 3, axis=-1)
    marked[2:5, 3:9] = (255, 0, 0)
    Image.fromarray(marked).save(tmp_path / "marked.png")
    found = read_radiograph(tmp_path / "marked.png", "AP", 0.5)
    assert not found.valid[2:5, 3:9].any() and found.valid[:, 10:].any() and any("Coloured marks" in note for note in found.notes)
    photo = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    for name, picture, words, more in (
        ("photo.png", Image.fromarray(photo), "colour image", {}),
        ("print.jpg", Image.fromarray(photo).convert("CMYK"), "CMYK colours, as for print", {}),
        ("text.png", Image.fromarray(grey > 99), "black and white only", {}),
        ("pages.tif", Image.fromarray(grey), "2 pages", {"save_all": True, "append_images": [Image.fromarray(grey)]}),
    ):
        picture.save(tmp_path / name, **more)
        with pytest.raises(InputError, match=words):
            read_radiograph(tmp_path / name, "AP", 0.5)


def test_compressed_pixels_are_those_that_were_stored(tmp_path, rng):
    pixels = (np.add.outer(np.arange(40), np.arange(48)) * 40 + rng.integers(0, 9, (40, 48))).astype(np.uint16)
    plain = write_dicom(tmp_path / "plain.dcm", pixels, **GEOMETRY)
    wanted = read_radiograph(plain).line_integrals
    dataset = pydicom.dcmread(plain)
    for name, compressor in (("j2k", "JPEG2000"), ("lossless", "JPEG")):
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "frame.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(pixels))
        frame = pydicom.dcmread(tmp_path / "frame.dcm")
        dataset.file_meta.TransferSyntaxUID, dataset.PixelData = frame.file_meta.TransferSyntaxUID, frame.PixelData
        dataset["PixelData"].is_undefined_length = True
        pydicom.dcmwrite(tmp_path / f"{name}.dcm", dataset)
        for photometric in ("MONOCHROME2", "MONOCHROME1"):
            dataset.PhotometricInterpretation = photometric
            pydicom.dcmwrite(tmp_path / "turned.dcm", dataset)
            found = read_radiograph(tmp_path / "turned.dcm").line_integrals
            assert found == pytest.approx(wanted if photometric == "MONOCHROME2" else PICTURE_WHITE - wanted, abs=1e-5), name
        dataset.PhotometricInterpretation = "MONOCHROME2"
        stream = encaps.get_frame(frame.PixelData, 0, number_of_frames=1)
        dataset.PixelData = encaps.encapsulate([stream[: len(stream) // 2]])
        dataset["PixelData"].is_undefined_length = True
        pydicom.dcmwrite(tmp_path / "cut.dcm", dataset)
        with pytest.raises(InputError, match="cut off"):
            read_radiograph(tmp_path / "cut.dcm")
    for syntax in (RLELossless, DeflatedExplicitVRLittleEndian):
        dataset = pydicom.dcmread(plain)
        if syntax == RLELossless:
            dataset.compress(syntax)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(tmp_path / "a.dcm", dataset)
        assert read_radiograph(tmp_path / "a.dcm").line_integrals == pytest.approx(wanted, abs=1e-6), syntax.name
    small, coded = (pixels // 16).astype(np.uint8), io.BytesIO()
    Image.fromarray(small).save(coded, "JPEG", quality=100)
    dataset = pydicom.dcmread(write_dicom(tmp_path / "b.dcm", small, bits=8, **GEOMETRY))
    dataset.file_meta.TransferSyntaxUID, dataset.PixelData = JPEGBaseline8Bit, encaps.encapsulate([coded.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(tmp_path / "b.dcm", dataset)
    assert read_radiograph(tmp_path / "b.dcm").line_integrals == pytest.approx(expected(small), abs=0.08)
    dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    pydicom.dcmwrite(tmp_path / "b.dcm", dataset)
    with pytest.raises(InputError, match="High-Throughput JPEG 2000"):
        read_radiograph(tmp_path / "b.dcm")


def test_pixels_that_are_short_long_signed_or_share_their_bits(tmp_path, grey):
    pixels = grey.astype(np.uint16) * 16
    wanted = read_radiograph(write_dicom(tmp_path / "a.dcm", pixels, **GEOMETRY)).line_integrals
    for change, words in ((slice(0, -200), "bytes of pixels where its header says"), (None, "bytes of pixels where")):
        dataset = pydicom.dcmread(tmp_path / "a.dcm")
        dataset.PixelData = dataset.PixelData[change] if change else dataset.PixelData * 2
        pydicom.dcmwrite(tmp_path / "b.dcm", dataset)
        with pytest.raises(InputError, match=f"{words}|fewer pixels"):
            read_radiograph(tmp_path / "b.dcm")
    signed = (2047 - pixels.astype(np.int16)).astype(np.int16)
    found = read_radiograph(write_dicom(tmp_path / "s.dcm", signed, photometric="MONOCHROME1", **GEOMETRY))
    assert found.line_integrals == pytest.approx(wanted, abs=1e-5)
    overlaid = pixels | (np.arange(32) % 2 << 15).astype(np.uint16)  # an old overlay in the highest bit
    assert read_radiograph(write_dicom(tmp_path / "o.dcm", overlaid, **GEOMETRY)).line_integrals == pytest.approx(wanted, abs=1e-5)
    colour = np.stack([grey] * 3, axis=-1)
    assert read_radiograph(write_dicom(tmp_path / "c.dcm", colour, "OT", "RGB", 8, **GEOMETRY)).line_integrals == pytest.approx(
        expected(grey), abs=1e-5
    )
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    del dataset.PixelData
    pydicom.dcmwrite(tmp_path / "n.dcm", dataset)
    with pytest.raises(InputError, match="holds no picture"):
        read_radiograph(tmp_path / "n.dcm")


def test_a_mask_of_the_users_own(tmp_path, grey):
    Image.fromarray(grey).save(tmp_path / "a.png")
    marked = np.zeros(grey.shape, bool)
    marked[3:9, 4:20] = True
    sitk.WriteImage(sitk.GetImageFromArray(marked.astype(np.uint8)), str(tmp_path / "m.nrrd"))
    Image.fromarray(marked).save(tmp_path / "m.png")
    Image.fromarray(np.stack([marked * 255, marked * 0, marked * 0], axis=-1).astype(np.uint8)).save(tmp_path / "red.png")
    for mask in (marked, tmp_path / "m.nrrd", tmp_path / "m.png", tmp_path / "red.png"):
        assert np.array_equal(read_radiograph(tmp_path / "a.png", "AP", 0.5, mask=mask).valid, ~marked)
    with pytest.raises(InputError, match="24 x 31 pixels but the X-ray 24 x 32"):
        read_radiograph(tmp_path / "a.png", "AP", 0.5, mask=marked[:, 1:])
    with pytest.raises(InputError, match="no measurement"):
        read_radiograph(tmp_path / "a.png", "AP", 0.5, mask=np.ones(grey.shape, bool))


def test_codecs_are_quiet_and_everything_else_is_heard(capfd):
    entered, leave = threading.Event(), threading.Event()

    def other_reader() -> None:
        with quiet():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other_reader)
    with quiet():
        os.write(2, b"chatter")
        thread.start()
        entered.wait(10)
    os.write(2, b"chatter while another reads")
    leave.set()
    thread.join()
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
