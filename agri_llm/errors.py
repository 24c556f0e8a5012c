"""Every error this project raises on purpose.

AgriError                        shown to people as one sentence, exit status 1
├── BadInput                     a question, file or option that cannot be used
│   └── DocumentUnreadable       a document that is unknown, empty, encrypted or damaged
├── KnowledgeError                  the index folder
│   ├── IndexMissing             there is none at that place
│   └── IndexMismatch            it is damaged, or another embedder built it
├── ModelError                   something that writes answers
│   ├── ModelMissing             the model or adapter cannot be loaded
│   └── ModelUnavailable         the server does not answer, or died while answering
│       └── RequestTooLong       the model cannot read so many passages at once
├── TrainingStopped              a training that ended before its time; the same command goes on
├── StoreUnavailable             the database does not answer; answering goes on without it
├── NotYours                     a conversation or answer that is not among this person's own
├── NotAllowed                   something that this person's account may not do
└── SettingsInvalid              a setting that cannot work, with the place it came from

A clarification or a refusal is an `Answer`, never an error.
"""


class AgriError(Exception):
    """One sentence for a person: what was found, why it stops us, what to do next."""

    def __init__(self, what: str, why: str, next_step: str) -> None:
        self.what = what
        self.why = why
        self.next_step = next_step
        super().__init__(f"{what}: {why}; {next_step}.")


class BadInput(AgriError):
    """A question, file or option that cannot be used."""


class DocumentUnreadable(BadInput):
    """A document that is unknown, empty, encrypted or damaged; the others are still indexed."""


class KnowledgeError(AgriError):
    """Something is wrong with an index folder."""


class IndexMissing(KnowledgeError):
    """There is no index at that place."""


class IndexMismatch(KnowledgeError):
    """The index is damaged or was built by another embedder; it is never searched."""


class ModelError(AgriError):
    """Something that writes answers cannot be used."""


class ModelMissing(ModelError):
    """The model, adapter or embedder cannot be loaded, or is not the one that was promised."""


class ModelUnavailable(ModelError):
    """The model server does not answer, refuses, or died while answering."""


class RequestTooLong(ModelUnavailable):
    """A request that is longer than what the model reads; with fewer passages it may fit."""


class TrainingStopped(AgriError):
    """A training that ended before its time, with everything kept that going on needs."""


class StoreUnavailable(AgriError):
    """The database does not answer; people still get answers, nothing is saved."""


class NotYours(AgriError):
    """A conversation or answer that is not among this person's own; whether it exists at all is not said."""


class NotAllowed(AgriError):
    """Something that this person may not do: not signed in, another role, or an account that is no longer active."""


class SettingsInvalid(AgriError):
    """A setting that cannot work."""
