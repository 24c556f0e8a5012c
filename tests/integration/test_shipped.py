"""The index of the shipped sheets is made, renewed and repaired by itself, and never at the cost of a person's documents."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from agri_llm.assistant import Assistant
from agri_llm.errors import DocumentUnreadable, IndexMismatch, KnowledgeError
from agri_llm.language.composer import Composer
from agri_llm.questions import understand
from agri_llm.records import Passage, Question
from agri_llm.sentences import split
from knowledge_base import builder, shipped
from knowledge_base.builder import Progress
from knowledge_base.duplicates import without_duplicates
from knowledge_base.embedding import Embedder, Vectors, embedded_model_folder
from knowledge_base.folder import current_version, only_writer
from knowledge_base.index import KnowledgeBase, load_view
from knowledge_base.terms import Glossary

QUESTIONS = Path(__file__).parents[2] / "benchmarks" / "questions.jsonl"


def passage(document: str, text: str) -> Passage:
    return Passage(id=f"{document}#1", document_id=document, title=document.capitalize(), text=text)


RUST = passage("rust", "Sow resistant wheat. Burn nothing.")
BLAST = passage("blast", "Rice blast needs long dew.")
OWN = passage("own", "Our office tests soil on Mondays.")


class CountingEmbedder(Embedder):
    """The embedded model, which remembers what it was given."""

    def __init__(self, loaded: Embedder) -> None:
        super().__init__()
        self.__dict__["_model"] = loaded._model
        self.seen: list[str] = []

    def pieces(self, texts: list[str], progress: Progress | None = None) -> Vectors:  # type: ignore[override]
        self.seen.extend(texts)
        return super().pieces(texts, progress)


@pytest.fixture
def counting(embedder: Embedder) -> CountingEmbedder:
    return CountingEmbedder(embedder)


@pytest.fixture(scope="module")
def other() -> Embedder:
    """The same weights under another name and hash."""
    return Embedder(str(embedded_model_folder()))


@pytest.fixture
def ship(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Ship other sheets than the real ones, at first without vectors."""
    monkeypatch.setattr(shipped, "VECTORS", tmp_path / "vectors.safetensors")

    def these(*passages: Passage) -> None:
        monkeypatch.setattr(shipped, "sheets", lambda: list(passages))
        monkeypatch.setattr(shipped, "release", lambda: str([(each, builder.vector_key(each)) for each in passages]))

    these(RUST, BLAST)
    return these


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


def held(index: Path, embedder: Embedder) -> list[Passage]:
    return sorted(load_view(index, embedder).passages, key=lambda passage: passage.id)


def test_a_missing_index_is_built_and_the_second_time_nothing_is_done(
    index: Path, counting: CountingEmbedder, ship: Callable[..., None]
) -> None:
    told: list[tuple[int, int]] = []
    assert shipped.ensure(index, counting, progress=lambda done, total: told.append((done, total))) is True
    assert held(index, counting) == [BLAST, RUST]
    assert told[-1] == (2, 2)
    counting.seen.clear()
    before = current_version(index)
    assert shipped.ensure(index, counting) is False
    assert current_version(index) == before
    assert counting.seen == []


def test_changed_sheets_are_renewed_and_added_documents_stay(
    index: Path, counting: CountingEmbedder, ship: Callable[..., None]
) -> None:
    shipped.ensure(index, counting)
    builder.add(index, [OWN], counting)
    assert shipped.ensure(index, counting) is False  # a document beside the sheets is no reason to write
    changed = replace(RUST, text="Sow resistant wheat. Rotate with beans.")
    mildew = passage("mildew", "Mildew is white.")
    ship(changed, mildew)  # one sheet changed, one gone, one new
    counting.seen.clear()
    assert shipped.ensure(index, counting) is True
    assert held(index, counting) == [mildew, OWN, changed]
    assert not set(counting.seen) & {"Our office tests soil on Mondays."}
    assert shipped.ensure(index, counting) is False


def test_changed_details_of_a_sheet_are_renewed_without_embedding(
    index: Path, counting: CountingEmbedder, ship: Callable[..., None]
) -> None:
    shipped.ensure(index, counting)
    ship(replace(RUST, region=("kenya",)), BLAST)
    counting.seen.clear()
    assert shipped.ensure(index, counting) is True
    assert held(index, counting)[1].region == ("kenya",)
    assert counting.seen == []


def test_sheets_that_a_new_release_cuts_into_other_sentences_are_renewed(
    index: Path, counting: CountingEmbedder, ship: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "split", lambda text: split(text)[:1])
    shipped.ensure(index, counting)
    monkeypatch.undo()
    monkeypatch.setattr(shipped, "sheets", lambda: [RUST, BLAST])
    counting.seen.clear()
    assert shipped.ensure(index, counting) is True
    assert counting.seen == ["Rust. Sow resistant wheat. Burn nothing.", "Sow resistant wheat.", "Burn nothing."]
    for hit in KnowledgeBase(index, counting).search("rust"):
        assert len(hit.sentences) == len(split(hit.passage.text))


def test_an_index_of_a_persons_own_documents_is_left_alone(index: Path, embedder: Embedder, ship: Callable[..., None]) -> None:
    builder.build(index, [OWN], embedder)
    before = load_view(index, embedder)
    assert shipped.ensure(index, embedder) is False
    ship(BLAST)
    assert shipped.ensure(index, embedder) is False
    assert load_view(index, embedder).hash == before.hash


def test_an_own_index_of_another_embedder_is_left_alone_too(
    index: Path, embedder: Embedder, other: Embedder, ship: Callable[..., None]
) -> None:
    builder.build(index, [OWN], embedder)
    assert shipped.ensure(index, other) is False
    with pytest.raises(IndexMismatch, match="set AGRI_EMBEDDER to the first"):
        KnowledgeBase(index, other)
    assert held(index, embedder) == [OWN]


def test_an_own_index_that_is_damaged_is_not_replaced_by_the_sheets(
    index: Path, embedder: Embedder, ship: Callable[..., None]
) -> None:
    builder.build(index, [OWN], embedder)
    damage(index, "windows.npy")
    assert shipped.ensure(index, embedder) is False
    with pytest.raises(IndexMismatch, match=r"windows\.npy was changed"):
        KnowledgeBase(index, embedder)


def test_another_embedder_renews_the_sheets_and_takes_added_documents_along(
    index: Path, embedder: Embedder, other: Embedder, ship: Callable[..., None]
) -> None:
    shipped.ensure(index, embedder)
    builder.add(index, [OWN], embedder)
    assert shipped.ensure(index, other) is True
    assert held(index, other) == [BLAST, OWN, RUST]
    assert shipped.ensure(index, other) is False


def damage(index: Path, name: str) -> None:
    version = current_version(index)
    file = version / name if (version / name).exists() else next(version.glob(f"segment-*/{name}"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["windows.npy", "sentences.npy", "window_starts.npy", "words/rows.npy"])
def test_damaged_vectors_or_words_are_made_again_and_added_documents_stay(
    index: Path, embedder: Embedder, ship: Callable[..., None], name: str
) -> None:
    shipped.ensure(index, embedder)
    builder.add(index, [OWN], embedder)
    damage(index, name)
    assert shipped.ensure(index, embedder) is True
    assert held(index, embedder) == [BLAST, OWN, RUST]


@pytest.mark.parametrize("name", ["passages.jsonl", "manifest.json"])
def test_passages_that_cannot_be_trusted_are_told_and_not_replaced(
    index: Path, embedder: Embedder, ship: Callable[..., None], name: str
) -> None:
    shipped.ensure(index, embedder)
    damage(index, name)
    with pytest.raises(IndexMismatch, match="build it again with `agri index build`"):
        shipped.ensure(index, embedder)


def test_sheets_are_not_renewed_while_another_writer_is_at_it(
    index: Path, embedder: Embedder, ship: Callable[..., None]
) -> None:
    shipped.ensure(index, embedder)
    ship(RUST)
    refused: list[KnowledgeError] = []

    def second() -> None:
        try:
            shipped.ensure(index, embedder)
        except KnowledgeError as error:
            refused.append(error)

    with only_writer(index):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert held(index, embedder) == [BLAST, RUST]


def test_shipped_vectors_spare_the_first_start_all_embedding(
    index: Path, counting: CountingEmbedder, embedder: Embedder, ship: Callable[..., None]
) -> None:
    assert shipped.shipped_vectors(counting) == {}
    assert shipped.write_shipped_vectors(embedder) == 2
    assert shipped.VECTORS.stat().st_mode & 0o044 == 0o044  # others may read it
    shipped.ensure(index, counting)
    assert counting.seen == []
    (best, *_) = KnowledgeBase(index, embedder).search("dew on rice")
    builder.build(index, [RUST, BLAST], embedder)
    (computed, *_) = KnowledgeBase(index, embedder).search("dew on rice")
    assert best.passage == computed.passage == BLAST
    assert best.score == pytest.approx(computed.score, abs=1e-3)


def test_shipped_vectors_are_used_only_for_text_that_has_not_changed(
    index: Path, counting: CountingEmbedder, embedder: Embedder, ship: Callable[..., None]
) -> None:
    shipped.write_shipped_vectors(embedder)
    ship(replace(RUST, text="Sow resistant wheat. Rotate with beans."), BLAST)
    shipped.ensure(index, counting)
    assert counting.seen == ["Rust. Sow resistant wheat. Rotate with beans.", "Sow resistant wheat.", "Rotate with beans."]


def test_shipped_vectors_of_another_embedder_are_not_used(
    embedder: Embedder, other: Embedder, ship: Callable[..., None]
) -> None:
    shipped.write_shipped_vectors(embedder)
    assert len(shipped.shipped_vectors(embedder)) == 2
    assert shipped.shipped_vectors(other) == {}


def rewritten(change: Callable[[dict[str, Any], Any], None]) -> None:
    """Change the file of shipped vectors."""
    with safe_open(str(shipped.VECTORS), framework="numpy") as file:
        about, matrix = json.loads(file.metadata()["agri"]), file.get_tensor("vectors").copy()
    change(about, matrix)
    save_file({"vectors": matrix}, str(shipped.VECTORS), metadata={"agri": json.dumps(about)})


def test_changed_shipped_vectors_are_not_used(embedder: Embedder, ship: Callable[..., None]) -> None:
    shipped.write_shipped_vectors(embedder)

    def one_number(about: dict[str, Any], matrix: Any) -> None:
        matrix[0, 0] += 1

    rewritten(one_number)
    assert shipped.shipped_vectors(embedder) == {}


def test_a_cut_file_of_shipped_vectors_is_not_used(index: Path, embedder: Embedder, ship: Callable[..., None]) -> None:
    shipped.write_shipped_vectors(embedder)
    shipped.VECTORS.write_bytes(shipped.VECTORS.read_bytes()[:-10])
    assert shipped.shipped_vectors(embedder) == {}
    assert shipped.ensure(index, embedder) is True


def test_the_vectors_that_ship_cover_every_sheet_that_ships(embedder: Embedder) -> None:
    known = shipped.shipped_vectors(embedder)
    passages = shipped.sheets()
    originals = shipped.originals(passages)
    whole = [builder.embedded(each, originals.get(each.id)) for each in passages]
    missing = [each.heading for each in whole if each.key not in known]
    assert missing == [], "run `make vectors`"
    for each, passage in zip(whole, passages, strict=True):
        windows, sentences = known[each.key]
        assert len(windows) == len(embedder.windows(each.text, each.heading))
        assert len(sentences) == len(split(passage.text))


def test_every_passage_of_a_chinese_sheet_has_the_english_one_it_says() -> None:
    passages = shipped.sheets()
    originals = shipped.originals(passages)
    translated = [passage for passage in passages if passage.twin_of]
    assert len(translated) > 1000
    assert [passage.id for passage in translated if passage.id not in originals] == []
    assert {originals[passage.id].document_id for passage in translated} == {passage.twin_of for passage in translated}


def test_no_two_passages_of_the_sheets_say_nearly_the_same() -> None:
    passages = shipped.sheets()
    assert len(list(without_duplicates(passages))) == len(passages)


def test_a_changed_sheet_is_another_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(shipped.CORPUS, tmp_path / "corpus")
    monkeypatch.setattr(shipped, "CORPUS", tmp_path / "corpus")
    before = shipped.release()
    assert shipped.release() == before
    sheet = tmp_path / "corpus" / "zh" / "potato-late-blight.md"
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("马铃薯", "土豆"), encoding="utf-8")
    assert shipped.release() != before


def test_a_damaged_sheet_stops_the_build_with_its_name(
    index: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "corpus" / "en").mkdir(parents=True)
    (tmp_path / "corpus" / "en" / "empty.md").write_text("")
    monkeypatch.setattr(shipped, "CORPUS", tmp_path / "corpus")
    with pytest.raises(DocumentUnreadable, match=r"empty\.md"):
        shipped.ensure(index, embedder)
    assert not index.exists()


def test_who_asks_what_to_do_about_a_problem_is_told_steps(embedder: Embedder, tmp_path: Path) -> None:
    shipped.ensure(tmp_path, embedder)
    glossary = Glossary.load()
    assistant = Assistant(search=KnowledgeBase(tmp_path, embedder).search, model=Composer(), glossary=glossary)
    problems = {each.document_id for each in shipped.sheets() if each.heading.startswith("What to do now")}
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    asked = [Question(text=row["question"]) for row in rows if row["document_id"] in problems]
    acting = [question for question in asked if understand(question, glossary).intent == "act"]
    answers = [answer for answer in map(assistant.answer, acting) if answer.kind == "advice"]
    without = [answer.question.text for answer in answers if "\n- " not in f"\n{answer.text}" and "label" not in answer.text]
    assert len(answers) >= 75
    assert len(without) <= 0.03 * len(answers), without
