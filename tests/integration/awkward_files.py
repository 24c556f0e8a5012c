"""Files that break programs, each made from nothing: what it is called, how it is written, and what must come of it."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml.ns import nsdecls
from docx.oxml.parser import parse_xml
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    StreamObject,
    TextStringObject,
)

MAIZE = "Maize wants sun and loose soil."
CHINESE = "水稻稻瘟病的防治方法是选用抗病品种，加强栽培管理，及时用药。马铃薯晚疫病在低温高湿时发生严重。"


@dataclass(frozen=True, kw_only=True)
class Awkward:
    """A file, and its outcome: texts that its passages hold and lack, or a word of the one sentence that refuses it."""

    what: str
    name: str
    content: Callable[[], bytes]
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    refused: str = ""
    language: str = "en"


# PDF


def pdf(
    pages: Sequence[str], *, raw: bool = False, objects: Callable[[PdfWriter], None] | None = None, **encryption: str
) -> bytes:
    """Return a PDF: a line of text per page, or with `raw` the drawing commands of each page."""
    writer = PdfWriter()
    font = DictionaryObject({NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1")})
    font[NameObject("/BaseFont")] = NameObject("/Helvetica")
    for commands in pages:
        page = writer.add_blank_page(600, 800)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font}), NameObject("/XObject"): DictionaryObject()}
        )
        stream = DecodedStreamObject()
        stream.set_data((commands if raw else at(40, 700, commands)).encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(stream)
    if objects:
        objects(writer)
    if encryption:
        writer.encrypt(encryption["user"], owner_password=encryption["owner"], algorithm=encryption["algorithm"])
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def at(x: float, y: float, text: str) -> str:
    """Return the commands that write a text at a place, in points from the lower left corner."""
    return f"BT /F1 10 Tf {x} {y} Td ({text}) Tj ET\n"


def _image(writer: PdfWriter) -> None:
    stream = StreamObject()
    for key, value in (("/Type", NameObject("/XObject")), ("/Subtype", NameObject("/Image")), ("/Width", NumberObject(8))):
        stream[NameObject(key)] = value
    stream[NameObject("/Height")], stream[NameObject("/BitsPerComponent")] = NumberObject(8), NumberObject(8)
    stream[NameObject("/ColorSpace")] = NameObject("/DeviceGray")
    stream._data = bytes(64)
    for page in writer.pages:
        page["/Resources"]["/XObject"][NameObject("/Im0")] = writer._add_object(stream)


def scan() -> bytes:
    return pdf(["q 500 0 0 700 50 50 cm /Im0 Do Q"] * 3, raw=True, objects=_image)


def scan_with_a_caption() -> bytes:
    picture = "q 500 0 0 600 50 50 cm /Im0 Do Q "
    return pdf([picture, picture + at(40, 760, "Plate 2. Rust on a bean leaf.")], raw=True, objects=_image)


LEFT = [f"Left line {number} tells of maize and of beans in the hills" for number in range(12)]
RIGHT = [f"Right line {number} tells of rice and of water in the valley" for number in range(12)]


def columns_across() -> bytes:
    lines = enumerate(zip(LEFT, RIGHT, strict=True))
    return pdf(["".join(at(40, 700 - 12 * row, one) + at(320, 700 - 12 * row, two) for row, (one, two) in lines)], raw=True)


def columns_in_order() -> bytes:
    sides = [at(x, 700 - 12 * row, line) for x, side in ((40, LEFT), (320, RIGHT)) for row, line in enumerate(side)]
    return pdf(["".join(sides)], raw=True)


def table_over_two_pages() -> bytes:
    rows = [("Crop", "Seed kg per ha", "Row cm"), *((f"Crop{row}", str(10 * row), str(70 + row)) for row in range(1, 13))]

    def page(part: Sequence[Sequence[str]]) -> str:
        places = (40, 200, 360)
        return "".join(
            at(x, 700 - 14 * line, cell) for line, cells in enumerate(part) for x, cell in zip(places, cells, strict=True)
        )

    return pdf([at(40, 760, "Amounts of seed.") + page(rows[:7]), page(rows[7:])], raw=True)


def unpacking_bomb() -> bytes:
    def swell(writer: PdfWriter) -> None:
        stream = StreamObject()
        stream[NameObject("/Filter")] = ArrayObject([NameObject("/FlateDecode")] * 2)
        packer = zlib.compressobj(9)
        packed = b"".join(packer.compress(b" " * 2**20) for _ in range(300)) + packer.flush()
        stream._data = zlib.compress(packed, 9)
        writer.pages[0][NameObject("/Contents")] = writer._add_object(stream)

    return pdf([MAIZE], objects=swell)


def doubling_forms() -> bytes:
    """Return a PDF whose forms draw each other twice, forty times over: 2 to the power of 40 drawings."""

    def forms(writer: PdfWriter) -> None:
        below = None
        for level in range(40):
            form = DecodedStreamObject()
            form[NameObject("/Type")], form[NameObject("/Subtype")] = NameObject("/XObject"), NameObject("/Form")
            form.set_data(b"/Fm Do /Fm Do" if level else b"BT ET")
            if below is not None:
                inner = DictionaryObject({NameObject("/Fm"): below})
                form[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): inner})
            below = writer._add_object(form)
        writer.pages[0]["/Resources"]["/XObject"][NameObject("/Fm")] = below

    return pdf(["/Fm Do " + at(40, 700, MAIZE)], raw=True, objects=forms)


def endless_pages() -> bytes:
    """Return a small PDF with 2,000 pages that share 200,000 commands which draw nothing: minutes of work."""

    def fill(writer: PdfWriter) -> None:
        stream = StreamObject()
        stream[NameObject("/Filter")] = NameObject("/FlateDecode")
        stream._data = zlib.compress(b"q Q " * 100_000, 9)
        shared = writer._add_object(stream)
        for page in writer.pages:
            page[NameObject("/Contents")] = shared

    return pdf([MAIZE] * 2000, objects=fill)


def form_that_draws_itself() -> bytes:
    def form(writer: PdfWriter) -> None:
        stream = DecodedStreamObject()
        stream[NameObject("/Type")], stream[NameObject("/Subtype")] = NameObject("/XObject"), NameObject("/Form")
        stream.set_data(b"/Fm Do")
        own = writer._add_object(stream)
        inner = DictionaryObject({NameObject("/Fm"): own})
        stream[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): inner})
        writer.pages[0]["/Resources"]["/XObject"][NameObject("/Fm")] = own

    return pdf([at(40, 700, MAIZE) + "/Fm Do"], raw=True, objects=form)


def page_tree_without_end() -> bytes:
    return handwritten(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"])


def nested_objects() -> bytes:
    deep = "[" * 100_000 + "]" * 100_000
    return handwritten([f"<</Type/Catalog/Pages 2 0 R/Deep {deep}>>", "<</Type/Pages/Kids[]/Count 0>>"])


def handwritten(objects: Sequence[str], *, previous: str = "") -> bytes:
    """Return a PDF of objects as they are, with a table that says where each begins."""
    body, places = b"%PDF-1.7\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(body)
    tail = f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{table}trailer\n<</Size {len(places) + 1}/Root 1 0 R{previous}>>\n"
    return body + f"{tail}startxref\n{start}\n%%EOF\n".encode().replace(b"@START", str(start).encode())


def cross_references_in_a_ring() -> bytes:
    return handwritten(["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[]/Count 0>>"], previous="/Prev @START")


def million_pages_that_are_one() -> bytes:
    kids = " ".join(["3 0 R"] * 300_000)
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
    return handwritten(["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count 300000>>", page])


def pdf_with_actions() -> bytes:
    def actions(writer: PdfWriter) -> None:
        script = DictionaryObject({NameObject("/S"): NameObject("/JavaScript")})
        script[NameObject("/JS")] = TextStringObject("app.launchURL('http://127.0.0.1:@PORT/script'); this.submitForm('x');")
        names = DictionaryObject({NameObject("/Names"): ArrayObject([TextStringObject("run"), script])})
        writer._root_object[NameObject("/Names")] = DictionaryObject({NameObject("/JavaScript"): names})
        launch = DictionaryObject({NameObject("/S"): NameObject("/Launch"), NameObject("/F"): TextStringObject("touch @MARK")})
        writer._root_object[NameObject("/OpenAction")] = launch

    return pdf([MAIZE], objects=actions)


# Word


def word(change: Callable[[docx.document.Document], None] | None = None, **parts: bytes) -> bytes:
    """Return a DOCX with a sentence, changed by `change`; `parts` are files added to it."""
    document = docx.Document()
    document.add_paragraph(MAIZE)
    if change:
        change(document)
    target = io.BytesIO()
    document.save(target)
    if parts:
        with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
    return target.getvalue()


def replaced(archive: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a DOCX with one of its files changed."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry.filename, change(content) if entry.filename == name else content)
    return target.getvalue()


def rich_word() -> bytes:
    """Return a DOCX with everything people put into one."""

    def fill(document: docx.document.Document) -> None:
        picture = io.BytesIO()
        Image.new("RGB", (8, 8)).save(picture, "PNG")
        document.add_picture(io.BytesIO(picture.getvalue()))
        document.sections[0].header.paragraphs[0].text = "Ministry letterhead"
        table = document.add_table(rows=3, cols=2)
        for row, cells in zip(table.rows, (("Crop", "Seed"), ("Bean", "60 kg"), ("Pea", "90 kg")), strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
        table.cell(2, 1).add_table(1, 1).cell(0, 0).text = "inner cell"
        for xml in (_CHANGED, _BOX, _CONTROL, _NOTED):
            document.element.body.insert(-1, parse_xml(xml))
        note = Part(PackURI("/word/footnotes.xml"), _FOOTNOTES_TYPE, _FOOTNOTES.encode(), document.part.package)
        document.part.relate_to(note, RELATIONSHIP_TYPE.FOOTNOTES)

    return word(fill)


_FOOTNOTES_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
_CHANGED = f"""<w:p {nsdecls("w")}><w:r><w:t xml:space="preserve">Apply </w:t></w:r>
<w:del w:id="1"><w:r><w:delText>ninety</w:delText></w:r></w:del><w:ins w:id="2"><w:r><w:t>forty</w:t></w:r></w:ins>
<w:r><w:t xml:space="preserve"> kg of lime.</w:t></w:r></w:p>"""
_BOX = f"""<w:p {nsdecls("w")} xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"
xmlns:v="urn:schemas-microsoft-com:vml"><w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:txbxContent><w:p><w:r>
<w:t>Boxed warning.</w:t></w:r></w:p></w:txbxContent></mc:Choice><mc:Fallback><w:pict><v:textbox><w:txbxContent><w:p><w:r>
<w:t>Boxed warning.</w:t></w:r></w:p></w:txbxContent></v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"""
_CONTROL = (
    f"""<w:sdt {nsdecls("w")}><w:sdtContent><w:p><w:r><w:t>Words in a form field.</w:t></w:r></w:p></w:sdtContent></w:sdt>"""
)
_NOTED = f"""<w:p {nsdecls("w")}><w:r><w:t>Spray twice.</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>"""
_FOOTNOTES = f"""<w:footnotes {nsdecls("w")}><w:footnote w:id="2"><w:p><w:r><w:t>Never before rain.</w:t></w:r></w:p>
</w:footnote></w:footnotes>"""


def word_bomb() -> bytes:
    target = io.BytesIO(word())
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("word/media/big.bin", "w") as entry:
        for _ in range(201):
            entry.write(bytes(2**20))
    return target.getvalue()


def word_with_lying_sizes() -> bytes:
    """Return a DOCX whose directory says that a part of 60 MB has ten bytes."""
    body = b"<w:document>" + b" " * 60 * 2**20
    archive = bytearray(replaced(word(), "word/document.xml", lambda _: body))
    size = len(body).to_bytes(4, "little")
    while (place := archive.find(size)) >= 0:
        archive[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(archive)


def word_with_entities() -> bytes:
    declared = b'<!DOCTYPE x [<!ENTITY secret SYSTEM "file://@SECRET"><!ENTITY web SYSTEM "http://127.0.0.1:@PORT/entity">]>'

    def change(xml: bytes) -> bytes:
        start = xml.index(b"<w:document")
        return xml[:start] + declared + xml[start:].replace(b"loose soil.", b"loose soil. &secret; &web;")

    return replaced(word(), "word/document.xml", change)


def word_with_laughing_entities() -> bytes:
    levels = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 12))

    def change(xml: bytes) -> bytes:
        start = xml.index(b"<w:document")
        declared = f'<!DOCTYPE x [<!ENTITY l0 "ha">{levels}]>'.encode()
        return xml[:start] + declared + xml[start:].replace(b"loose soil.", b"loose soil. &l11;")

    return replaced(word(), "word/document.xml", change)


def word_with_macros() -> bytes:
    return word(**{"word/vbaProject.bin": b'Sub AutoOpen()\nShell "touch @MARK"\nEnd Sub'})


def word_with_a_template_elsewhere() -> bytes:
    def attach(document: docx.document.Document) -> None:
        kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"
        document.part.rels.get_or_add_ext_rel(kind, "http://127.0.0.1:@PORT/template.dotm")
        document.part.rels.get_or_add_ext_rel(RELATIONSHIP_TYPE.IMAGE, "http://127.0.0.1:@PORT/picture.png")

    return word(attach)


def deep_word() -> bytes:
    nested = b"<w:sdt><w:sdtContent>" * 20_000 + b"</w:sdtContent></w:sdt>" * 20_000
    return replaced(word(), "word/document.xml", lambda xml: xml.replace(b"<w:sectPr", nested + b"<w:sectPr", 1))


# Web pages


def page(body: str, head: str = "<title>Maize</title>") -> str:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"


ARTICLE = f"<main><h1>Maize</h1><p>{MAIZE} Sow it when the first rains have come and the soil is warm.</p></main>"
ACTIVE = """<script>fetch('http://127.0.0.1:@PORT/script'); alert('run me')</script><iframe src="http://127.0.0.1:@PORT/frame">
</iframe><img src="http://127.0.0.1:@PORT/pixel.png" onerror="alert('run me')"><object data="file://@SECRET"></object>
<link rel=stylesheet href="http://127.0.0.1:@PORT/style.css">"""
ENTITY = '<?xml version="1.0"?><!DOCTYPE html [<!ENTITY x SYSTEM "file://@SECRET">]>'


def chinese_page(stated: str, real: str) -> bytes:
    text = page(f"<main><h1>水稻</h1><p>{CHINESE}</p></main>", f'<meta charset="{stated}"><title>水稻</title>')
    return text.encode(real)


# Text and tables


def hostile_front_matter() -> bytes:
    levels = "\n".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10))
    return f"---\na0: &a0 [ha, ha]\n{levels}\ntitle: *a9\n---\n{MAIZE}\n".encode()


def noise(length: int) -> bytes:
    return random.Random(7).randbytes(length)


def table_with(width: int) -> bytes:
    return (
        f"{','.join(f'column{place}' for place in range(width))}\n{','.join(str(place) for place in range(width))}\n".encode()
    )


def sheet_file() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return target.getvalue()


def tricky_archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("../../escaped.txt", MAIZE)
        archive.writestr("/tmp/escaped.txt", MAIZE)
    return target.getvalue()


def broken_lines() -> bytes:
    good = json.dumps({"id": "good", "text": MAIZE})
    return "\n".join(['{"text": ', good, "[" * 100_000, '{"text": 7}']).encode()


LONG_LINE = ("Maize wants sun, " * 60_000).encode()
RTL = "تسمّى اللفحة المتأخرة في البطاطس. تظهر بقع داكنة على الأوراق. أزل النباتات المصابة."
MIXED = f"{MAIZE * 5} Le maïs veut du soleil. 玉米喜光。 الذرة تحب الشمس."
OWNER = {"user": "", "owner": "owner", "algorithm": "AES-256"}
LOCKED = {"user": "secret", "owner": "owner", "algorithm": "AES-256"}
RC4 = {"user": "secret", "owner": "owner", "algorithm": "RC4-128"}
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)


def _text(what: str, text: str, encoding: str, language: str = "en") -> Awkward:
    return Awkward(what=what, name="a.txt", content=lambda: text.encode(encoding), holds=(text[:20],), language=language)


_CASES = [
    # PDF
    Awkward(what="scan", name="a.pdf", content=scan, refused="OCR"),
    Awkward(what="scan with few words", name="a.pdf", content=scan_with_a_caption, holds=("Rust on a bean leaf.",)),
    Awkward(what="PDF locked with AES-256", name="a.pdf", content=lambda: pdf([MAIZE], **LOCKED), refused="password"),
    Awkward(what="PDF locked with RC4", name="a.pdf", content=lambda: pdf([MAIZE], **RC4), refused="password"),
    Awkward(what="PDF that only the owner may change", name="a.pdf", content=lambda: pdf([MAIZE], **OWNER), holds=(MAIZE,)),
    Awkward(
        what="two columns written across",
        name="a.pdf",
        content=columns_across,
        holds=(f"{LEFT[4]} {LEFT[5]}", f"{RIGHT[4]} {RIGHT[5]}"),
    ),
    Awkward(
        what="two columns in order",
        name="a.pdf",
        content=columns_in_order,
        holds=(f"{LEFT[4]} {LEFT[5]}", f"{RIGHT[4]} {RIGHT[5]}"),
    ),
    Awkward(
        what="table over two pages",
        name="a.pdf",
        content=table_over_two_pages,
        holds=("Crop: Crop3; Seed kg per ha: 30; Row cm: 73.", "Crop: Crop12; Seed kg per ha: 120; Row cm: 82.", "Amounts"),
    ),
    Awkward(what="PDF that unpacks to 300 MB", name="a.pdf", content=unpacking_bomb, refused="unpacks"),
    Awkward(what="PDF with objects 100,000 deep", name="a.pdf", content=nested_objects, refused="damaged"),
    Awkward(what="page tree without end", name="a.pdf", content=page_tree_without_end, refused="damaged"),
    Awkward(what="cross references in a ring", name="a.pdf", content=cross_references_in_a_ring, refused="empty"),
    Awkward(what="300,000 pages that are one", name="a.pdf", content=million_pages_that_are_one, refused="unpacks"),
    Awkward(what="form that draws itself", name="a.pdf", content=form_that_draws_itself, holds=(MAIZE,)),
    Awkward(what="forms that draw 2^40 forms", name="a.pdf", content=doubling_forms, holds=(MAIZE,)),
    Awkward(what="pages of 400 million commands", name="a.pdf", content=endless_pages, refused="seconds"),
    Awkward(what="truncated PDF", name="a.pdf", content=lambda: pdf([MAIZE] * 9)[:900], refused="damaged"),
    Awkward(what="PDF with script and launch", name="a.pdf", content=pdf_with_actions, holds=(MAIZE,), lacks=("launchURL",)),
    Awkward(what="Word file called PDF", name="a.pdf", content=word, refused="whatever its name says"),
    # Word
    Awkward(
        what="Word file with everything",
        name="a.docx",
        content=rich_word,
        holds=(
            "Crop: Bean; Seed: 60 kg.",
            "inner cell",
            "Apply forty kg of lime.",
            "Boxed warning.",
            "Words in a form field.",
            "Note: Never before rain.",
        ),
        lacks=("ninety", "letterhead"),
    ),
    Awkward(what="Word file that unpacks to 201 MB", name="a.docx", content=word_bomb, refused="200 MB"),
    Awkward(what="Word file with lying sizes", name="a.docx", content=word_with_lying_sizes, refused="damaged"),
    Awkward(what="Word file with outer entities", name="a.docx", content=word_with_entities, holds=(MAIZE,), lacks=("TOP",)),
    Awkward(what="Word file with a billion laughs", name="a.docx", content=word_with_laughing_entities, refused="damaged"),
    Awkward(what="Word file with macros", name="a.docx", content=word_with_macros, holds=(MAIZE,), lacks=("Shell",)),
    Awkward(what="Word file with outer template", name="a.docx", content=word_with_a_template_elsewhere, holds=(MAIZE,)),
    Awkward(what="Word file 20,000 deep", name="a.docx", content=deep_word, refused="damaged"),
    Awkward(what="PDF called Word file", name="a.docx", content=lambda: pdf([MAIZE]), refused="whatever its name says"),
    Awkward(what="Word file with a password", name="a.docx", content=lambda: OLE, refused="protected"),
    Awkward(what="truncated Word file", name="a.docx", content=lambda: word()[:-300], refused="damaged"),
    Awkward(what="old Word file", name="a.doc", content=lambda: OLE, refused="save it as DOCX or PDF"),
    # Web pages
    Awkward(
        what="page with scripts and menu",
        name="a.html",
        content=lambda: page(f"<nav><a href=/>Home</a></nav>{ACTIVE}{ARTICLE}").encode(),
        holds=(MAIZE,),
        lacks=("run me", "Home", "TOP"),
    ),
    Awkward(
        what="page without main content",
        name="a.html",
        content=lambda: page("<nav><a href=/a>Home</a></nav><script>alert(1)</script>").encode(),
        refused="no readable text",
    ),
    Awkward(
        what="page with outer entities",
        name="a.html",
        content=lambda: (ENTITY + page(ARTICLE + "<p>&x;</p>")).encode(),
        holds=(MAIZE,),
        lacks=("TOP",),
    ),
    Awkward(
        what="page in GB2312 that says so",
        name="a.html",
        content=lambda: chinese_page("gb2312", "gb18030"),
        holds=(CHINESE[:12],),
        language="zh",
    ),
    Awkward(
        what="page in GB18030 that says UTF-8",
        name="a.html",
        content=lambda: chinese_page("utf-8", "gb18030"),
        holds=(CHINESE[:12],),
        language="zh",
    ),
    Awkward(
        what="page in UTF-8 that says Latin-1",
        name="a.html",
        content=lambda: chinese_page("iso-8859-1", "utf-8"),
        holds=(CHINESE[:12],),
        language="zh",
    ),
    Awkward(
        what="page with unknown charset",
        name="a.html",
        content=lambda: chinese_page("no-such", "utf-8"),
        holds=(CHINESE[:12],),
        language="zh",
    ),
    Awkward(
        what="page with 100,000 nested boxes",
        name="a.html",
        content=lambda: page("<div>" * 100_000 + MAIZE + "</div>" * 100_000).encode(),
        refused="deep",
    ),
    Awkward(
        what="page with 100,000 open bold marks",
        name="a.html",
        content=lambda: page("<b>" * 100_000 + ARTICLE).encode(),
        refused="deep",
    ),
    # Encodings
    _text("GB18030", CHINESE * 3, "gb18030", "zh"),
    _text("UTF-16 little end first, marked", f"{MAIZE}\n" * 3, "utf-16"),
    Awkward(
        what="UTF-16 big end first, marked",
        name="a.txt",
        content=lambda: b"\xfe\xff" + MAIZE.encode("utf-16-be"),
        holds=(MAIZE,),
    ),
    _text("UTF-16 little end first, no mark", f"{MAIZE}\n{MAIZE}", "utf-16-le"),
    _text("UTF-16 big end first, no mark", f"{MAIZE}\n{MAIZE}", "utf-16-be"),
    _text("UTF-16 Chinese, no mark", f"{CHINESE}\n{CHINESE}", "utf-16-le", "zh"),
    _text("UTF-32", f"{MAIZE} {MAIZE}", "utf-32"),
    _text("UTF-8 with mark", f"{MAIZE}", "utf-8-sig"),
    _text("Latin-1", "Le maïs préfère un sol léger. Semez après la première pluie, à la volée.", "latin-1", "fr"),
    _text("right to left", RTL, "utf-8", "ar"),
    _text("several languages", MIXED, "utf-8"),
    Awkward(
        what="mixed line ends",
        name="a.txt",
        content=lambda: b"Maize.\r\nBeans.\rRice.\n\rWheat.",
        holds=("Maize.\nBeans.\nRice.",),
    ),
    Awkward(
        what="NUL among letters",
        name="a.txt",
        content=lambda: MAIZE.encode() + b"\0" + MAIZE.encode(),
        refused="whatever its name says",
    ),
    Awkward(what="noise called text", name="a.txt", content=lambda: noise(5000), refused="whatever its name says"),
    Awkward(
        what="packed noise without NUL",
        name="a.txt",
        content=lambda: noise(3000).replace(b"\0", b"\x01"),
        refused="whatever its name says",
    ),
    Awkward(what="empty file", name="a.txt", content=bytes, refused="empty"),
    Awkward(what="spaces alone", name="a.txt", content=lambda: b" \n\t\r\n" * 999, refused="empty"),
    Awkward(
        what="invisible signs alone", name="a.txt", content=lambda: "\u200b\u200e\ufeff\u2060".encode() * 9, refused="empty"
    ),
    Awkward(
        what="invisible signs among letters",
        name="a.txt",
        content=lambda: "Mai\u200bze wants\u202e sun\u202c and\u00ad soil.".encode(),
        holds=("soil.",),
    ),
    Awkward(what="line of a million signs", name="a.txt", content=lambda: LONG_LINE, holds=("Maize wants sun, Maize",)),
    Awkward(what="word of a million letters", name="a.txt", content=lambda: b"x" * 1_000_000, holds=("xxxxx",)),
    # Markdown
    Awkward(what="front matter that swells", name="a.md", content=hostile_front_matter, refused="title"),
    Awkward(what="broken front matter", name="a.md", content=lambda: b"---\ntitle: [a\n---\nText.", refused="front matter"),
    Awkward(
        what="front matter with a command",
        name="a.md",
        content=lambda: f"---\ntitle: !!python/object/apply:os.system ['touch @MARK']\n---\n{MAIZE}".encode(),
        holds=(MAIZE,),
    ),
    Awkward(what="front matter without end", name="a.md", content=lambda: b"---\ntitle: a\n" + MAIZE.encode(), holds=(MAIZE,)),
    Awkward(what="quotes 50,000 deep", name="a.md", content=lambda: b">" * 50_000 + MAIZE.encode(), holds=(MAIZE,)),
    # Tables
    Awkward(what="CSV with semicolons", name="a.csv", content=lambda: b"crop;kg\nbean;1,5\n", holds=("crop: bean; kg: 1,5.",)),
    Awkward(what="CSV with tabs", name="a.csv", content=lambda: b"crop\tkg\nbean\t2\n", holds=("crop: bean; kg: 2.",)),
    Awkward(
        what="CSV with quotes over lines",
        name="a.csv",
        content=lambda: b'crop,note\nbean,"sow\nearly"\n',
        holds=("crop: bean; note: sow early.",),
    ),
    Awkward(
        what="CSV with mark", name="a.csv", content=lambda: b"\xef\xbb\xbfcrop,kg\nbean,2\n", holds=("crop: bean; kg: 2.",)
    ),
    Awkward(
        what="ragged CSV", name="a.csv", content=lambda: b"crop,kg\nbean\npea,2,red\n", holds=("crop: bean.", "pea; kg: 2; red")
    ),
    Awkward(what="CSV with one column", name="a.csv", content=lambda: b"note\nSow early\n", holds=("note: Sow early.",)),
    Awkward(what="CSV with 1,000 columns", name="a.csv", content=lambda: table_with(1000), holds=("column999: 999",)),
    Awkward(
        what="CSV with a very long cell",
        name="a.csv",
        content=lambda: b"crop,note\nbean," + b"sow " * 100_000,
        holds=("crop: bean; note: sow",),
    ),
    Awkward(
        what="CSV with a quote never closed", name="a.csv", content=lambda: b'crop,note\nbean,"sow\npea,x\n', holds=("bean",)
    ),
    Awkward(what="CSV with a header alone", name="a.csv", content=lambda: b"crop,note\n", refused="empty"),
    Awkward(what="CSV with commands", name="a.csv", content=lambda: b"crop,kg\n=cmd|' /C calc'!A0,2\n", holds=("=cmd|",)),
    Awkward(what="JSON lines without text", name="a.jsonl", content=lambda: b'{"a": 1}\n{"a": 2}\n', refused="None of 2 lines"),
    Awkward(what="JSON lines, three of them broken", name="a.jsonl", content=broken_lines, holds=(MAIZE,)),
    Awkward(
        what="packed JSON lines",
        name="a.jsonl.gz",
        content=lambda: gzip.compress(json.dumps({"text": MAIZE}).encode()),
        holds=(MAIZE,),
    ),
    Awkward(what="text called gz", name="a.jsonl.gz", content=lambda: MAIZE.encode(), refused="gzip"),
    Awkward(what="spreadsheet", name="a.xlsx", content=sheet_file, refused="save each sheet as CSV"),
    Awkward(what="spreadsheet called CSV", name="a.csv", content=sheet_file, refused="whatever its name says"),
    Awkward(what="archive with tricky paths", name="a.zip", content=tricky_archive, refused="unpack it"),
    Awkward(what="archive called Word file", name="a.docx", content=tricky_archive, refused="whatever its name says"),
    # Names
    Awkward(what="name that begins with a hyphen", name="-rf.txt", content=MAIZE.encode, holds=(MAIZE,)),
    Awkward(what="name with a line end", name="a\nb\x1b[31m.txt", content=MAIZE.encode, holds=(MAIZE,)),
    Awkward(what="name that turns round", name="a\u202etxt.dm.md", content=MAIZE.encode, holds=(MAIZE,)),
    Awkward(what="name of 250 letters", name="n" * 246 + ".txt", content=MAIZE.encode, holds=(MAIZE,)),
    Awkward(what="name of dots", name="...txt", content=MAIZE.encode, refused="format"),
    Awkward(what="name that looks like a path", name="a\\..\\..\\b.txt", content=MAIZE.encode, holds=(MAIZE,)),
    Awkward(what="name that is not UTF-8", name="caf\udce9.txt", content=MAIZE.encode, holds=(MAIZE,)),
    Awkward(what="name in capitals", name="A.TXT", content=MAIZE.encode, holds=(MAIZE,)),
    Awkward(what="name without ending", name="README", content=MAIZE.encode, refused="format"),
    Awkward(what="picture", name="a.jpg", content=lambda: noise(99), refused="OCR"),
]

CASES: Mapping[str, Awkward] = {case.what: case for case in _CASES}


def write(case: Awkward, folder: Path, **marks: str) -> Path:
    """Write the file of a case; `@PORT`, `@MARK` and `@SECRET` in it become what `marks` says, in a Word file too."""

    def marked(content: bytes) -> bytes:
        for mark, value in marks.items():
            content = content.replace(f"@{mark}".encode(), value.encode())
        return content

    content = marked(case.content())
    if case.what.startswith("Word file with outer") or case.what == "Word file with macros":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
        for name in names:
            content = replaced(content, name, marked)
    path = folder / case.name
    path.write_bytes(content)
    return path
