"""What comes in comes out: depth, mode, profile, resolution and alpha, read back by libraries that did not write them.

Sources are written by tifffile, libpng, Pillow and OpenEXR; results are read by libtiff, OpenImageIO and Pillow.
"""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import OpenEXR
import pytest
import tifffile
from OpenImageIO import FLOAT, ImageBuf, ImageSpec
from PIL import Image, ImageCms, ImageOps

from eacps.errors import InvalidPicture
from eacps.imaging import Inlay, Limits, decode, decode_picture, deliver, layers_of
from eacps.imaging.profiles import Color
from eacps.imaging.reading import read_header
from eacps.imaging.source import INCH, Container, Resolution, Source
from eacps.imaging.writing import write_source

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ADOBE = imagecodecs.cms_profile("adobergb")
GRAY = imagecodecs.cms_profile("gray", gamma=2.2)
HEIGHT, WIDTH = 72, 96
RECTANGLE = (16, 8, 80, 56)
RED = (220, 40, 30)


def samples(channels: int, dtype: str, seed: int = 0) -> np.ndarray:
    """A smooth picture with fine grain in all bits; the last of 2 or 4 channels, alpha, in many levels."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rng = np.random.default_rng(seed)
    planes = [0.2 + 0.5 * (x * (1 + c) / (4 * WIDTH) + y / (2 * HEIGHT)) for c in range(channels)]
    if channels in (2, 4):
        planes[-1] = 0.5 + 0.5 * (x > WIDTH / 2)
    values = np.stack(planes, axis=-1) + rng.uniform(-0.02, 0.02, (HEIGHT, WIDTH, channels))
    values = values.clip(0, 1)
    kind = np.dtype(dtype)
    return values.astype(kind) if kind.kind == "f" else np.rint(values * np.iinfo(kind).max).astype(kind)


def laid(data: bytes, mask: np.ndarray | None = None) -> bytes:
    """Deliver a red square into a file."""
    return deliver(data, inlay_of(data, mask)).data


def inlay_of(data: bytes, mask: np.ndarray | None = None) -> Inlay:
    working = np.asarray(
        Image.fromarray(decode_picture(data)).resize((64, 48), Image.Resampling.LANCZOS, box=RECTANGLE)
    )
    picture = working.copy()
    picture[16:32, 20:44] = RED
    return Inlay(picture, working, RECTANGLE, None, mask)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


def outside() -> np.ndarray:
    left, top, right, bottom = RECTANGLE
    flags = np.ones((HEIGHT, WIDTH), bool)
    flags[top:bottom, left:right] = False
    return flags


def assert_kept(before: np.ndarray, after: np.ndarray, *, alpha: int | None = None) -> None:
    """All outside the frame is the same, and all of alpha; in the middle something changed."""
    assert (before.dtype, before.shape) == (after.dtype, after.shape)
    assert np.array_equal(before[outside()], after[outside()])
    assert not np.array_equal(before[24:40, 36:60], after[24:40, 36:60])
    if alpha is not None:
        assert np.array_equal(before[..., alpha], after[..., alpha])


@pytest.mark.parametrize("alpha", [64, 128, 255])
def test_the_edit_shows_over_white_as_the_model_made_it(alpha: int) -> None:
    array = np.dstack([samples(3, "uint8"), np.full((HEIGHT, WIDTH), alpha, np.uint8)])
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    with Image.open(io.BytesIO(laid(file.getvalue()))) as image:
        result = np.asarray(image).astype(float)
    share = result[..., 3:] / 255
    shown = (255 + share * (result[..., :3] - 255))[28:36, 44:54]
    darkest = 255 * (1 - alpha / 255)  # what black of this alpha shows
    assert np.abs(shown - np.maximum(RED, darkest)).max() <= 3


@pytest.mark.parametrize("dense", [2**31, 2**40])
def test_a_resolution_that_no_png_can_state_is_left_out(dense: int) -> None:
    source = Source(
        samples(3, "uint8"), Color.RGB, None, Container.PNG, resolution=Resolution(Fraction(dense), Fraction(72), INCH)
    )
    with Image.open(io.BytesIO(write_source(source))) as image:
        assert "dpi" not in image.info
        assert np.array_equal(np.asarray(image), source.samples)


def exr_of_parts(parts: int = 1, **header: Any) -> bytes:
    file, whole = io.BytesIO(), samples(3, "float16")
    made = [
        OpenEXR.Part({"type": OpenEXR.scanlineimage, **header}, {"RGB": whole}, f"part{number}")
        for number in range(parts)
    ]
    OpenEXR.File(made).write(file)
    return file.getvalue()


def test_all_parts_of_an_exr_count() -> None:
    one, three = (read_header(exr_of_parts(parts), Limits()).samples for parts in (1, 3))
    assert three == 3 * one > 0


@pytest.mark.parametrize(
    "primaries", [(0.6, 0.3) * 3 + (0.3, 0.3), (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3, 0.0), (float("nan"),) * 8]
)
def test_primaries_that_span_no_colors_are_refused(primaries: tuple[float, ...]) -> None:
    with pytest.raises(InvalidPicture, match="span no colors"):
        decode_picture(exr_of_parts(chromaticities=primaries))


def spec_of(data: bytes, suffix: str, folder: Path) -> ImageSpec:
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    spec: ImageSpec = ImageBuf(str(path)).nativespec()
    return spec


TIFFS = {
    "gray": (1, {"photometric": "minisblack"}),
    "gray of which 0 is white": (1, {"photometric": "miniswhite"}),
    "gray with alpha": (2, {"photometric": "minisblack", "extrasamples": [2], "planarconfig": "contig"}),
    "RGB": (3, {"photometric": "rgb"}),
    "RGB with alpha": (4, {"photometric": "rgb", "extrasamples": [2]}),
    "RGB times alpha": (4, {"photometric": "rgb", "extrasamples": [1]}),
    "CMYK": (4, {"photometric": "separated", "planarconfig": "contig"}),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("kind", TIFFS)
def test_tiffs_keep_depth_mode_and_alpha(kind: str, dtype: str, tmp_path: Path) -> None:
    channels, options = TIFFS[kind]
    if dtype.startswith("float") and kind in ("CMYK", "gray of which 0 is white"):
        pytest.skip("no such files are made")
    array = samples(channels, dtype)
    if kind == "RGB times alpha":
        array[..., :3] = (array[..., :3] * (array[..., 3:].astype(float) / (array[..., 3].max()))).astype(array.dtype)
    data = tiff(array[..., 0] if channels == 1 else array, **options)
    result = laid(data)
    alpha = channels - 1 if "alpha" in kind else None
    assert_kept(*(_tiff(one, kind, tmp_path) for one in (data, result)), alpha=alpha)
    before, after = (spec_of(one, ".tif", tmp_path) for one in (data, result))
    assert (before.format, before.channelnames, before.alpha_channel) == (
        after.format,
        after.channelnames,
        after.alpha_channel,
    )
    photometric = "tiff:PhotometricInterpretation"
    assert before.get_int_attribute(photometric) == after.get_int_attribute(photometric)


def _tiff(data: bytes, kind: str, folder: Path) -> np.ndarray:
    if kind != "CMYK":
        return np.asarray(imagecodecs.tiff_decode(data))
    (folder / "file.tif").write_bytes(data)  # of which libtiff's simple interface reads 8 bits alone
    raw = ImageSpec()
    raw.attribute("oiio:RawColor", 1)
    buffer = ImageBuf(str(folder / "file.tif"), 0, 0, raw)
    return np.asarray(buffer.get_pixels(buffer.nativespec().format))


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib"},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"planarconfig": "separate"},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (32, 32)},
        {"rowsperstrip": 7},
    ],
    ids=str,
)
def test_tiffs_of_every_layout_keep_their_values(options: dict[str, object]) -> None:
    array = samples(3, "uint16")
    stored = np.moveaxis(array, -1, 0) if "planarconfig" in options else array
    result = laid(tiff(stored, photometric="rgb", **options))
    assert_kept(array, imagecodecs.tiff_decode(result))


def test_profile_and_resolution_of_a_tiff_come_out(tmp_path: Path) -> None:
    data = tiff(
        samples(3, "uint16"), photometric="rgb", iccprofile=ADOBE, resolution=((3001, 10), 240), resolutionunit=3
    )
    spec = spec_of(laid(data), ".tif", tmp_path)
    assert spec.get_float_attribute("XResolution") == pytest.approx(300.1)
    assert spec.get_float_attribute("YResolution") == pytest.approx(240.0)
    assert spec.get_string_attribute("ResolutionUnit") == "cm"
    with Image.open(io.BytesIO(laid(tiff(samples(3, "uint8"), photometric="rgb", iccprofile=ADOBE)))) as image:
        assert image.info["icc_profile"] == ADOBE


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pngs_keep_depth_mode_alpha_profile_and_resolution(channels: int, dtype: str, tmp_path: Path) -> None:
    array = samples(channels, dtype)
    if dtype == "uint16":
        data = imagecodecs.png_encode(array[..., 0] if channels == 1 else array)
    else:
        file, profile = io.BytesIO(), GRAY if channels < 3 else ADOBE
        image = Image.fromarray(array[..., 0] if channels == 1 else array)
        image.save(file, "PNG", icc_profile=profile, dpi=(300, 150))
        data = file.getvalue()
    result = laid(data)
    before, after = (_png(one, tmp_path) for one in (data, result))
    assert np.array_equal(before.reshape(array.shape), array)
    assert_kept(before, after, alpha=channels - 1 if channels in (2, 4) else None)
    with Image.open(io.BytesIO(data)) as one, Image.open(io.BytesIO(result)) as other:
        assert one.mode == other.mode
        assert one.info.get("dpi") == other.info.get("dpi")
        assert one.info.get("icc_profile") == other.info.get("icc_profile")


def _png(data: bytes, folder: Path) -> np.ndarray:
    path = folder / "file.png"
    path.write_bytes(data)
    unpremultiplied = ImageSpec()
    unpremultiplied.attribute("oiio:UnassociatedAlpha", 1)
    buffer = ImageBuf(str(path), 0, 0, unpremultiplied)
    return np.asarray(buffer.get_pixels(buffer.nativespec().format))


def test_what_says_how_the_colors_of_a_png_are_meant_comes_out() -> None:
    file = io.BytesIO()
    Image.fromarray(samples(3, "uint8")).save(file, "PNG")
    gamma = b"\x00\x00\x00\x04gAMA\x00\x00\xb1\x8f\x0b\xfca\x05"
    data = file.getvalue()
    with Image.open(io.BytesIO(laid(data[:33] + gamma + data[33:]))) as image:
        assert image.info["gamma"] == pytest.approx(0.45455)


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "AVIF"])
def test_formats_with_loss_come_out_as_pngs_of_what_they_decode_to(fmt: str) -> None:
    file = io.BytesIO()
    options = {"dpi": (200, 200)} if fmt == "JPEG" else {}
    Image.fromarray(samples(3, "uint8")).save(file, fmt, icc_profile=ADOBE, **options)
    with Image.open(file) as one, Image.open(io.BytesIO(laid(file.getvalue()))) as other:
        assert other.format == "PNG"
        assert_kept(np.asarray(one), np.asarray(other))
        assert other.info["icc_profile"] == ADOBE
        if fmt == "JPEG":
            assert other.info["dpi"] == pytest.approx((200, 200), abs=0.02)


def test_cmyk_jpegs_come_out_as_tiffs() -> None:
    file = io.BytesIO()
    Image.fromarray(samples(4, "uint8"), "CMYK").save(file, "JPEG", quality=95)
    with Image.open(file) as one, Image.open(io.BytesIO(laid(file.getvalue()))) as other:
        assert (other.format, other.mode) == ("TIFF", "CMYK")
        assert_kept(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_out_upright(fmt: str, orientation: int) -> None:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if fmt == "JPEG" else {}
    shape = (WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH)
    array = np.resize(samples(3, "uint8"), (*shape, 3))
    Image.fromarray(array).save(file, fmt, exif=exif, **options)
    with Image.open(file) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    with Image.open(io.BytesIO(laid(file.getvalue()))) as result:
        assert result.getexif().get(0x0112, 1) == 1
        assert_kept(upright, np.asarray(result))


def exr(channels: dict[str, np.ndarray], **header: Any) -> bytes:
    file = io.BytesIO()
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}, channels).write(
        file
    )
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("names", ["RGB", "RGBA", "Y"])
def test_exrs_keep_depth_channels_and_values_beyond_white(names: str, dtype: str, tmp_path: Path) -> None:
    array = samples(len(names), dtype)
    array[:4] *= 50
    if "A" in names:
        array[..., 3] = array[..., 3].clip(0, 1)
    depth = samples(1, "float32", seed=1)[..., 0] * 1000
    data = exr({**{name: array[..., index].copy() for index, name in enumerate(names)}, "Z": depth})
    before, after = (_exr(one, tmp_path) for one in (data, laid(data)))
    assert before.keys() == after.keys()
    for name in names:
        if name == "A":
            assert np.array_equal(before[name], after[name])
        else:
            assert_kept(before[name], after[name])
    assert np.array_equal(before["Z"], after["Z"])


def _exr(data: bytes, folder: Path) -> dict[str, np.ndarray]:
    path = folder / "file.exr"
    path.write_bytes(data)
    buffer = ImageBuf(str(path))
    spec = buffer.nativespec()
    formats = spec.channelformats or [spec.format] * spec.nchannels
    pixels = buffer.get_pixels(FLOAT)
    named = {str(name): pixels[..., index] for index, name in enumerate(spec.channelnames)}
    dtypes = {"half": np.float16, "float": np.float32}
    return {name: one.astype(dtypes[str(kind)]) for (name, one), kind in zip(named.items(), formats, strict=True)}


def test_scene_linear_light_is_shown_by_the_curve_of_srgb_and_comes_back_by_it(tmp_path: Path) -> None:
    gray = np.full((HEIGHT, WIDTH), 0.18, np.float32)
    data = exr({"R": gray, "G": gray, "B": gray})
    assert decode_picture(data)[0, 0].tolist() == [118, 118, 118]  # 255 (1.055 * 0.18 ** (1 / 2.4) - 0.055)
    red = _exr(laid(data), tmp_path)["R"][30, 48]
    assert red == pytest.approx(((RED[0] / 255 + 0.055) / 1.055) ** 2.4, rel=0.02)


def test_primaries_of_an_exr_are_converted_and_come_back(tmp_path: Path) -> None:
    rec_2020 = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329)
    array = samples(3, "float32") * 0.3 + 0.2
    data = exr({name: array[..., index].copy() for index, name in enumerate("RGB")}, chromaticities=rec_2020)
    # ITU-R BT.2087, table 4: from BT.2020 to BT.709, both linear.
    matrix = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    linear = (array @ np.array(matrix).T).clip(0, 1)
    encoded = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(decode_picture(data) - encoded).max() < 0.8
    result = _exr(laid(data), tmp_path)
    for index, name in enumerate("RGB"):
        assert_kept(array[..., index], result[name])


def test_inside_the_result_is_in_the_profile_of_the_source() -> None:
    data = tiff(samples(3, "uint16"), photometric="rgb", iccprofile=ADOBE)
    inside = imagecodecs.tiff_decode(laid(data))[30, 48] / 257
    swatch = Image.new("RGB", (1, 1), RED)
    expected = ImageCms.profileToProfile(swatch, io.BytesIO(SRGB), io.BytesIO(ADOBE))
    assert np.abs(inside - np.asarray(expected)[0, 0]).max() < 2
    assert np.abs(inside - RED).max() > 20, "which differs"


def test_the_models_see_the_colors_of_the_profile() -> None:
    array = samples(3, "uint8")
    picture = decode_picture(tiff(array, photometric="rgb", iccprofile=ADOBE))
    expected = ImageCms.profileToProfile(Image.fromarray(array), io.BytesIO(ADOBE), io.BytesIO(SRGB))
    assert np.abs(picture.astype(int) - np.asarray(expected)).max() <= 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_where_the_mask_is_black_every_value_is_the_scene_s(dtype: str) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:40, 40:60] = 255
    data = tiff(samples(3, dtype), photometric="rgb")
    before, after = imagecodecs.tiff_decode(data), imagecodecs.tiff_decode(laid(data, mask))
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert not np.array_equal(before, after)


def test_a_soft_mask_lets_through_its_share() -> None:
    scene, mask = np.full((HEIGHT, WIDTH, 3), 10_000, np.uint16), np.full((HEIGHT, WIDTH), 128, np.uint8)
    mask[:, :40] = 0
    data = tiff(scene, photometric="rgb")
    working = decode_picture(data)
    inlay = Inlay(np.full_like(working, 200), working, (0, 0, WIDTH, HEIGHT), None, mask)
    result = imagecodecs.tiff_decode(deliver(data, inlay).data)
    assert np.array_equal(result[:, :40], scene[:, :40])
    assert np.abs(result[:, 40:].astype(float) - (10_000 + 128 / 255 * (200 * 257 - 10_000))).max() <= 1


def test_of_a_deep_scene_of_the_working_size_only_what_changed_is_new() -> None:
    data = tiff(samples(3, "uint16"), photometric="rgb")
    working = decode_picture(data)
    picture = working.copy()
    picture[10:20, 10:20] = RED
    before = imagecodecs.tiff_decode(data)
    after = imagecodecs.tiff_decode(deliver(data, Inlay(picture, working, (0, 0, WIDTH, HEIGHT))).data)
    changed = (before != after).any(axis=2)
    assert changed[10:20, 10:20].all()
    assert changed.sum() == 100
    assert (after[15, 15] == np.array(RED) * 257).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_layers_put_together_give_what_is_delivered(dtype: str) -> None:
    data = tiff(samples(3, dtype), photometric="rgb")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[12:50, 30:70] = 255
    inlay = inlay_of(data, mask)
    layers = layers_of(data, inlay)
    plate, patch, matte, delivered = (
        imagecodecs.tiff_decode(one) for one in (layers.plate, layers.patch, layers.matte, deliver(data, inlay).data)
    )
    assert np.array_equal(plate, imagecodecs.tiff_decode(data))
    assert {one.dtype for one in (plate, patch, matte)} == {np.dtype(dtype)}
    white = 1.0 if dtype.startswith("float") else float(np.iinfo(dtype).max)
    share = matte[..., None].astype(float) / white
    together = plate.astype(float) + share * (patch.astype(float) - plate)
    assert np.abs(together - delivered).max() <= {"uint8": 1, "uint16": 1, "float16": 1e-3, "float32": 1e-6}[dtype]


def test_palettes_and_transparent_colors_come_out_in_a_mode_that_holds_the_result() -> None:
    image = Image.fromarray(samples(3, "uint8")).quantize(32)
    file = io.BytesIO()
    image.save(file, "PNG")
    data = file.getvalue()
    assert "read as RGB" in decode(data).notes[0]
    with Image.open(io.BytesIO(laid(data))) as result:
        assert result.mode == "RGB"
        assert_kept(np.asarray(image.convert("RGB")), np.asarray(result))


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiffs_with_jpeg_inside_come_out_without_loss(channels: int, subsampling: tuple[int, int]) -> None:
    """JPEG stores RGB as luma and chroma, scanners and Photoshop write such files."""
    array = samples(channels, "uint8")
    photometric = "ycbcr" if channels == 3 else "minisblack"
    options = {"subsampling": subsampling} if channels == 3 else {}
    data = tiff(array[..., 0] if channels == 1 else array, photometric=photometric, compression="jpeg", **options)
    result = laid(data)
    assert_kept(imagecodecs.tiff_decode(data), imagecodecs.tiff_decode(result))
    with tifffile.TiffFile(io.BytesIO(result)) as file:
        assert file.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_of_a_large_deep_picture_only_limits_decide() -> None:
    data = tiff(np.zeros((64, 64, 3), np.uint16), photometric="rgb")
    with pytest.raises(InvalidPicture, match="decodes to 24576 bytes"):
        decode(data, Limits(max_decoded_bytes=64 * 64 * 3))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (tiff(np.zeros((40, 40, 3), np.uint32), photometric="rgb"), "32 bits"),
        (tiff(np.zeros((40, 40, 3), np.float64), photometric="rgb"), "64 bits"),
        (tiff(np.zeros((40, 40, 3), np.uint8), photometric="cielab"), "CIELAB"),
        (tiff(np.zeros((40, 40, 3), np.uint8), photometric="ycbcr"), "YCBCR"),
        (exr({"U": np.zeros((40, 40), np.float32)}), "with U;"),
        (exr({name: np.zeros((40, 40), np.uint32) for name in "RGB"}), "integer channels"),
        (exr({name: np.zeros((40, 40), np.float16) for name in "RGB"})[:-40], "truncated"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(data: bytes, fault: str) -> None:
    with pytest.raises(InvalidPicture, match=fault):
        decode(data)
