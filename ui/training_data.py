"""The part of the training page that says what a retraining would learn from; it is counted when somebody asks."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from agri_llm.errors import BadInput
from agri_llm.judgements import Account, Material
from agri_llm.records import now
from ui import session, wiring
from ui.markup import plain
from ui.words import word

_LOOKED = "training-looked"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What people said, how many rows each part would have on each side, what is left out, and corrections that go back.

    `returned` are (who wrote it, why). `problem` says why there is nothing to learn from.
    """

    said: Mapping[str, int]
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    returned: Sequence[tuple[str, str]] = ()
    problem: str = ""
    at: str = ""


def show() -> None:
    """Show the button, and what it found the last time."""
    st.subheader(word("training_data_title"), anchor=False)
    st.caption(word("training_data_about"))
    if st.button(word("training_look"), key="training-look", icon=":material/search:"):
        me = session.require("administrator")
        with st.spinner(word("training_looking")):
            st.session_state[_LOOKED] = look(me)
    found: Look | None = st.session_state.get(_LOOKED)
    if found is not None:
        _show(found)


def look(me: Account) -> Look:
    """Count what people who agreed said, and make it into data in a folder that is thrown away."""
    from training import preferences, retrain_config

    material, salt = wiring.store().teachable(), wiring.visitor_secret()
    said, at = counts(material), f"{now():%Y-%m-%d %H:%M} UTC"
    try:
        rules = retrain_config.read(own_settings("dpo") or retrain_config.shipped("dpo")).rules(salt)
        with tempfile.TemporaryDirectory() as place:
            made = preferences.build(material, Path(place) / "data", rules)
    except BadInput as error:
        return Look(said=said, problem=str(error), at=at)
    return Look(
        said=said,
        rows={part: dict(made.rows(part)) for part in preferences.PARTS},
        left_out=dict(made.manifest["counts"]),
        returned=[(_name(each["rater"], me, salt), each["reason"]) for each in made.returned],
        at=at,
    )


def own_settings(method: str) -> Path | None:
    """Return the settings of this installation for a method, where somebody wrote some; else those that are shipped hold."""
    own = wiring.settings().home / f"retrain-{method}.yaml"
    return own.absolute() if own.is_file() else None


def counts(material: Material) -> dict[str, int]:
    """Return how much of each kind people said."""
    corrected = [each.correction for each in material.votes] + [each.correction for each in material.reviews]
    return {
        "votes": len(material.votes),
        "outcomes": len(material.outcomes),
        "reviews": len(material.reviews),
        "comparisons": len(material.comparisons),
        "corrections": len(list(filter(None, corrected))),
        "signed": len(material.signed),
    }


def _name(rater: str, me: Account, salt: str) -> str:
    """The name of the account behind a hash; a farmer has none."""
    from training.material_file import rater_hash

    for each in wiring.store().accounts.everyone(me.id):
        if rater in (each.id, rater_hash(each.id, salt)):
            return each.name
    return ""


def _show(found: Look) -> None:
    with st.container(horizontal=True):
        for name, number in found.said.items():
            st.metric(word(f"training_said_{name}"), str(number), border=True, width=140)
    if found.problem:
        st.warning(plain(found.problem), icon=":material/info:")
    if found.rows:
        heads = {split: word(f"training_split_{split}") for split in ("train", "validation", "test")}
        st.markdown(f"**{plain(word('training_becomes'))}**")
        st.table(
            [
                {word("training_part"): word(f"training_part_{part}")} | {heads[split]: str(rows[split]) for split in heads}
                for part, rows in found.rows.items()
            ],
            hide_index=True,
        )
    if found.left_out:
        with st.expander(word("training_left_out", number=str(sum(found.left_out.values())))):
            for reason, number in sorted(found.left_out.items(), key=lambda each: -each[1]):
                st.markdown(f"- {number} {plain(reason)}")
    if found.returned:
        with st.expander(word("training_returned", number=str(len(found.returned)))):
            for name, reason in found.returned:
                st.markdown(f"- {plain(name or word('training_a_farmer'))}: {plain(reason)}")
    st.caption(word("training_looked_at", time=plain(found.at)))
