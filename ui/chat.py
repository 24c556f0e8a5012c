"""The chat page: a question in, the answer sentence by sentence, its sources, votes and what was asked before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from agri_llm.assistant import partial_answer
from agri_llm.errors import AgriError
from agri_llm.records import Answer, Question, Sentence
from ui import (
    answers,
    camera,
    conversations,
    field,
    history,
    outcome_question,
    photo_consent,
    photo_corrections,
    pictures,
    training_consent,
    visitors,
    votes,
    wiring,
)
from ui.conversations import Conversation
from ui.markup import plain, question_html
from ui.pictures import Uploaded
from ui.words import word
from ui.writing import Writing

EXAMPLES = ("example_1", "example_2", "example_3")
PARTS = ("old_leaves", "young_leaves", "stems", "roots", "fruits")
READ_AT_MOST = 20_000  # above the assistant's own limit: Streamlit cuts silently, the assistant says so
TICK_SECONDS = 0.25  # how long pressing stop may take
PERSON, PLANT = ":material/person:", ":material/eco:"


def show() -> None:
    """Show the whole page for whoever looks at it."""
    owner = visitors.owner()
    with st.sidebar:
        history.language_switch()
        talk = conversations.current(owner)
        history.show(owner, talk)
        training_consent.your_data(owner)
    asked = _asked()
    _notices(talk)
    outcome_question.show(owner)
    if not (talk.turns or asked or talk.failed or talk.missing):
        _welcome()
    _turns(owner, talk)
    if asked:
        text, files = (asked, []) if isinstance(asked, str) else (asked.text, asked.files)
        _answer(owner, talk, text, (*files, *camera.taken()))
    elif talk.failed:
        _failure(*talk.failed)
    elif talk.turns:
        _choices(talk.turns[-1])


def _asked() -> Any:
    """Show what is said before a question and the box for it; return what was just asked, a text or a text with files."""
    with st.bottom:
        with st.container(horizontal=True, gap="small", key="before-asking"):
            field.show()
            camera.button()
        waiting = st.empty()
        typed = st.chat_input(
            word("ask_here"),
            key="question",
            max_chars=READ_AT_MOST,
            submit_mode="stop",
            accept_file="multiple",
            file_type=pictures.TYPES,
        )
    asked = typed or st.session_state.pop("asked", None)
    if not asked:
        with waiting.container():
            camera.waiting()
    return asked


def _notices(talk: Conversation) -> None:
    if conversations.is_nothing_saved():
        st.warning(word("nothing_saved"), icon=":material/cloud_off:")
    if talk.missing:
        st.info(word("not_found"), icon=":material/search_off:")


def _welcome() -> None:
    with st.container(key="welcome"):
        st.title(word("title"), anchor=False)
        st.markdown(word("welcome"))
        for example in EXAMPLES:
            _asking_button(word(example), key=example)
        st.caption(word("promise"))


def _turns(owner: str, talk: Conversation) -> None:
    if len(talk.turns) > talk.shown:
        st.button(word("earlier"), key="earlier", type="tertiary", icon=":material/expand_less:", on_click=_show_earlier)
    for turn in talk.turns[-talk.shown :]:
        with st.chat_message("user", avatar=PERSON):
            st.html(question_html(turn.question.text))
            pictures.thumbnails(turn.question.photos)
            photo_consent.show(owner, talk, turn)
        with st.chat_message("assistant", avatar=PLANT):
            pictures.diagnosis(turn)
            if turn.id not in talk.unsaved:
                photo_corrections.show(owner, turn)
            st.html(answers.finished_html(turn))
            if turn.text and turn.id not in talk.unsaved:
                votes.show(owner, turn.id, newest=turn is talk.turns[-1])


def _answer(owner: str, talk: Conversation, text: str, files: Sequence[Uploaded]) -> None:
    known = field.details()
    text = text if text.strip() or not files else word("about_photo")
    question = Question(
        text=text,
        crop=known.crop,
        place=known.place,
        stage=known.stage,
        follows=talk.earlier(),
        conversation=talk.id or talk.first_id,
    )
    talk.failed = None
    with st.chat_message("user", avatar=PERSON):
        st.html(question_html(text))
        shown = st.empty()
    with st.chat_message("assistant", avatar=PLANT):
        _redraw_when_stopped(len(talk.turns))
        try:
            question = replace(question, photos=pictures.received(files))
            with shown.container():
                pictures.thumbnails(question.photos)
            _write(owner, talk, question)
        except AgriError as error:
            talk.failed = (question, error)
    st.rerun()


def _write(owner: str, talk: Conversation, question: Question) -> None:
    """Follow an answer until it is done or the visitor stops it; what was shown is kept in either case."""
    place = st.empty()
    place.html(answers.unfinished_html(question, [], "start"))
    step, shown, answer, failed = "start", list[Sentence](), None, False
    writing = Writing(wiring.assistant(), question)
    try:
        for event in writing.events(TICK_SECONDS):
            if isinstance(event, Answer):
                answer = event
                continue
            if isinstance(event, Sentence):
                shown.append(event)
            elif event is not None:
                step = event.name
            place.html(answers.unfinished_html(question, shown, step))  # also where Streamlit lets a stop take effect
    except Exception:
        failed = not shown
        raise
    finally:
        writing.stop()
        if not failed:
            conversations.keep(owner, talk, answer or writing.assistant.stamped(partial_answer(question, shown)))


@st.fragment(run_every=1.0)
def _redraw_when_stopped(turns: int) -> None:
    """Stopping ends the page's script where it is; this draws it once more, with sources and thumbs for what was kept."""
    talk: Conversation = st.session_state["conversation"]
    if len(talk.turns) > turns:
        st.rerun()


def _failure(question: Question, error: AgriError) -> None:
    with st.chat_message("user", avatar=PERSON):
        st.html(question_html(question.text))
    with st.chat_message("assistant", avatar=PLANT):
        st.error(plain(str(error)), icon=":material/error:")
        _asking_button(word("ask_again"), key="ask-again", text=question.text, icon=":material/refresh:")


def _choices(last: Answer) -> None:
    """Offer what a question back asks for as buttons, and to ask again what was stopped."""
    if not last.complete:
        _asking_button(word("ask_again"), key="ask-again", text=last.question.text, icon=":material/refresh:")
    names: list[str] = []
    if "crop" in last.missing:
        names = [field.crop_name(crop) for crop in field.COMMON_CROPS]
    elif "part" in last.missing:
        names = [word(f"part_{part}") for part in PARTS]
    with st.container(horizontal=True, key="choices", gap="xsmall"):
        for name in names:
            _asking_button(name, key=f"choice-{last.id}-{name}")


def _asking_button(label: str, *, key: str, text: str | None = None, icon: str | None = None) -> None:
    """A button that asks a question, its own label unless `text` says otherwise."""
    st.button(plain(label), key=key, icon=icon, on_click=_ask, args=(text or label,))


def _ask(text: str) -> None:
    st.session_state["asked"] = text


def _show_earlier() -> None:
    talk: Conversation = st.session_state["conversation"]
    talk.shown += conversations.TURNS_AT_ONCE
