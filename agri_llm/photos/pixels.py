"""A file that holds a photo → its pixels: RGB in the colours of sRGB, upright, on white, no larger than we look at."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from math import ceil

from PIL import Image, ImageCms, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from agri_llm.photos.files import Kind, orientation, trimmed

MAX_PIXELS = 50 * 1024**2  # cameras of “50 megapixels” write 8160 × 6144 and 8192 × 6144, a little more than 50 million
LONGER = 1600  # pixels: a spot of 1 mm on a leaf of 30 cm is still 5 pixels wide
SHORTER = 32  # pixels; below, no leaf can be told from another
_PROFILE_BYTES = 4 * 1024**2  # profiles of printing presses have up to 3 MB, those of phones 0.5 kB
_ROWS = 64  # of the smaller picture, made at a time
# What Pillow, libheif and LittleCMS say of a file that they cannot read, by their documentation and by trial.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    MemoryError,
    struct.error,
    ImageCms.PyCMSError,
)


class TooLarge(Exception):
    """A picture has more pixels than we decode."""


class TooSmall(Exception):
    """A picture has too few pixels, or is too narrow, to see a plant."""


def upright(kind: Kind, data: bytes) -> Image.Image:
    """Decode the first picture of a file, at most `LONGER` pixels long; TooLarge, TooSmall, or one of UNREADABLE."""
    try:
        opened = _opened(kind, trimmed(kind, data))
    except Image.DecompressionBombError as error:  # WebP looks by itself, before it reserves memory
        raise TooLarge from error
    target = _target(opened.size)
    if kind == "JPEG":  # decodes a half, a quarter or an eighth of the pixels; HEIC would take a preview instead
        opened.draft(None, (2 * target[0], 2 * target[1]))
    opened.load()
    target = _target(opened.size)  # HEIC may turn out larger than it said
    side, profile = orientation(opened.info.get("exif") or b""), opened.info.get("icc_profile") or b""
    factor = max(1, min(opened.width // (2 * target[0]), opened.height // (2 * target[1])))
    small = _opaque_and_smaller(opened, factor)
    opened.close()
    if small.size != target:
        small = small.resize(target, Image.Resampling.LANCZOS)
    small = _in_srgb(small, profile)
    small.getexif()[Base.Orientation] = side
    return ImageOps.exif_transpose(small)


def _opened(kind: Kind, data: bytes) -> ImageFile:
    """Open a file with the class of its kind; Image.open would warn of large pictures before we can look at the size."""
    openers: dict[Kind, Callable[[io.BytesIO], ImageFile]] = {
        "JPEG": JpegImageFile,
        "PNG": PngImageFile,
        "WebP": WebPImageFile,
        "AVIF": AvifImageFile,
    }
    if kind == "HEIC":
        from pillow_heif import HeifImageFile  # 10 MB of libraries that most photos do not need

        openers["HEIC"] = HeifImageFile
    return openers[kind](io.BytesIO(data))


def _target(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size that a picture is kept in."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise TooLarge
    share = min(1.0, LONGER / max(size))
    target = round(width * share), round(height * share)
    if min(target) < SHORTER:
        raise TooSmall
    return target


def _opaque_and_smaller(picture: Image.Image, factor: int) -> Image.Image:
    """Return a picture as L, RGB or CMYK on white and `factor` times smaller, strip by strip, so that no second one is made."""
    width, height = picture.size
    made: Image.Image | None = None
    for top in range(0, height, _ROWS * factor):
        strip = _opaque(picture.crop((0, top, width, min(top + _ROWS * factor, height)))).reduce(factor)
        if made is None:
            made = Image.new(strip.mode, (ceil(width / factor), ceil(height / factor)))
        made.paste(strip, (0, top // factor))
    assert made is not None
    return made


def _opaque(picture: Image.Image) -> Image.Image:
    """Return a picture as L, RGB or CMYK, on white where one could see through it."""
    if picture.mode == "I;16":
        return picture.point(lambda value: value * (1 / 256)).convert("L")  # convert alone makes everything above 255 white
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture if picture.mode in ("L", "RGB", "CMYK") else picture.convert("L" if picture.mode == "1" else "RGB")


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Return a picture in the colours of sRGB; a profile that is damaged or meant for other pictures changes nothing."""
    if 0 < len(profile) <= _PROFILE_BYTES:
        with suppress(*UNREADABLE):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            picture = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or picture
    return picture.convert("RGB")
