"""What a phone or a disk gives becomes a clean small JPEG, or is refused in one sentence; nothing of the file is kept."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat
from PIL.PngImagePlugin import PngInfo
from pillow_heif import register_heif_opener

from agri_llm.errors import BadInput
from agri_llm.photos import reception as photos
from agri_llm.photos.files import Kind, kind_of, orientation
from agri_llm.photos.pixels import UNREADABLE, TooLarge, TooSmall, upright
from agri_llm.photos.reception import image, receive
from agri_llm.records import Photo

register_heif_opener()  # the tests write HEIC

MARKER = "PLANTED-MARKER"
PILLOW: dict[Kind, str] = {"JPEG": "JPEG", "PNG": "PNG", "WebP": "WEBP", "HEIC": "HEIF", "AVIF": "AVIF"}
KINDS = list(PILLOW)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A file of a stranger warns nobody: whoever sees the log could not tell what to do."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def leaf(size: tuple[int, int] = (160, 96)) -> Image.Image:
    """A picture in which every corner has a colour of its own, so that no turn of it looks like another."""
    small = Image.new("RGB", (4, 4))
    small.putdata([(60 * x, 60 * y, 200 if x > y else 40) for y in range(4) for x in range(4)])
    return small.resize(size, Image.Resampling.BICUBIC)


def saved(picture: Image.Image, kind: Kind, **options: Any) -> bytes:
    out = io.BytesIO()
    quality = {} if kind == "PNG" else {"quality": 95}
    picture.save(out, PILLOW[kind], **quality, **options)
    return out.getvalue()


def differs(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures differ, in steps of 255 for each colour; 255 where their sizes do."""
    if one.size != other.size:
        return 255.0
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


def refused(data: bytes, name: str = "leaf.jpg") -> str:
    with pytest.raises(BadInput) as error:
        receive(data, name)
    sentence = str(error.value)
    assert sentence.isprintable()  # a line break is not
    assert sentence.endswith(".")
    return sentence


def exif(turn: int = 1) -> Image.Exif:
    notes = Image.Exif()
    notes[0x010E], notes[0x0112] = MARKER, turn
    notes.get_ifd(0x8825).update({1: "N", 2: (47.0, 3.0, 11.0), 29: MARKER})
    return notes


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(width: int, height: int, bits: int = 8, chunks: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + (chunks or chunk(b"IDAT", b"")) + chunk(b"IEND", b"")


def with_chunks(*chunks: bytes) -> bytes:
    """A PNG with more chunks before its pixels."""
    data = saved(leaf(), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_becomes_the_same_picture_whatever_the_name_says(kind: Kind) -> None:
    data = saved(leaf(), kind)
    assert kind_of(data) == kind
    photo = receive(data, "leaf.txt")
    assert (photo.width, photo.height) == (160, 96)
    assert photo.sha256 == hashlib.sha256(photo.data).hexdigest()
    assert (kind_of(photo.data), image(photo).mode) == ("JPEG", "RGB")
    assert differs(image(photo), leaf()) < 6
    assert receive(data, "other.png") == photo
    assert "\\x" not in repr(photo)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_tells_where_when_or_by_whom_is_kept(kind: Kind) -> None:
    options: dict[str, Any] = {"exif": exif().tobytes(), "xmp": f"<x:xmpmeta>{MARKER}</x:xmpmeta>".encode()}
    if kind == "PNG":
        texts = PngInfo()
        texts.add_text("Author", MARKER)
        texts.add_itxt("XML:com.adobe.xmp", MARKER)
        texts.add(b"prVt", MARKER.encode())
        options["pnginfo"] = texts
    if kind == "JPEG":
        options["comment"] = MARKER
    data = saved(leaf(), kind, **options) + MARKER.encode()
    assert data.count(MARKER.encode()) >= 4
    photo = receive(data)
    assert MARKER.encode() not in photo.data
    assert set(Image.open(io.BytesIO(photo.data)).info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert (image(photo).info, dict(image(photo).getexif())) == ({}, {})


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_the_side_that_was_up_is_up(kind: Kind, turn: int) -> None:
    sent = saved(leaf(), kind, exif=exif(turn).tobytes())
    expected = leaf()
    expected.getexif()[0x0112] = turn
    expected = ImageOps.exif_transpose(expected)
    assert differs(upright(kind, sent), expected) < 6
    assert turn == 1 or differs(upright(kind, sent), leaf()) > 12


def test_notes_that_make_no_sense_turn_nothing() -> None:
    for notes in (b"", b"Exif\0\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40):
        assert orientation(notes) == 1


def swapped() -> io.BytesIO:
    """A colour profile in which red means blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return io.BytesIO(profile.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ"))


def colour(picture: Image.Image, kind: Kind = "PNG", **options: Any) -> tuple[int, ...]:
    made = image(receive(saved(picture, kind, **options)))
    return tuple(round(value) for value in ImageStat.Stat(made.crop((8, 8, 24, 24))).mean)


def test_colours_stay_what_a_person_saw() -> None:
    near = pytest.approx
    assert colour(Image.new("RGB", (64, 64), "red"), "JPEG", icc_profile=swapped().read()) == near((0, 0, 255), abs=4)
    assert colour(Image.new("RGB", (64, 64), "red"), icc_profile=swapped().read()) == near((0, 0, 255), abs=4)
    assert colour(Image.new("RGB", (64, 64), "red"), icc_profile=b"no profile") == near((254, 0, 0), abs=4)
    assert colour(Image.new("L", (64, 64), 90), icc_profile=swapped().read()) == near((90, 90, 90), abs=2)
    assert colour(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG") == near((254, 0, 0), abs=6)
    assert colour(Image.new("L", (64, 64), 77), "JPEG") == near((77, 77, 77), abs=2)
    assert colour(Image.new("1", (64, 64), 1)) == (255, 255, 255)
    assert colour(Image.new("RGB", (64, 64), "blue").quantize(), transparency=0) == (255, 255, 255)
    assert colour(Image.new("RGB", (64, 64), "blue").quantize()) == near((0, 0, 254), abs=4)


def test_sixteen_bits_do_not_become_white() -> None:
    assert colour(Image.new("I;16", (64, 64), 40_000)) == pytest.approx((156, 156, 156), abs=1)
    rows = (b"\0" + struct.pack(">3H", 51_400, 25_700, 0) * 64) * 64
    see_through = chunk(b"tRNS", struct.pack(">3H", 51_400, 25_700, 0))
    data = png_of(64, 64, 16, see_through + chunk(b"IDAT", zlib.compress(rows)))
    assert image(receive(data)).getpixel((9, 9)) == pytest.approx((200, 100, 0), abs=4)


@pytest.mark.parametrize("kind", ["PNG", "WebP", "HEIC", "AVIF"])
def test_what_one_can_see_through_is_put_on_white(kind: Kind) -> None:
    assert colour(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), kind) == pytest.approx((255, 255, 255), abs=3)
    assert colour(Image.new("RGBA", (64, 64), (255, 0, 0, 128)), kind) == pytest.approx((255, 127, 127), abs=8)


@pytest.mark.parametrize("kind", KINDS)
def test_of_several_pictures_the_first_counts(kind: Kind) -> None:
    others = [Image.new("RGB", (160, 96), name) for name in ("red", "blue")]
    out = io.BytesIO()
    leaf().save(out, "MPO" if kind == "JPEG" else PILLOW[kind], save_all=True, append_images=others)
    assert differs(image(receive(out.getvalue())), leaf()) < 12


def test_large_photos_become_small_ones_of_the_same_shape() -> None:
    kinds: list[Kind] = ["JPEG", "PNG", "WebP"]
    shapes = ((4000, 3000), (1600, 1200)), ((1700, 3400), (800, 1600)), ((1601, 900), (1600, 899))
    for kind, (size, kept) in zip(kinds, shapes, strict=True):
        photo = receive(saved(leaf(size), kind))
        assert image(photo).size == (photo.width, photo.height) == kept
        assert differs(image(photo), leaf(kept)) < 6


def test_fifty_megapixels_are_taken_and_more_are_not() -> None:
    assert receive(saved(Image.new("L", (8192, 6144)), "PNG")).width == 1600
    assert "more than 52 million pixels" in refused(saved(Image.new("1", (9500, 9500)), "PNG"))  # 11 kB


REFUSED = {
    "nothing": (b"", "is empty"),
    "a text": (b"Dear sir, here is my leaf\xff\xd8\xff", "something else"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "something else"),
    "a PDF": (b"%PDF-1.7", "a PDF"),
    "a GIF": (b"GIF89a" + bytes(40), "a GIF"),
    "a BMP": (b"BM" + bytes(60), "a BMP"),
    "a TIFF": (b"II*\0" + bytes(60), "a TIFF"),
    "a PSD": (b"8BPS" + bytes(60), "a Photoshop file"),
    "a FITS": (b"SIMPLE  =  T", "a FITS file"),
    "a video": (b"\0\0\0\x18ftypmp42" + bytes(60), "a video"),
    "too many bytes": (b"\xff\xd8\xff" + bytes(20 * 1024**2), "20.0 MB"),
    "one pixel": (saved(Image.new("RGB", (1, 1)), "PNG"), "too small"),
    "a strip": (saved(Image.new("RGB", (3200, 40)), "JPEG"), "too narrow"),
    "a small HEIC": (saved(Image.new("RGB", (64, 31)), "HEIC"), "too small"),
    "no pixels": (png_of(64, 64), "damaged"),
    "a size of billions": (png_of(2**31 - 1, 2**31 - 1), "more than 52 million"),
    "a large WebP": (saved(leaf(), "WebP")[:12] + b"VP8X\x0a" + bytes(7) + b"\xfe\x3f\0" * 2 + bytes(9), "more than 52"),
    "the first bytes alone": (b"\xff\xd8\xff", "damaged"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_photo_is_refused_in_one_sentence(what: str) -> None:
    data, why = REFUSED[what]
    assert refused(data).startswith("leaf.jpg ")
    assert why in refused(data)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_photo_is_refused(kind: Kind) -> None:
    data = saved(leaf((400, 300)), kind)
    assert "is incomplete, damaged" in refused(data[: len(data) // 2])


def test_names_are_shown_without_signs_that_nobody_sees() -> None:
    assert refused(b"", "leaf\x00\n\u202egpj.exe\ud800").startswith("leaf\\x00\\n\\u202egpj.exe\\ud800 is empty: ")
    assert len(refused(b"", "x" * 10_000)) < 200
    assert refused(b"", " ").startswith("The photo is empty")


def test_what_is_two_things_at_once_becomes_only_a_photo() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("page.html", f"<script>{MARKER}</script>")
    for data in (saved(leaf(), "JPEG") + archive.getvalue(), saved(leaf(), "JPEG", comment="<html><script>" + MARKER)):
        photo = receive(data)
        assert b"script" not in photo.data
        assert not zipfile.is_zipfile(io.BytesIO(photo.data))
        assert differs(image(photo), leaf()) < 6


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def test_notes_of_any_size_cost_nothing() -> None:
    text = zlib.compress(bytes(1024**2))
    tags = b"".join(struct.pack(">HHII", 0x9000 + number, 7, 60_000, 8) for number in range(4000))
    notes = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 4000) + tags
    jpeg = saved(leaf(), "JPEG")
    for data in (
        with_chunks(*(chunk(b"zTXt", b"k%d\0\0" % number + text) for number in range(300))),
        with_chunks(chunk(b"eXIf", notes[6:]), chunk(b"acTL", bytes(8)), chunk(b"tEXt", bytes(10**6))),
        jpeg[:2] + segment(0xE1, notes) + jpeg[2:],
        jpeg[:2] + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 250 + jpeg[2:],
        jpeg[:2] + segment(0xE2, b"MPF\0II*\0" + b"\xff" * 60_000) + jpeg[2:],
        saved(leaf(), "WebP", exif=notes),
    ):
        start = time.perf_counter()
        assert differs(image(receive(data)), leaf()) < 6
        assert time.perf_counter() - start < 5


def test_files_that_ask_for_hours_are_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg = saved(leaf(), "JPEG", progressive=True)
    again = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    assert differs(image(receive(jpeg[:-2] + again * 20 + b"\xff\xd9")), leaf()) < 6
    assert "damaged" in refused(jpeg[:-2] + again * 300 + b"\xff\xd9")
    assert "damaged" in refused(jpeg[:2] + segment(0xE1, b"Exif\0\0") * 100_000 + jpeg[2:])
    monkeypatch.setattr(photos, "_COMPUTING_SECONDS", 1)
    avif = saved(Image.new("RGB", (4096, 4096), "green"), "AVIF", speed=10)
    coded = avif[avif.rindex(b"mdat") + 4 :]
    place = avif.index(struct.pack(">I", len(coded)), avif.index(b"iloc"))
    start = time.perf_counter()
    longer = avif[:place] + struct.pack(">I", len(coded) * 1000) + avif[place + 4 :]
    assert "damaged" in refused(longer + coded * 999)
    assert time.perf_counter() - start < 8


def test_a_process_that_needs_too_much_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("RGB", (3000, 3000)), "HEIC", enc_params={"preset": "ultrafast"})
    if sys.platform == "linux":  # macOS does not keep this limit
        monkeypatch.setattr(photos, "_MEMORY_BYTES", 100 * 1024**2)  # it begins with 90
        assert "damaged" in refused(data)
        monkeypatch.undo()
    monkeypatch.setattr(photos, "_WAITING_SECONDS", 0.01)
    assert "damaged" in refused(data)


def harmed(data: bytes, chance: random.Random) -> bytes:
    """A file cut short, or with a piece missing or doubled, or with some bytes changed."""
    start = chance.randrange(len(data))
    end = start + chance.randrange(1, 200)
    cut = {0: data[:start], 1: data[:start] + data[end:], 2: data[:end] + data[start:]}.get(chance.randrange(6))
    harm = bytearray(data)
    for _ in range(chance.randrange(1, 12)):  # half of them near the start, where sizes and tables are
        harm[chance.randrange(chance.choice((len(harm), min(len(harm), 600))))] = chance.randrange(256)
    return bytes(harm) if cut is None else cut


def harmed_files(kind: Kind, count: int) -> Iterator[bytes]:
    """The same ones in every run; each must be dealt with in bounded time."""
    chance = random.Random(20)
    data = saved(leaf((120, 90)), kind, exif=exif(6).tobytes(), icc_profile=swapped().read())
    for _ in range(count):
        start = time.perf_counter()
        yield harmed(data, chance)
        assert time.perf_counter() - start < 5


@pytest.mark.parametrize(("kind", "count"), [("JPEG", 150), ("PNG", 150), ("WebP", 150), ("HEIC", 8), ("AVIF", 8)])
def test_a_damaged_file_becomes_a_photo_or_is_refused_and_nothing_else(kind: Kind, count: int) -> None:
    for data in harmed_files(kind, count):
        with suppress(BadInput):
            assert isinstance(receive(data), Photo)


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_the_process_for_other_decoders_knows_what_they_raise(kind: Kind) -> None:
    warnings.simplefilter("ignore")  # nobody sees what that process prints
    for data in harmed_files(kind, 150):
        with suppress(TooLarge, TooSmall, *UNREADABLE):
            assert upright(kind, data).mode == "RGB"


def test_many_at_once_get_what_each_would_get_alone() -> None:
    every = [(kind, turn) for kind in ("JPEG", "PNG", "WebP", "HEIC") for turn in (1, 6)]
    sent = [saved(leaf((500, 300)), kind, exif=exif(turn).tobytes()) for kind, turn in every]
    alone = [receive(data) for data in sent]
    assert [photo.width for photo in alone] == [500, 300] * 4  # HEIC is turned once, and not by its notes once more
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(receive, sent * 2)) == alone * 2
