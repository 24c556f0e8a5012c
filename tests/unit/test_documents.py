"""Files of many formats become text; what cannot be read is refused in one sentence and the rest is read."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import docx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter
from pypdf.constants import PageLabelStyle
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from agri_llm.errors import DocumentUnreadable
from knowledge_base import files
from knowledge_base.documents import Document, read, read_all

SHEET = """---
id: potato-late-blight
title: Late blight of potato
crops: [potato]
topics: [disease]
regions: [africa, asia]
language: en
reviewed: 2026-11-23
licence: CC-BY-4.0
sources:
  - organisation: International Potato Center (CIP)
    title: "Late blight: a global problem"
    year: 2010
  - organisation: FAO
    title: Potato
---
# Late blight of potato

## What you see
Late blight of potato makes dark, wet spots on the leaves.
"""


def pdf(pages: Sequence[str], *, roman: int = 0, password: str | None = None, title: str = "") -> bytes:
    """Return a PDF with one line of text per page; the first `roman` pages are printed i, ii, iii …"""
    writer = PdfWriter()
    font = DictionaryObject()
    for key, value in (("/Type", "/Font"), ("/Subtype", "/Type1"), ("/BaseFont", "/Helvetica")):
        font[NameObject(key)] = NameObject(value)
    for text in pages:
        page = writer.add_blank_page(400, 400)
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 300 Td ({text}) Tj ET".encode("latin-1") if text else b"")
        page[NameObject("/Contents")] = writer._add_object(stream)
    if roman:
        writer.set_page_label(0, roman - 1, style=PageLabelStyle.LOWERCASE_ROMAN)
        writer.set_page_label(roman, len(pages) - 1, style=PageLabelStyle.DECIMAL)
    if title:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def word(path: Path) -> None:
    document = docx.Document()
    document.add_heading("Beans on the hill", level=1)
    document.add_paragraph("Beans want loose soil.")
    document.add_heading("Amounts", level=2)
    document.add_paragraph("Sow early.", style="List Bullet")
    table = document.add_table(rows=0, cols=2)
    for crop, amount in (("Crop", "Seed per hectare"), ("Bean", "60 kg"), ("Maize", "20 kg")):
        cells = table.add_row().cells
        cells[0].text, cells[1].text = crop, amount
    document.add_paragraph("Weed after three weeks.")
    document.save(str(path))


def refusal(path: Path) -> DocumentUnreadable:
    with pytest.raises(DocumentUnreadable) as caught:
        read(path)
    assert path.name in caught.value.what
    assert str(path.parent) not in str(caught.value)
    assert caught.value.why
    assert caught.value.next_step
    return caught.value


def test_a_sheet_keeps_its_text_word_for_word_and_its_front_matter_as_fields(tmp_path: Path) -> None:
    path = tmp_path / "sheet.md"
    path.write_text(SHEET, encoding="utf-8")
    (sheet,) = read(path)
    assert sheet.pages[0].text == SHEET.split("---\n", 2)[2]
    assert (sheet.id, sheet.title, sheet.kind) == ("potato-late-blight", "Late blight of potato", "markdown")
    assert (sheet.crop, sheet.topic, sheet.region) == (("potato",), ("disease",), ("africa", "asia"))
    assert (sheet.language, sheet.published, sheet.licence) == ("en", "2026-11-23", "CC-BY-4.0")
    assert sheet.sources == ("International Potato Center (CIP): Late blight: a global problem (2010)", "FAO: Potato")


def test_values_of_front_matter_are_taken_as_written(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("---\nid: 007\nlanguage: no\ntitle: 1.10\n---\nHavre.\n", encoding="utf-8")
    (sheet,) = read(path)
    assert (sheet.id, sheet.language, sheet.title) == ("007", "no", "1.10")


@pytest.mark.parametrize(
    "front", ["title: [open", "title: a: b", "a: &x [*x]\nid: *y", "regions: {a: b}", "- {", "x: " + "[" * 5000]
)
def test_broken_front_matter_is_refused(tmp_path: Path, front: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"---\n{front}\n---\nText.\n", encoding="utf-8")
    refusal(path)


def test_a_ruled_line_at_the_top_is_not_front_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("---\nMaize is a grass.\n---\nBeans are not.\n", encoding="utf-8")
    assert read(path)[0].pages[0].text == "---\nMaize is a grass.\n---\nBeans are not.\n"


def test_a_file_without_title_is_named_after_its_first_heading_or_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("<!-- image -->\n\n## Growing rice ##\nRice grows in water.\n", encoding="utf-8")
    (tmp_path / "old_notes.txt").write_text("Rice grows in water.\n", encoding="utf-8")
    assert [document.title for path in sorted(tmp_path.iterdir()) for document in read(path)] == ["Growing rice", "old notes"]


def test_only_line_ends_of_a_text_file_change(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Apply 10² kg…\r\n\r\n\tof ﬁne lime.\rEnd".encode())
    assert read(path)[0].pages[0].text == "Apply 10² kg…\n\n\tof ﬁne lime.\nEnd"


def test_form_feeds_of_a_text_file_are_page_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("First page.\fSecond page.", encoding="utf-8")
    assert [(page.number, page.text) for page in read(path)[0].pages] == [(1, "First page."), (2, "Second page.")]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Café: les dégâts sur le maïs, à traiter après la récolte. L'été, la rouille apparaît.", "cp1252"),
        ("Maíz y frijol: el año pasado la roya apareció después de la lluvia en la región.", "latin-1"),
        ("水稻稻瘟病的防治方法是选用抗病品种,加强栽培管理,及时用药。马铃薯晚疫病在低温高湿时发生严重。", "gb18030"),
        ("Обработка картофеля против фитофтороза проводится весной до цветения.", "cp1251"),
        ("மண் வளம்", "utf-16"),
        ("मिट्टी की जाँच", "utf-8-sig"),
    ],
)
def test_texts_in_other_encodings_are_read(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    assert read(path)[0].pages[0].text == text


def test_a_chinese_text_is_known_as_chinese(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("水稻稻瘟病的防治方法是选用抗病品种。", encoding="utf-8")
    assert read(path)[0].language == "zh"


def test_every_sentence_of_a_pdf_is_on_the_page_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "manual.pdf"
    path.write_bytes(pdf([f"Sentence number {number} stands alone." for number in range(1, 7)], roman=2, title="Maize manual"))
    (manual,) = read(path)
    assert manual.title == "Maize manual"
    assert [page.number for page in manual.pages] == [1, 2, 3, 4, 5, 6]
    assert [page.label for page in manual.pages] == ["i", "ii", "1", "2", "3", "4"]
    for page in manual.pages:
        assert page.text.strip() == f"Sentence number {page.number} stands alone."


def test_a_pdf_without_printed_labels_has_numbers_only(tmp_path: Path) -> None:
    path = tmp_path / "manual.pdf"
    path.write_bytes(pdf(["One.", "", "Three."], title="Microsoft Word - x.doc"))
    (manual,) = read(path)
    assert [(page.number, page.label) for page in manual.pages] == [(1, None), (2, None), (3, None)]
    assert manual.pages[2].text.strip() == "Three."
    assert manual.title == "manual"


def test_a_pdf_that_opens_without_password_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["Maize wants sun."], password=""))
    assert "Maize wants sun." in read(path)[0].pages[0].text


def test_a_pdf_with_a_password_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["Maize wants sun."], password="secret"))
    assert "password" in refusal(path).what


def test_a_scan_is_refused_and_text_recognition_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["", "", ""]))
    error = refusal(path)
    assert "3 pages" in error.what
    assert "OCR" in error.next_step


def test_a_damaged_pdf_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(["Maize wants sun."])[:300])
    assert "damaged" in str(refusal(path))


@pytest.mark.parametrize("ending", [".pdf", ".docx", ".md", ".txt", ".csv", ".html"])
def test_a_picture_with_another_ending_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"photo{ending}"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89" + bytes(range(256)))
    assert "whatever its name says" in refusal(path).what


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.pdf", "a.docx", "a.csv", "a.html", "a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("content", [b"", b"  \n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refusal(path)


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "prices.xlsx"
    path.write_bytes(b"PK")
    assert "CSV" in refusal(path).next_step
    assert ".docx" in refusal(path).next_step


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path / "gone.md")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as stream:
        stream.truncate(files.MAX_FILE_BYTES + 1)
    assert "200 MB" in refusal(path).what


def test_a_packed_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.docx"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream, stream.open("word/document.xml", "w") as entry:
        for _ in range(201):
            entry.write(bytes(1024 * 1024))
    assert "200 MB" in refusal(archive).what
    lines = tmp_path / "a.jsonl.gz"
    with gzip.open(lines, "wb", compresslevel=1) as packed:
        packed.write(b'{"id": "a", "text": "' + b"x" * (11 * 1024 * 1024))
    assert "too large at line 1" in refusal(lines).what


def test_a_word_file_keeps_headings_and_names_the_columns_in_every_row(tmp_path: Path) -> None:
    path = tmp_path / "beans.docx"
    word(path)
    (document,) = read(path)
    assert (document.title, document.kind) == ("Beans on the hill", "markdown")
    lines = [line for line in document.pages[0].text.split("\n") if line]
    assert lines == [
        "# Beans on the hill",
        "Beans want loose soil.",
        "## Amounts",
        "- Sow early.",
        "Crop: Bean; Seed per hectare: 60 kg.",
        "Crop: Maize; Seed per hectare: 20 kg.",
        "Weed after three weeks.",
    ]


def test_a_word_file_packed_by_an_unknown_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "beans.docx"
    word(path)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 6] = 161  # the version of the format one needs to unpack the last entry
    path.write_bytes(content)
    assert "damaged" in refusal(path).what


def test_a_web_page_becomes_its_readable_text_with_headings(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(
        "<html lang=fr-FR><head><title>Mildiou</title><link rel=canonical href='https://example.org/mildiou'></head>"
        "<body><nav><a href=/>Accueil</a></nav><main><h1>Mildiou</h1><p>Le mildiou attaque la pomme de terre par temps frais "
        "et humide et <b>détruit</b> les feuilles en une semaine.</p><h2>Lutte</h2><p>Arrachez les plants malades et enterrez "
        "les feuilles. Dose : 2*3*4 unités, champ a_b.</p><script>alert(1)</script></main></body></html>",
        encoding="utf-8",
    )
    (page,) = read(path)
    assert (page.title, page.url, page.language) == ("Mildiou", "https://example.org/mildiou", "fr")
    assert "## Lutte" in page.pages[0].text
    assert "et détruit les feuilles" in page.pages[0].text
    assert "2*3*4 unités, champ a_b." in page.pages[0].text
    assert "alert" not in page.pages[0].text
    assert "Accueil" not in page.pages[0].text


def test_a_row_of_a_table_becomes_one_document_that_names_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "crops.csv"
    path.write_bytes(
        'Code;ScientificName;Names;TMIN;Note\n1;Zea mays;"maïs; ""corn""";10;NA\n2;Phaseolus;;8;\n'.encode("cp1252")
    )
    maize, bean = read(path)
    assert maize.pages[0].text == 'Code: 1; ScientificName: Zea mays; Names: maïs; "corn"; TMIN: 10.'
    assert bean.pages[0].text == "Code: 2; ScientificName: Phaseolus; TMIN: 8."
    assert (maize.title, maize.id, maize.kind) == ("Zea mays", "crops-1", "row")


def test_namibia_is_not_an_empty_cell(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("country,rain\nNA,NA\n", encoding="utf-8")
    assert read(path)[0].pages[0].text == "country: NA."


def test_a_row_keeps_its_id_when_another_is_put_in_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("crop,rate\nbean,20\n", encoding="utf-8")
    (before,) = read(path)
    path.write_text('crop,rate\n"two\nlines",50\nbean,20\n', encoding="utf-8")
    above, after = read(path)
    assert (after.id, after.pages) == (before.id, before.pages)
    assert above.pages[0].text == "crop: two lines; rate: 50."


def test_json_lines_keep_ids_pages_and_text_word_for_word(tmp_path: Path) -> None:
    row = {
        "id": "FAO/12",
        "text": "Two  spaces\nstay.",
        "region": ["africa", "asia"],
        "crop": "maize",
        "page": 7,
        "published": 2019,
    }
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode() + b"\n\n" + b'{"id": "b", "text": "B \\ud800.", "page": "iv"}'))
    first, second = read(path)
    assert (first.id, first.pages[0].text, first.pages[0].number) == ("FAO/12", "Two  spaces\nstay.", 7)
    assert (first.region, first.crop, first.published) == (("africa", "asia"), ("maize",), "2019")
    assert (second.pages[0].number, second.pages[0].label) == (None, "iv")
    second.pages[0].text.encode()  # half a character pair would break every file we write


def test_a_bad_line_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": "a", "text": "A."}\n{"id": \n{"id": "c"}\n[1]\n' + b"[" * 9999 + b'\n{"text": "F."}\n')
    parts = list(read_all([path]))
    assert [part.pages[0].text for part in parts if isinstance(part, Document)] == ["A.", "F."]
    faults = [part.what for part in parts if isinstance(part, DocumentUnreadable)]
    assert [fault.split(" is ")[0].split(" has ")[0] for fault in faults] == [f"a.jsonl, line {line}" for line in (2, 3, 4, 5)]
    with pytest.raises(DocumentUnreadable, match=r"a\.jsonl, line 2"):
        read(path)


def test_a_cut_off_archive_is_named_and_its_sound_lines_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    lines = b"".join(b'{"id": "%d", "text": "%s"}\n' % (number, os.urandom(40).hex().encode()) for number in range(3000))
    path.write_bytes(gzip.compress(lines)[:-2000])
    parts = list(read_all([path]))
    assert isinstance(parts[-1], DocumentUnreadable)
    assert len(parts) > 1000


def test_a_folder_is_read_in_order_with_its_faults_and_without_hidden_files_and_links(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("b.txt", "sub/Ärger im Feld.txt", ".hidden.txt", ".git/x.txt"):
        (folder / name).write_text(f"Text of {name}.", encoding="utf-8")
    (folder / "a.pdf").write_bytes(b"broken")
    (tmp_path / "outside.txt").write_text("Outside.", encoding="utf-8")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "linked").symlink_to(tmp_path)
    parts = list(read_all([folder]))
    assert isinstance(parts[0], DocumentUnreadable)
    assert [part.id for part in parts[1:] if isinstance(part, Document)] == ["b", "sub-ärger-im-feld"]
    assert len(parts) == 3
    assert isinstance(parts[2], Document)
    assert parts[2].path == "sub/Ärger im Feld.txt"


def test_the_second_document_with_an_id_is_refused_and_both_are_named(tmp_path: Path) -> None:
    for name in ("one.md", "two.md"):
        (tmp_path / name).write_text("---\nid: same\n---\nText.\n", encoding="utf-8")
    first, second = read_all([tmp_path])
    assert isinstance(first, Document)
    assert isinstance(second, DocumentUnreadable)
    assert "one.md" in second.what
    assert "two.md" in second.what


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_with_changed_bytes_is_read_or_refused_never_a_crash(tmp_path: Path, data: st.DataObject) -> None:
    ending = data.draw(st.sampled_from([".pdf", ".docx"]))
    path = tmp_path / f"a{ending}"
    if ending == ".docx":
        word(path)
    else:
        path.write_bytes(pdf(["Maize wants sun.", "Beans want shade."], roman=1, title="Crops"))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for part in read_all([path]):
        assert isinstance(part, Document | DocumentUnreadable)


def test_the_module_loads_without_the_libraries_for_layouts() -> None:
    code = (
        "import sys, knowledge_base.documents; print([m for m in ('pypdf', 'docx', 'trafilatura', 'lxml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def drawn(lines: Sequence[Sequence[tuple[int, str]]]) -> bytes:
    """Return a PDF page with lines of text, each piece at its own place across the page."""
    commands = "".join(
        f"BT /F1 10 Tf {x} {700 - 14 * row} Td ({text}) Tj ET\n" for row, line in enumerate(lines) for x, text in line
    )
    return pdf([f") Tj ET\n{commands}BT /F1 10 Tf 20 20 Td ("])


def test_a_table_of_a_pdf_names_its_columns_and_the_text_around_it_stays(tmp_path: Path) -> None:
    rows = [("Crop", "Rate kg/ha", "Weeks"), ("Maize", "25", "14"), ("Bean", "60", "10"), ("Pea", "90", "9")]
    table = [list(zip((20, 120, 240), row, strict=True)) for row in rows]
    path = tmp_path / "a.pdf"
    path.write_bytes(drawn([[(20, "Rates of seed.")], *table, [(20, "Sow early.")]]))
    assert read(path)[0].pages[0].text.split("\n")[:5] == [
        "Rates of seed.",
        "Crop: Maize; Rate kg/ha: 25; Weeks: 14.",
        "Crop: Bean; Rate kg/ha: 60; Weeks: 10.",
        "Crop: Pea; Rate kg/ha: 90; Weeks: 9.",
        "Sow early.",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        [[(20, f"{number}."), (40, "Sow early."), (200, "See page 7.")] for number in range(1, 6)],  # a list has no header
        [[(20, "Soils"), (200, "of"), (300, "Kenya")] for _ in range(5)],  # words alone: no column of numbers
        [[(20, "Maize"), (200, "25 kg")] for _ in range(5)],  # two cells may be a name and its value
        [[(20, "Crop"), (120, "Rate"), (240, "Weeks")], [(20, "Maize"), (120, "25"), (240, "14")]],  # one row proves nothing
    ],
)
def test_what_only_looks_like_a_table_of_a_pdf_keeps_its_order(tmp_path: Path, lines: list[list[tuple[int, str]]]) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(drawn(lines))
    words = " ".join(text for line in lines for _, text in line)
    assert " ".join(read(path)[0].pages[0].text.split()) == words


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("玉米田除草", "zh"),
        ("Siembre a 75 cm entre surcos.", "es"),
        ("Le mildiou de la pomme de terre", "fr"),
        ("गेहूँ में रतुआ रोग", "hi"),
        ("Magonjwa ya viazi", "sw"),
        ("استخدم السماد قبل المطر", "ar"),
        ("Adubação do milho", "pt"),
        ("Late blight of potato", "en"),
        ("Bệnh đạo ôn trên lúa", "vi"),
        ("12; 7.5; 3", "en"),
    ],
)
def test_the_language_of_a_text_that_states_none_is_recognised(tmp_path: Path, text: str, language: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(text, encoding="utf-8")
    assert read(path)[0].language == language


def test_a_stated_language_is_believed_and_kept_short(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("---\nlanguage: PT_BR\n---\nMaize wants sun.\n", encoding="utf-8")
    assert read(path)[0].language == "pt"


def test_a_cell_over_two_rows_of_a_word_table_stands_in_both(tmp_path: Path) -> None:
    document = docx.Document()
    table = document.add_table(rows=3, cols=2)
    for row, cells in zip(table.rows, (("Crop", "Dose"), ("Bean", "2 kg"), ("", "3 kg")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    path = tmp_path / "a.docx"
    document.save(str(path))
    lines = [line for line in read(path)[0].pages[0].text.split("\n") if line]
    assert lines == ["Crop: Bean; Dose: 2 kg.", "Crop: Bean; Dose: 3 kg."]


def test_many_bad_lines_are_counted_after_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "A word."}\n' + "nothing\n" * 400, encoding="utf-8")
    parts = list(read_all([path]))
    assert len(parts) == 7
    assert "395 more lines of a.jsonl" in str(parts[-1])
