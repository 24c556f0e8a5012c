"""The part of the training page that decides: promote a run that passed the gate, go back to an earlier one, the history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from agri_llm.errors import AgriError, BadInput
from agri_llm.judgements import Account, Promotion
from ui import runs, session, wiring
from ui.markup import plain
from ui.runs import Run
from ui.words import word

_BASE = ""  # the base alone, in the list of what one can go back to
IN_USE = ("promoted", "rolled_back")
PROBLEM = "training-problem"  # what the last click could not do, shown once
_TO, _WHY = "training-back-to", "training-back-why"


def show() -> None:
    """Show what is in use, the button to go back, and every decision."""
    me = session.require("administrator")
    st.subheader(word("training_use_title"), anchor=False)
    history = wiring.store().promotions.history(200)
    current = next((each for each in history if each.kind in IN_USE), None)
    in_use = _named(current.adapter if current else None)
    st.markdown(word("training_in_use", name=plain(in_use)))
    if wiring.settings().adapter:
        st.info(word("training_adapter_fixed"), icon=":material/info:")
    earlier = earlier_than(history)
    if earlier and st.button(word("training_back"), key="training-back", icon=":material/undo:"):
        st.dialog(word("training_back"))(_going_back)(earlier)
    if not history:
        st.caption(word("training_no_decisions"))
        return
    names = {each.id: each.name for each in wiring.store().accounts.everyone(me.id)}
    with st.container(key="training-history"):
        st.table([_line(each, names) for each in history], hide_index=True)


def earlier_than(history: Sequence[Promotion]) -> list[str]:
    """Return the adapters that one can go back to, the one used last first; "" is the base alone."""
    used = [each.adapter or _BASE for each in history if each.kind in IN_USE]
    return [each for each in dict.fromkeys([*used, _BASE]) if used and each != used[0]]


def _named(adapter: str | None) -> str:
    return Path(adapter).parent.name if adapter else word("training_base")


def _line(each: Promotion, names: dict[str, str]) -> dict[str, str]:
    return {
        word("training_when"): f"{each.created_at:%Y-%m-%d %H:%M}",
        word("training_decision"): word(f"training_did_{each.kind}"),
        word("training_name"): _named(each.adapter),
        word("training_by"): names.get(each.by, each.by),
        word("training_reasons"): " ".join(each.reasons),
    }


def promote_button(run: Run) -> None:
    """Show the button that promotes a run, or why it cannot be used."""
    if any(each.adapter == run.adapter and each.kind in IN_USE for each in wiring.store().promotions.history(1000)):
        st.caption(word("training_was_promoted"))
        return
    if st.button(word("training_promote"), key="training-promote", type="primary", icon=":material/publish:"):
        st.dialog(word("training_promote"))(_promoting)(run)


def tried(act: Callable[[Account], None]) -> None:
    """Do what an administrator asked for, asking the store for their right at this moment; a complaint is shown on the page."""
    try:
        act(session.require("administrator"))
    except (AgriError, OSError) as error:
        st.session_state[PROBLEM] = str(error)


def _promoting(run: Run) -> None:
    session.require("administrator")
    st.markdown(word("training_promote_sure", name=plain(run.name)))
    problems = against(run)
    for each in problems:
        st.error(plain(each), icon=":material/error:")
    if st.button(
        word("training_promote_yes"),
        key="training-promote-yes",
        type="primary",
        disabled=bool(problems),
        on_click=tried,
        args=(lambda me: promote(run, me),),
    ):
        st.rerun()


def against(run: Run) -> list[str]:
    """Say what speaks against promoting a run now: something changed since the verdict, or another adapter is in use."""
    from ui.commands.retraining import run_in_use

    found, now_used = runs.changed(run), run_in_use()
    if run.state != "passed":
        found.append(word("training_verdict_no"))
    if (str(now_used) if now_used else None) != run.current:
        found.append(
            word("training_other_in_use", now=_named_run(str(now_used) if now_used else None), then=_named_run(run.current))
        )
    return found


def _named_run(run: str | None) -> str:
    return Path(run).name if run else word("training_base")


def promote(run: Run, me: Account) -> None:
    """Promote a run, looking once more at everything. Raises BadInput with what speaks against it."""
    from ui.commands import retraining

    problems = against(runs.read(run.folder))
    if problems:
        raise BadInput(f"{run.name} is not promoted", " ".join(problems).rstrip("."), "retrain")
    retraining.promoted(run.candidate, me.id)


def _going_back(earlier: list[str]) -> None:
    session.require("administrator")
    st.selectbox(word("training_back_to"), earlier, key=_TO, format_func=_named)
    st.text_input(word("training_back_why"), key=_WHY, max_chars=400)
    clicked = st.button(
        word("training_back_yes"), key="training-back-yes", type="primary", on_click=tried, args=(_go_back_as_said,)
    )
    if clicked and str(st.session_state[_WHY]).strip():
        st.rerun()
    if clicked:
        st.error(word("training_back_reason"), icon=":material/error:")


def _go_back_as_said(me: Account) -> None:
    reason = str(st.session_state[_WHY]).strip()
    if reason:
        go_back(st.session_state[_TO], reason, me)


def go_back(to: str, reason: str, me: Account) -> None:
    """Go back to an adapter, "" for the base alone. Raises BadInput where its files are gone, or it is in use."""
    from ui.commands.retraining import gone_back

    gone_back(to or None, me.id, (reason,))
