"""What people are told of their sessions, on their page and in a banner inside. Pure.

A sentence with ``{at}`` leaves room for a moment: a page shows it in its reader's time.
"""

from __future__ import annotations

from controller.core.model import moment
from controller.core.records import Drain, Reason
from controller.core.sentence import Phrase, Sentence
from controller.rules.lifecycle import Limits
from controller.rules.sentences import AT, clock_text


def stopped(title: str, reason: Reason, limits: Limits, *, saved: bool = False) -> Sentence | None:
    """Say that and why a session was stopped. None: its owner did it, or knows already.

    ``saved``: its scene is offered at the next start.
    """
    left = (
        Sentence("Your scene was saved; it is offered when you start again.")
        if saved
        else Sentence("Your files are there.")
    )
    match reason:
        case Reason.IDLE:
            return Sentence(
                "{title} was stopped at {at} after {span} unused. {left}",
                title=title,
                at=AT,
                span=_span(limits.idle),
                left=left,
            )
        case Reason.LIFETIME:
            return Sentence(
                "{title} was stopped at {at} after {span}, the longest it may run. {left}",
                title=title,
                at=AT,
                span=_span(limits.lifetime),
                left=left,
            )
        case Reason.DEPARTED:
            return Sentence(
                "{title} was stopped at {at} because this account may no longer use the hub. Your "
                "files are kept.",
                title=title,
                at=AT,
            )
        case Reason.ADMIN:
            return Sentence(
                "{title} was stopped at {at} by the administrator. {left}",
                title=title,
                at=AT,
                left=left,
            )
        case Reason.DRAIN:
            return Sentence(
                "{title} was stopped at {at} because of maintenance. {left}",
                title=title,
                at=AT,
                left=left,
            )
        case Reason.FAILED | Reason.STOPPED | Reason.UNUSED:
            return None


def taken_out(title: str) -> Sentence:
    """Say that an administrator has taken a session out of the queue."""
    return Sentence(
        "{title} was taken out of the queue at {at} by the administrator.", title=title, at=AT
    )


def extended(title: str) -> Sentence:
    """Say that an administrator has extended a session."""
    return Sentence(
        "{title} may run longer, as the administrator decided at {at}.", title=title, at=AT
    )


def viewed(title: str, name: str, minutes: int) -> Sentence:
    """Say that an administrator views a session, and for how long."""
    return Sentence(
        "{title} is being viewed by {name} since {at} for at most {minutes} minutes. They see what "
        "you see and can change nothing.",
        title=title,
        name=name,
        at=AT,
        minutes=minutes,
    )


def written(title: str, text: str) -> Sentence:
    """Say on the owner's page what an administrator has written."""
    return Sentence(
        "The administrator wrote at {at} about {title}: {text}", title=title, at=AT, text=text
    )


def said(text: str) -> Sentence:
    """Say inside a session what an administrator has written."""
    return Sentence("The administrator says: {text}", text=text)


def about_to_stop(reason: Reason) -> Sentence:
    """Say inside a session why it will be stopped; the banner shows when."""
    if reason is Reason.LIFETIME:
        return Sentence(
            "This session has run as long as it may and is about to stop. Save your work."
        )
    return Sentence("This session is about to stop, because nobody is using it.")


def looking_on(name: str) -> Sentence:
    """Say inside a session who views it."""
    return Sentence("{name} is viewing this session.", name=name)


def draining_inside(drain: Drain) -> Sentence:
    """Say what a drain means for the people in a session."""
    words = _maintenance(drain)
    if drain.stop_at is None:
        return Sentence("{words} This session goes on; nothing new can be started.", words=words)
    return Sentence(
        "{words} All sessions are stopped at {at}. Save your work.",
        words=words,
        at=clock_text(moment(drain.stop_at), moment(drain.since)),
    )


def draining(drain: Drain) -> Sentence:
    """Say on everybody's page what a drain means."""
    words = _maintenance(drain)
    if drain.stop_at is None:
        return words
    return Sentence(
        "{words} All sessions are stopped at {at}. Save your work before then.", words=words, at=AT
    )


def _maintenance(drain: Drain) -> Sentence:
    if drain.message:
        return Sentence("{text}", text=drain.message)
    return Sentence("The hub is being prepared for maintenance.")


def _span(seconds: float) -> Phrase:
    minutes = round(seconds / 60)
    if minutes >= 120:  # noqa: PLR2004 - two hours, where hours begin to read better
        return Phrase("{number} hours", number=round(minutes / 60))
    if minutes:
        return Phrase("{number} minutes", number=minutes)
    return Phrase("{number} seconds", number=f"{seconds:.0f}")
