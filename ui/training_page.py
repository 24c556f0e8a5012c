"""The administrator's page of retraining: what people said so far, one retraining at a time, its verdict, what is in use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import streamlit as st

from agri_llm.judgements import Account
from agri_llm.records import now
from training.one_run import Holder
from training.retrain_config import STEPS, Method
from ui import retraining_process, runs, session, training_data, training_decisions, training_runs, wiring
from ui.commands.retraining import RETRAININGS
from ui.markup import plain
from ui.training_decisions import PROBLEM, tried
from ui.words import word

METHODS: tuple[Method, ...] = get_args(Method)
_METHOD, _STOPPED, _WORKED = "training-method", "training-stopped", "training-worked"


def folder() -> Path:
    """Where the retrainings of this installation lie."""
    return (wiring.settings().home / RETRAININGS).absolute()


def show() -> None:
    """Show the data that wait, what runs, the runs there are, and which adapter writes."""
    session.require("administrator")
    st.title(word("page_training"), anchor=False)
    problem = st.session_state.pop(PROBLEM, None)
    if problem:
        st.error(plain(problem), icon=":material/error:")
    training_data.show()
    working = retraining_process.holder(folder())
    _work(working)
    training_runs.show(runs.find(folder(), Path(working.folder) if working else None), _go_on_button(working))
    training_decisions.show()


def _work(working: Holder | None) -> None:
    st.subheader(word("training_start_title"), anchor=False)
    blocked = obstacle()
    if blocked:
        st.info(blocked, icon=":material/info:")
    if working is not None:
        st.session_state[_WORKED] = working.folder
        _progress()
        return
    _ended()
    st.segmented_control(
        word("training_method"),
        METHODS,
        key=_METHOD,
        default=METHODS[0],
        required=True,
        format_func=lambda method: word(f"training_method_{method}"),
        disabled=bool(blocked),
    )
    st.caption(word("training_start_about"))
    st.button(
        word("training_start"),
        key="training-start",
        type="primary",
        icon=":material/play_arrow:",
        disabled=bool(blocked),
        on_click=tried,
        args=(_start,),
    )


def obstacle() -> str:
    """Return in the visitor's words why nothing can be trained here; empty where it can."""
    chosen = wiring.settings()
    if chosen.writer != "local":
        return word("training_not_local", writer=plain(chosen.writer))
    if not chosen.model:
        return word("training_no_model")
    return "" if find_spec("trl") else word("training_no_libraries")


def _start(me: Account) -> None:
    method: Method = st.session_state[_METHOD]
    run = folder() / f"{now():%Y%m%d-%H%M%S}-{method}"
    retraining_process.start(run, method, me.name, training_data.own_settings(method))


def _go_on_button(working: Holder | None) -> Callable[[runs.Run], None]:
    """What shows the button by which an unfinished run goes on."""

    def go_on(run: runs.Run) -> None:
        def again(me: Account) -> None:
            retraining_process.start(run.folder, run.method, me.name, training_data.own_settings(run.method))

        st.button(
            word("training_go_on"),
            key="training-go-on",
            icon=":material/play_arrow:",
            disabled=working is not None or bool(obstacle()),
            on_click=tried,
            args=(again,),
        )

    return go_on


def _ended() -> None:
    """Say once what became of the run that was watched here."""
    watched = st.session_state.pop(_WORKED, None)
    stopped = st.session_state.pop(_STOPPED, None)
    if watched is None:
        return
    run = runs.read(Path(watched))
    if run.state in ("passed", "kept_out"):
        st.success(word("training_ended", name=plain(run.name)), icon=":material/flag:")
    elif stopped:
        st.info(word("training_stopped", name=plain(run.name)), icon=":material/pause:")
    else:
        last = " ".join(runs.log(run, 1))
        st.error(word("training_broke", name=plain(run.name), last=plain(last)), icon=":material/error:")


@st.fragment(run_every=2)
def _progress() -> None:
    session.require("administrator")
    working = retraining_process.holder(folder())
    if working is None:
        st.rerun()
    run = runs.read(Path(working.folder), Path(working.folder))
    about = {
        "name": run.name,
        "person": working.person,
        "machine": working.machine,
        "since": f"{datetime.fromisoformat(working.since):%Y-%m-%d %H:%M}",
    }
    st.info(word("training_running", **{name: plain(said) for name, said in about.items()}), icon=":material/autorenew:")
    step = run.step or STEPS[-1]
    number = str(STEPS.index(step) + 1)
    st.markdown(
        word("training_step", number=number, of=str(len(STEPS)), what=word(f"training_step_{step[2:].replace('-', '_')}"))
    )
    far = runs.progress(run)
    if far is not None:
        st.progress(far[0] / max(1, far[1]), text=word("training_far", done=str(far[0]), of=str(far[1])))
    st.code("\n".join(runs.log(run)) or "…", language=None, wrap_lines=True)
    if st.session_state.get(_STOPPED):
        st.caption(word("training_stopping"))
    st.button(
        word("training_stop"),
        key="training-stop",
        icon=":material/stop:",
        disabled=bool(st.session_state.get(_STOPPED)),
        on_click=tried,
        args=(_stop,),
    )


def _stop(me: Account) -> None:
    retraining_process.stop(folder())
    st.session_state[_STOPPED] = True
