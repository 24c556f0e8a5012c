"""The part of the training page that shows retrainings: a table, one or two of them chosen, curves, verdict, guards, data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from training.retrain_config import STEPS
from ui import runs, training_curves, training_decisions
from ui.markup import plain
from ui.runs import Run
from ui.words import word

_CHOSEN, _BESIDE = "training-chosen", "training-beside"


def show(found: Sequence[Run], go_on: Callable[[Run], None]) -> None:
    """Show the runs, the newest first; `go_on` shows the button for one that is not finished."""
    st.subheader(word("training_runs_title"), anchor=False)
    if not found:
        st.caption(word("training_no_runs"))
        return
    with st.container(key="training-runs"):
        st.table([_line(run) for run in found], hide_index=True)
    by_name = {run.name: run for run in found}
    for key in (_CHOSEN, _BESIDE):  # a folder that was deleted is no choice any more
        if st.session_state.get(key) not in (*by_name, None):
            del st.session_state[key]
    with st.container(horizontal=True):
        chosen = st.selectbox(word("training_chosen"), list(by_name), key=_CHOSEN)
        others = [name for name in by_name if name != chosen]
        if st.session_state.get(_BESIDE) == chosen:
            del st.session_state[_BESIDE]
        beside = st.selectbox(
            word("training_beside"), others, index=None, key=_BESIDE, placeholder=word("training_none"), disabled=not others
        )
    shown = [by_name[name] for name in (chosen, beside) if name]
    for place, run in zip(st.columns(len(shown)), shown, strict=True):
        with place:
            _one(run)
            if run.name == chosen:
                _buttons(run, go_on)


def _line(run: Run) -> dict[str, str]:
    rate = (run.verdict or {}).get("win_rate", {})
    said = f"{rate['value']:.0%} ({rate['low']:.0%}–{rate['high']:.0%})" if "value" in rate else ""
    return {
        word("training_name"): run.name,
        word("training_method"): run.method,
        word("training_state"): word(f"training_is_{run.state}"),
        word("training_win_rate"): said,
        word("training_when"): f"{run.begun_at:%Y-%m-%d %H:%M}",
    }


def _buttons(run: Run, go_on: Callable[[Run], None]) -> None:
    if run.state == "unfinished":
        go_on(run)
    if run.state == "passed":
        training_decisions.promote_button(run)


def _one(run: Run) -> None:
    st.markdown(f"**{plain(run.name)}**: {plain(word(f'training_is_{run.state}'))}")
    if run.state == "damaged":
        st.error(plain(run.problem), icon=":material/error:")
        return
    if run.state == "unfinished":
        last = " ".join(runs.log(run, 1))
        st.info(
            word("training_unfinished", done=str(len(run.done)), of=str(len(STEPS)), last=plain(last)), icon=":material/pause:"
        )
    _verdict(run)
    training_curves.show(run)
    _guards(run)
    text = runs.card(run)
    if text:
        with st.expander(word("training_card")), st.container(key=f"card-{run.name}"):
            st.markdown(text.replace("# ", "#### ", 1))


def _verdict(run: Run) -> None:
    if run.verdict is None:
        return
    if run.verdict["promote"]:
        st.success(word("training_verdict_yes"), icon=":material/check_circle:")
    else:
        st.warning(word("training_verdict_no"), icon=":material/block:")
    st.markdown("\n".join(f"- {plain(str(each))}" for each in [*run.verdict["reasons"], *run.verdict["notes"]]))


def _guards(run: Run) -> None:
    if run.verdict is None or not run.verdict["guards"]:
        return
    with st.expander(word("training_guards", number=str(len(run.verdict["guards"])))):
        st.table([_guard(each) for each in run.verdict["guards"]], hide_index=True)


def _guard(each: dict[str, object]) -> dict[str, str]:
    low, high = each.get("low"), each.get("high")
    known = isinstance(low, int | float) and isinstance(high, int | float)
    return {
        word("training_guard"): f"{each.get('suite')}: {each.get('measure')}",
        word("training_language"): str(each.get("language")),
        word("training_cases"): str(each.get("cases")),
        word("training_difference"): f"{each.get('difference'):+.3f}",
        word("training_interval"): f"{low:+.3f} … {high:+.3f}" if known else "",
        word("training_may_lose"): str(each.get("margin")),
    }
