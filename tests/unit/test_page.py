"""The chat page without a browser: what it shows, stores and survives. The browser tests do the same with real clicks."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import config
from streamlit.testing.v1 import AppTest

import ui
from agri_llm.assistant import Assistant
from agri_llm.errors import IndexMissing, ModelUnavailable, SettingsInvalid
from agri_llm.language.brief import Brief
from agri_llm.records import Answer, Citation, Hit, Passage, Question
from agri_llm.store import Store
from knowledge_base.terms import Glossary
from ui import citations, markup, protection, visitors, wiring

PAGES = Path(ui.__file__).parent
PASSAGE = Passage(
    id="p1",
    document_id="d1",
    title="Early blight of tomato",
    heading="What to do now > Cultural",
    text="Pick off the lowest tomato leaves with early blight spots. Water the soil and not the tomato leaves.",
    page=3,
    region=("world",),
    crop=("tomato",),
    licence="CC-BY-4.0",
    published="2026-11-23",
    sources=("FAO, Tomato guide, 2000",),
    url="https://example.org/tomato",
)
WRITTEN = [sentence + "[1]\n" for sentence in PASSAGE.text.split(". ")]
TOMATO = "How do I control early blight of tomato?"


class Script:
    """A writer that says what the test tells it to; an exception among its lines is raised."""

    name = "script"
    adapter = None

    def __init__(self, lines: list[str | Exception]) -> None:
        self.lines = lines
        self.briefs: list[Brief] = []

    def stream(self, brief: Brief) -> Iterator[str]:
        self.briefs.append(brief)
        for line in self.lines:
            if isinstance(line, Exception):
                raise line
            yield line


def found(query: str, k: int = 10, *, crop: tuple[str, ...] | None = None) -> list[Hit]:
    return [Hit(passage=PASSAGE, score=0.9, words=0.9, meaning=0.9)]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Script]:
    """A page on an empty database whose writer quotes the passage above."""
    monkeypatch.setenv("AGRI_HOME", str(tmp_path))
    monkeypatch.delenv("AGRI_LANGUAGE", raising=False)
    wiring.settings.cache_clear()
    store = Store(f"sqlite:///{tmp_path / 'agri.sqlite3'}")
    store.migrate()
    writer = Script([*WRITTEN])
    assistant = Assistant(search=found, model=writer, glossary=Glossary.load())
    monkeypatch.setattr(wiring, "store", lambda: store)
    monkeypatch.setattr(wiring, "assistant", lambda: assistant)
    yield writer
    store.close()
    wiring.settings.cache_clear()


def page(**query: str) -> AppTest:
    app = AppTest.from_file(str(PAGES / "app.py"), default_timeout=30)
    app.query_params.update(query)
    return app.run()


def ask(app: AppTest, text: str) -> AppTest:
    return app.chat_input[0].set_value(text).run()


def shown(app: AppTest) -> str:
    """Everything on the page as one text."""
    kinds = (app.get("html"), app.markdown, app.caption, app.title, app.warning, app.info, app.error, app.button)
    return "\n".join(str(getattr(element, "label", "") or element.value) for kind in kinds for element in kind)


def owner(app: AppTest) -> str:
    return str(app.session_state["passing_visitor"])


def test_a_newcomer_sees_what_it_is_and_three_examples(script: Script) -> None:
    app = page()
    assert app.title[0].value == "Agri"
    assert [button.key for button in app.button if str(button.key).startswith("example")] == [
        "example_1",
        "example_2",
        "example_3",
    ]
    assert not app.exception


def test_an_example_is_answered_with_its_source_and_stored(script: Script) -> None:
    app = page()
    app.button(key="example_1").click().run()
    assert "Pick off the lowest tomato leaves" in shown(app)
    assert 'class="agri-mark"' in shown(app)
    assert "<mark>Pick off the lowest tomato leaves with early blight spots.</mark>" in shown(app)
    assert "CC-BY-4.0" in shown(app)
    (conversation,) = wiring.store().conversations(owner(app))
    assert app.query_params["c"] in (conversation.id, [conversation.id])
    (answer,) = wiring.store().turns(owner(app), conversation.id)
    assert answer.complete
    assert len(answer.citations) == 2


def test_a_follow_up_carries_at_most_three_questions_before_it(script: Script) -> None:
    app = page()
    for _ in range(5):
        ask(app, TOMATO)
    question: Question | None = script.briefs[-1].question
    chain = 0
    while question is not None and question.follows is not None:
        question, chain = question.follows, chain + 1
    assert chain == 3


def test_details_of_the_field_go_with_every_question(script: Script) -> None:
    app = page()
    app.text_input(key="field_place").set_value("Kenya").run()
    ask(app, TOMATO)
    ask(app, TOMATO)
    assert [brief.question.place for brief in script.briefs] == ["Kenya", "Kenya"]


def test_a_writer_that_dies_in_the_middle_leaves_what_was_shown(script: Script) -> None:
    script.lines = [*WRITTEN, ModelUnavailable("The model server died", "it cannot go on", "ask again")]
    app = ask(page(), TOMATO)
    (answer,) = wiring.store().turns(owner(app), wiring.store().conversations(owner(app))[0].id)
    assert not answer.complete
    assert answer.text.startswith("Pick off")
    assert "Pick off the lowest tomato leaves" in shown(app)
    assert "The model server died" in shown(app)


def test_a_writer_that_never_begins_is_told_and_can_be_asked_again(script: Script) -> None:
    script.lines = [ModelUnavailable("The model server is silent", "nothing can be written", "start it")]
    app = ask(page(), TOMATO)
    assert "The model server is silent" in shown(app)
    assert wiring.store().conversations(owner(app)) == []
    script.lines = [*WRITTEN]
    app.button(key="ask-again").click().run()
    assert "Pick off the lowest tomato leaves" in shown(app)
    assert "silent" not in shown(app)


def test_a_missing_index_is_one_sentence_with_the_remedy(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Assistant:
        raise IndexMissing("There is no index", "nothing can be searched", "run `agri index build`")

    monkeypatch.setattr(wiring, "assistant", missing)
    app = ask(page(), TOMATO)
    assert "agri index build" in shown(app)
    assert not app.exception


def test_what_nobody_expected_is_shown_as_a_number_that_the_log_has_too(
    script: Script, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Assistant:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(wiring, "assistant", broken)
    with caplog.at_level(logging.ERROR, logger="agri.page"):
        app = ask(page(), TOMATO)
    reference = re.findall(r"number ([0-9a-f]{8})", app.error[0].value)[0]
    assert "secret detail" not in shown(app)
    assert not app.exception
    assert reference in caplog.text


def test_without_a_database_people_get_answers_and_a_notice(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wiring, "store", lambda: Store(f"sqlite:///{tmp_path / 'never-migrated.sqlite3'}"))
    app = ask(page(), TOMATO)
    assert "Pick off the lowest tomato leaves" in shown(app)
    assert "Nothing is being saved" in app.warning[0].value
    assert not app.get("feedback")
    ask(app, TOMATO)
    assert shown(app).count('"agri-question"') == 2


def test_a_vote_is_stored_at_once_then_explained_then_there_again(script: Script) -> None:
    app = ask(page(), TOMATO)
    store, conversation = wiring.store(), wiring.store().conversations(owner(app))[0].id
    answer = store.turns(owner(app), conversation)[0]
    app.get("feedback")[0].set_value(0).run()
    vote = store.feedback_of(owner(app), answer.id)
    assert vote is not None
    assert vote.rating == "down"
    app.button_group(key=f"reasons-down-{answer.id}").set_value(["unsafe"])
    app.text_area(key=f"correction-{answer.id}").set_value("Say which gloves.")
    next(button for button in app.button if button.label == "Save").click().run()
    again = AppTest.from_file(str(PAGES / "app.py"), default_timeout=30)
    again.session_state["passing_visitor"] = owner(app)
    again.query_params["c"] = conversation
    again.run()
    assert "Your vote is saved" in shown(again)
    vote = store.feedback_of(owner(app), answer.id)
    assert vote is not None
    assert (vote.reasons, vote.correction) == (("unsafe",), "Say which gloves.")


def test_somebody_elses_conversation_is_not_found(script: Script) -> None:
    mine = ask(page(), TOMATO)
    theirs = page(c=wiring.store().conversations(owner(mine))[0].id)
    assert "not among yours" in theirs.info[0].value
    assert "Pick off" not in shown(theirs)


def test_only_ten_turns_are_shown_until_more_are_asked_for(script: Script) -> None:
    app = page()
    app.session_state["passing_visitor"] = "somebody"
    conversation: str | None = None
    for number in range(12):
        answer = Answer(question=Question(text=f"Question {number}"), kind="refusal", text=f"Answer {number}")
        conversation = wiring.store().save_turn(owner="somebody", conversation_id=conversation, answer=answer)
    app.query_params["c"] = conversation
    app.run()
    assert shown(app).count('"agri-question"') == 10
    app.button(key="earlier").click().run()
    assert shown(app).count('"agri-question"') == 12


def test_a_question_back_about_the_crop_offers_crops(script: Script) -> None:
    app = ask(page(), "My plants have spots on the leaves, what should I do?")
    assert "A question back" in shown(app)
    next(button for button in app.button if button.label == "tomato").click().run()
    assert script.briefs[-1].question.text == "tomato"
    assert script.briefs[-1].question.follows is not None


def test_deleting_asks_first(script: Script) -> None:
    app = ask(page(), TOMATO)
    (conversation,) = wiring.store().conversations(owner(app))
    app.button(key=f"delete-{conversation.id}").click().run()
    assert len(wiring.store().conversations(owner(app))) == 1
    app.button(key="delete-yes").click().run()
    assert wiring.store().conversations(owner(app)) == []
    assert "Pick off" not in shown(app)


def test_the_language_changes_every_word_at_once(script: Script) -> None:
    app = page(lang="zh")
    assert app.title[0].value == "Agri 农业助手"
    app.button_group(key="lang").set_value("en").run()
    assert app.title[0].value == "Agri"


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes.update(attrs)


HOSTILE = [
    "<script>alert(1)</script>",
    "![p](https://evil.example/p.png)",
    "[l](javascript:alert(1))",
    "[l]: https://evil.example\n\n![l]",
    "<https://evil.example>",
    '"><img src=x onerror=alert(1)>',
    "# heading\n\n> quote\n\n    code\n\n```\nfence\n```\n\n| a |\n|---|",
    "$$\\href{javascript:alert(1)}{x}$$ :material/delete: :red[x]",
    "&lt;b&gt; &#60;b&#62;",
]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*HOSTILE, "*", "_", "- ", "1. ", "\n", " ", "[1]", "[2]", "<", "&"]) | st.text(max_size=5)).map(
        "".join
    )
)
def test_no_text_whatever_becomes_more_than_words_and_marks(text: str) -> None:
    tags = _Tags(markup.answer_html(text, {1: "c-1"}, "Source {number}"))
    assert tags.found <= {"p", "ul", "ol", "li", "em", "strong", "a", "br"}
    links = {value for name, value in tags.attributes if name == "href"}
    assert links <= {"#c-1"}
    assert {name for name, _ in tags.attributes} <= {"href", "class", "aria-label", "start"}


@settings(deadline=None)
@given(st.lists(st.sampled_from([*HOSTILE, "~", "`", "\\", "^"]) | st.text(max_size=5)).map("".join))
def test_plain_text_comes_through_markdown_as_it_was_typed(text: str) -> None:
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markup.plain(text))
    assert _Tags(rendered).found <= {"p"}


def test_steps_become_a_list_and_marks_become_links() -> None:
    html = markup.answer_html("First.[1]\n\n- Do **this**.[2]\n- Do that.[3]", {1: "a", 2: "b"}, "Source {number}")
    assert html.count("<li>") == 2
    assert '<a class="agri-mark" href="#b" aria-label="Source 2">2</a>' in html
    assert "that.[3]" in html


def test_quotes_that_overlap_are_each_reachable_and_the_text_stays_whole() -> None:
    quotes = ("the lowest tomato leaves with early", "leaves with early blight spots.", "not the tomato leaves.")
    cited = [Citation(number=at, passage=PASSAGE, quote=quote) for at, quote in enumerate(quotes, start=1)]
    answer = Answer(question=Question(text="?"), kind="advice", text="", citations=tuple(cited), id="A")
    html = citations.marked_text(answer, cited)
    assert [f'id="c-A-{number}"' in html for number in (1, 2, 3)] == [True, True, True]
    assert re.sub(r"<[^>]*>", "", html) == PASSAGE.text
    assert html.count("<mark>") == 3


@pytest.mark.parametrize(
    ("url", "is_link"), [("https://example.org/a?b=1", True), ("javascript:alert(1)", False), ("http://[", False)]
)
def test_only_addresses_of_web_pages_become_links(script: Script, url: str, is_link: bool) -> None:
    passage = replace(PASSAGE, url=url)
    cited = (Citation(number=1, passage=passage, quote="Water the soil"),)
    html = citations.sources_html(Answer(question=Question(text="?"), kind="advice", text="", citations=cited))
    assert ("href" in html) == is_link


@pytest.fixture
def server(script: Script) -> Callable[..., TestClient]:
    middleware = [Middleware(protection.SecurityHeaders), Middleware(visitors.VisitorCookie)]
    inner = Starlette(
        routes=[Route("/{path:path}", lambda _: PlainTextResponse("page"))],
        middleware=middleware,
    )
    return lambda base="http://localhost": TestClient(inner, base_url=base)


def test_a_visitor_gets_one_cookie_that_stays_valid(server: Callable[..., TestClient]) -> None:
    client = server()
    first = client.get("/")
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "SameSite=Lax" in first.headers["set-cookie"]
    assert "Secure" not in first.headers["set-cookie"]
    assert visitors.key_in(client.cookies[visitors.COOKIE]) is not None
    assert "set-cookie" not in client.get("/").headers
    assert "set-cookie" in server().get("/sign-in").headers  # each page may be the first one opened
    for other in ("/api/health", "/favicon.png", "/static/js/index.js", "/_stcore/health"):
        assert "set-cookie" not in server().get(other).headers


def test_a_forged_cookie_is_replaced_and_https_makes_it_secure(server: Callable[..., TestClient]) -> None:
    forged = visitors.new_cookie().replace(".", "x.", 1)
    assert visitors.key_in(forged) is None
    reply = server("https://localhost").get("/", headers={"cookie": f"{visitors.COOKIE}={forged}"})
    assert "Secure" in reply.headers["set-cookie"]
    behind_proxy = server().get("/", headers={"x-forwarded-proto": "https"})
    assert "Secure" in behind_proxy.headers["set-cookie"]


def test_every_reply_carries_the_protecting_headers(server: Callable[..., TestClient]) -> None:
    headers = server().get("/anything").headers
    for name, value in protection.HEADERS.items():
        assert headers[name] == value


def test_the_server_refuses_options_that_show_internals() -> None:
    before = {name: config.get_option(name) for name in protection.NEEDED_OPTIONS}
    try:
        for name, needed in protection.NEEDED_OPTIONS.items():
            config.set_option(name, needed)
        protection.check_options()
        config.set_option("client.showErrorDetails", "full")
        with pytest.raises(SettingsInvalid, match="showErrorDetails is 'full'"):
            protection.check_options()
    finally:
        for name, value in before.items():
            config.set_option(name, value)


def _words(language: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((PAGES / "locales" / f"{language}.json").read_text(encoding="utf-8"))
    return loaded


def test_all_languages_have_the_same_words_with_the_same_places() -> None:
    english, chinese = _words("en"), _words("zh")
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", chinese[key])), key


def _page_modules() -> dict[str, ast.Module]:
    modules = [path for path in PAGES.glob("*.py") if path.name not in ("cli.py", "wiring.py")]
    return {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in modules}


def test_every_word_is_used_and_every_used_word_exists() -> None:
    known = set(_words("en"))
    used: set[str] = set()
    for name, tree in _page_modules().items():
        constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        used |= constants & known
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "word"):
                continue
            for key in ast.walk(node.args[0]):
                if isinstance(key, ast.Constant) and not isinstance(node.args[0], ast.JoinedStr):
                    assert key.value in known, (name, key.value)
            if isinstance(node.args[0], ast.JoinedStr):
                start = node.args[0].values[0]
                assert isinstance(start, ast.Constant)
                family = {key for key in known if key.startswith(str(start.value))}
                assert family, (name, start.value)
                used |= family
    assert known - used == set()


SHOWING = set(
    "title header subheader markdown caption button text_input text_area selectbox pills popover form_submit_button error"
    " warning info success chat_input segmented_control dialog expander text write toast spinner radio checkbox".split()
)


def test_no_page_holds_words_of_its_own() -> None:
    for name, tree in _page_modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("st.") in SHOWING and node.args:
                text = node.args[0]
                assert not (isinstance(text, ast.Constant) and re.search(r"[A-Za-z]", str(text.value))), (name, node.lineno)
