"""Files of strangers that hold a photo, cut down to what makes the picture before any library opens them.

Notes (EXIF, XMP, comments, texts, second pictures) are dropped unread: nothing of them is needed but which side is up. So their
size, number and mistakes cost nothing. Whatever is left and damaged is for the library to find.
"""

from __future__ import annotations

import re
import struct
from typing import Literal

Kind = Literal["JPEG", "PNG", "WebP", "HEIC", "AVIF"]
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif")  # how their names end; the content decides

# Brands of ISO/IEC 23008-12 (HEIF) for pictures coded with HEVC, and for any; AVIF files often carry both.
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
_AVIF = frozenset((b"avif", b"avis"))
_BRANDS = 128  # bytes read of the list of brands; phones write 24 to 52
_OTHERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF or raw photo",
    b"MM\0*": "a TIFF or raw photo",
    b"8BPS": "a Photoshop file",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP or office file",
    b"SIMPLE": "a FITS file",
}
_EXIF = b"Exif\0\0"
_TURN = 0x0112  # the EXIF tag that says which side is up
# Markers of ITU-T T.81, table B.1. Those without a length (RST, SOI, TEM) and escaped bytes are never matched.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
_SCAN, _END = 0xDA, 0xD9
_TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDD))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_COLOURS = (b"\xff\xe0", b"JFIF"), (b"\xff\xee", b"Adobe"), (b"\xff\xe2", b"ICC_PROFILE\0")
_SEGMENTS = 1000  # 20 MB in segments of 64 kB are 320
_SCANS = 100  # encoders write 6 to 14; each scan of a progressive JPEG goes through the whole picture once
_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNKS = 10_000  # 20 MB in chunks of 4 kB are 5,120; libpng writes 8 kB


def kind_of(data: bytes) -> Kind | None:
    """Return the kind of a photo by its first bytes; a name says nothing."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4]), _BRANDS)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
    return "AVIF" if brands & _AVIF else "HEIC" if brands & _HEIC else None


def other_kind(data: bytes) -> str:
    """Return in words what a file is that is no photo."""
    found = next((words for start, words in _OTHERS.items() if data.startswith(start)), None)
    return found or ("a video or raw photo" if data[4:8] == b"ftyp" else "something else")


def trimmed(kind: Kind, data: bytes) -> bytes:
    """Return a photo without its notes; ValueError or struct.error where it ends early or makes no sense.

    The notes of WebP are not opened by Pillow, those of HEIC and AVIF only in the process that decodes them.
    """
    if kind == "JPEG":
        return _trimmed_jpeg(data)
    return _trimmed_png(data) if kind == "PNG" else data


def orientation(exif: bytes) -> int:
    """Return which side of a photo is up, 1 to 8 as in EXIF; 1, upright, where that is not said."""
    tiff = exif.removeprefix(_EXIF)
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    for place in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        if int.from_bytes(tiff[place : place + 2], order) == _TURN:
            value = int.from_bytes(tiff[place + 8 : place + 10], order)
            return value if 1 <= value <= 8 else 1
    return 1


def _trimmed_jpeg(data: bytes) -> bytes:
    """Keep tables, frame, colours and scans of the first picture, and of its EXIF which side is up."""
    head, scans, body, place = [b"\xff\xd8"], 0, 0, 2
    for _ in range(_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None or found[1][0] == _END:
            break
        start, marker = found.start(), found[1][0]
        place = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if marker == _SCAN:
            scans += 1
            body = body or start
        elif not body:
            head.append(_kept(marker, data[start:place]))
    else:
        raise ValueError("more segments than a photo has")
    if not body or scans > _SCANS:
        raise ValueError("no picture, or more scans than an encoder writes")
    return b"".join([*head, data[body : found.end() if found else None]])


def _kept(marker: int, segment: bytes) -> bytes:
    """Return what stays of a segment before the picture: all of it, nothing, or of EXIF which side is up."""
    if marker in _TABLES or marker in _FRAMES:
        return segment
    if segment.startswith(b"\xff\xe1") and segment.startswith(_EXIF, 4):
        note = _EXIF + struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, _TURN, 3, 1, orientation(segment[4:]), 0, 0)
        return b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note
    return segment if any(segment.startswith(start) and segment.startswith(name, 4) for start, name in _COLOURS) else b""


def _trimmed_png(data: bytes) -> bytes:
    """Keep size, palette, transparency, colours and pixels, and the EXIF, which is not opened."""
    kept, place = [_PNG], len(_PNG)
    # The see-through colour of 16 bits, or of fewer than 8, is not the number that the decoder gives its pixels.
    transparent = {b"tRNS"} if data[24:25] == b"\x08" or data[25:26] == b"\x03" else set()
    for _ in range(_CHUNKS):
        size, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + size
        if name in {b"IHDR", b"PLTE", b"iCCP", b"eXIf", b"IDAT", b"IEND"} | transparent:
            kept.append(data[place:end])
        if name == b"IEND":
            return b"".join(kept)
        place = end
    raise ValueError("more chunks than a photo has")
