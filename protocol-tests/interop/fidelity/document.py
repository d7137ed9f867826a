"""A document, or a message, and where our program is meant to make something else of it."""

from dataclasses import dataclass, field

# The forms in which our program writes a model.
WIRES = ("json", "original", "envelope")

# What XML is made of a VOEvent that came as JSON.
AS_XML = "XML of the JSON form"


@dataclass(frozen=True)
class Document:
    """The content of a file."""

    name: str
    content: bytes
    # Aspects in which the two are meant to differ, each with the reason: see differences.py.
    differs: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A payload, and what its `_format` header says: nothing where there is none, "none" for one without a value."""

    name: str
    content: bytes
    format: bytes | str | None
    differs: dict = field(default_factory=dict)


def explain(document, theirs, ours):
    """What is wrong: each aspect that differs without a reason, or has a reason without a difference.

    Both are what is known of the document by aspect; what was not taken has only that one.
    """
    wrong = []
    for aspect in sorted((theirs.keys() | ours.keys() | document.differs.keys()) - {"why"}):
        both = aspect in theirs and aspect in ours
        same = theirs.get(aspect) == ours.get(aspect)
        if same and aspect in document.differs:
            wrong.append(f"{document.name}: {aspect}: no longer differs ({document.differs[aspect]})")
        elif not same and aspect not in document.differs and (both or aspect == "taken"):
            wrong.append(f"{document.name}: {aspect}\n    hop-client: {shown(theirs, aspect)}\n"
                         f"    ours:       {shown(ours, aspect)}")
    return wrong


def shown(outcome, aspect):
    why = f" ({outcome['why']})" if aspect == "taken" and "why" in outcome else ""
    return repr(outcome.get(aspect))[:1000] + why
