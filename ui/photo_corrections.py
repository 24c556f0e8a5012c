"""Below a diagnosis: "This was wrong", then what the photo shows instead; kept with the photos for the next training."""

from __future__ import annotations

import streamlit as st

from agri_llm.album import LONGEST_COMMENT
from agri_llm.errors import AgriError, NotYours, StoreUnavailable
from agri_llm.records import BACKGROUND, HEALTHY, OTHER, Answer, PhotoLabel
from knowledge_base import photo_labels
from ui import photo_consent, wiring, words
from ui.markup import plain
from ui.photo_consent import CORRECTION
from ui.words import word


@st.fragment
def show(owner: str, answer: Answer) -> None:
    """Show what the visitor said of the photos of an answer, or offer to say it; nothing where there is no diagnosis."""
    if answer.diagnosis is None or answer.diagnosis.quality != "good":
        return
    said = _stored(owner, answer)
    with st.container(key=_key("box", answer), gap="small"):
        if st.session_state.get(_key("open", answer)):
            _form(owner, answer)
        elif said is not None:
            _thanks(owner, answer, said)
        elif answer.question.photos:
            st.button(
                word("photo_wrong"),
                key=_key("wrong", answer),
                type="tertiary",
                icon=":material/flag:",
                on_click=_open,
                args=(answer,),
            )
        else:
            st.caption(word("photo_missing"))
        if not st.session_state.get(_key("open", answer)):
            _problem(answer)  # that the photos could not be deleted; the form shows its own above its buttons


def _problem(answer: Answer) -> None:
    problem = st.session_state.pop(_key("problem", answer), None)
    if problem:
        st.warning(problem, icon=":material/error:")


def _thanks(owner: str, answer: Answer, said: PhotoLabel) -> None:
    name = said.comment if said.label.endswith(OTHER) else photo_labels.name_of(said.label, words.language())
    name = word("photo_no_plant") if said.label == BACKGROUND else name
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(word("photo_saved", name=plain(name)), width="content")
        st.button(word("vote_change"), key=_key("change", answer), type="tertiary", on_click=_open, args=(answer,))
        st.button(word("photo_take_back"), key=_key("drop", answer), type="tertiary", on_click=_drop, args=(owner, answer))


def _form(owner: str, answer: Answer) -> None:
    with st.container(border=True, key=_key("form", answer)):
        label = _chosen(answer)
        if label is not None and label.endswith(OTHER):
            st.text_input(word("photo_in_words"), max_chars=LONGEST_COMMENT, key=_key("words", answer))
        if not photo_consent.is_given(owner):
            st.checkbox(word("photo_keep_this"), key=_key("keep", answer))
        _problem(answer)
        with st.container(horizontal=True):
            st.button(word("vote_save"), key=_key("save", answer), type="primary", on_click=_save, args=(owner, answer, label))
            st.button(word("close"), key=_key("close", answer), on_click=_close, args=(answer,))


def _chosen(answer: Answer) -> str | None:
    """Show the choice of the plant, then of what it has; return the label, None while nothing is chosen."""
    assert answer.diagnosis is not None
    crops = sorted(photo_labels.crops(), key=_crop)
    seen = photo_labels.crop_in(answer.diagnosis.label)
    crop = st.selectbox(
        word("photo_plant"),
        [*crops, BACKGROUND, OTHER],
        index=crops.index(seen) if seen in crops else None,
        format_func=_crop,
        placeholder=word("photo_choose"),
        key=_key("crop", answer),
    )
    if crop is None or crop in (BACKGROUND, OTHER):
        return crop
    conditions = [label for label in photo_labels.conditions(crop) if not label.endswith(HEALTHY)]
    chosen: str | None = st.selectbox(
        word("photo_condition"),
        [f"{crop}{HEALTHY}", *sorted(conditions, key=_condition), f"{crop}__{OTHER}"],
        index=None,
        format_func=_condition,
        placeholder=word("photo_choose"),
        key=_key(f"condition-{crop}", answer),
    )
    return chosen


def _crop(crop: str) -> str:
    if crop in (BACKGROUND, OTHER):
        return word("photo_no_plant" if crop == BACKGROUND else "photo_something_else")
    return photo_labels.crop_name(crop, words.language())


def _condition(label: str) -> str:
    return word("photo_something_else") if label.endswith(OTHER) else photo_labels.name_of(label, words.language())


def _open(answer: Answer) -> None:
    st.session_state[_key("open", answer)] = True


def _close(answer: Answer) -> None:
    st.session_state[_key("open", answer)] = False


def _save(owner: str, answer: Answer, label: str | None) -> None:
    said = str(st.session_state.get(_key("words", answer)) or "").strip() if (label or "").endswith(OTHER) else ""
    problem = ""
    if label is None:
        problem = word("photo_choose_first")
    elif label.endswith(OTHER) and not said:
        problem = word("photo_say_first")
    elif not photo_consent.is_given(owner) and not st.session_state.get(_key("keep", answer)):
        problem = word("photo_consent_first")
    if problem or label is None:
        st.session_state[_key("problem", answer)] = problem
        return
    try:
        wiring.store().album.correct(owner, answer, label, said)
    except AgriError as error:
        _failed(answer, error)
        return
    _forget(answer)


def _drop(owner: str, answer: Answer) -> None:
    try:
        wiring.store().album.drop(owner, answer.question.id)
    except AgriError as error:
        _failed(answer, error)
        return
    _forget(answer)


def _failed(answer: Answer, error: AgriError) -> None:
    """Say in the visitor's language that the store did not take it; what else can be wrong is said as it is."""
    gone = isinstance(error, (StoreUnavailable, NotYours))
    st.session_state[_key("problem", answer)] = word("photos_not_saved") if gone else plain(str(error))


def _forget(answer: Answer) -> None:
    """Close the form, and ask the store again what it has."""
    st.session_state.pop(_key("said", answer), None)
    _close(answer)


def _stored(owner: str, answer: Answer) -> PhotoLabel | None:
    """What the visitor said, as it stands in the store; asked for once, and again after each change."""
    key = _key("said", answer)
    if key not in st.session_state:
        try:
            st.session_state[key] = wiring.store().album.correction_of(owner, answer.question.id)
        except StoreUnavailable:
            return None
    said: PhotoLabel | None = st.session_state[key]
    return said


def _key(part: str, answer: Answer) -> str:
    return f"{CORRECTION}-{part}-{answer.id}"
