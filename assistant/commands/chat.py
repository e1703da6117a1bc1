"""`deixis chat`: a conversation in the terminal, each line a question or a command that starts with a slash."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from assistant.commands.arguments import CHAT_HELP, box, point
from assistant.commands.printed import finding_line, print_findings, stdout_kept
from assistant.commands.single import open_session
from assistant.errors import DeixisError, QuestionError

if TYPE_CHECKING:
    from assistant.generate import Event
    from assistant.session import Session


def chat(options: argparse.Namespace) -> None:
    if options.scan is None and options.resume is None:
        raise QuestionError("nothing to talk about: give a scan, or --resume and the folder of a saved session")
    if options.resume and options.keep:
        raise QuestionError("--resume saves into its own folder: leave --keep out")
    with stdout_kept():
        session = open_session(options) if options.resume is None else resume_session(options)
    size = " x ".join(map(str, session.volume.native.shape))
    print(f"{session.volume.name}: {session.volume.modality}, {size} voxels")
    for note in session.volume.notes:
        print(f"note: {note}")
    for turn in session.turns:
        print(f"> {turn.question.text}\n{turn.reply.text}")
    print(CHAT_HELP, flush=True)
    with stdout_kept():
        session.prepare()  # while the user reads and types
    with session.reading_on():
        converse(session, options)
    if options.out and session.turns:
        print(f"written to {session.export(options.out).parent}")


def resume_session(options: argparse.Namespace) -> Session:
    from assistant.session import Session

    return Session.restore(
        options.resume, scan=options.scan, model=options.model, base=options.base, device=options.device,
        quantize=options.quantize,
    )  # fmt: skip


def converse(session: Session, options: argparse.Namespace) -> None:
    """Lines from the terminal, each a question or a command, until there are no more."""
    pointing: dict[str, Any] = {}
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            print()
            break
        if not line:
            continue
        if line in ("/quit", "/exit"):
            break
        try:
            if line.startswith("/"):
                chat_command(session, line, pointing, options)
            else:
                asked, pointing = pointing, {}  # also when it is refused: a bad point must not spoil the next question
                say_reply(session, line, asked, options)
            if folder := options.keep or options.resume:
                session.save(folder)
        except (DeixisError, argparse.ArgumentTypeError) as error:
            print(f"deixis: {error}", file=sys.stderr)  # the conversation goes on
        except KeyboardInterrupt:
            print("\nstopped")


def chat_command(session: Session, line: str, pointing: dict[str, Any], options: argparse.Namespace) -> None:
    """One line that starts with a slash; what is pointed at is collected for the next question."""
    from assistant.question import checked_question

    name, _, value = line.partition(" ")
    value = value.strip()
    if name == "/point":
        pointing.setdefault("points", []).append(point(value))
    elif name == "/box":
        pointing["box"] = box(value)
    elif name == "/mask":
        session.native_mask(value)  # says now when there is no such mask
        pointing["mask_id"] = value
    elif name == "/findings":
        for finding in session.findings:
            print(finding_line(finding))
    elif name == "/undo":
        print(f"taken back: {session.undo().question.text}")
    elif name == "/redo":
        turn = session.redo()
        print(f"brought back: {turn.question.text}\n{turn.reply.text}")
    elif name == "/retry":
        say_events(session, session.retry())
    elif name == "/edit":
        checked_question(value)  # before anything is taken back
        session.undo()
        say_reply(session, value, {}, options)
    elif name == "/back":
        session.rewind(int(value) if value.isdecimal() else -1)
        print(f"back to after {len(session.turns)} questions")
    elif name == "/refine":
        given = {key: pointing.pop(key) for key in ("points", "box") if key in pointing}
        say_events(session, session.refining(value, **given))
    elif name == "/export":
        print(f"written to {session.export(value or 'deixis-export').parent}")
    else:
        print(CHAT_HELP)


def say_reply(session: Session, question: str, pointing: dict[str, Any], options: argparse.Namespace) -> None:
    """Ask, and show the reply."""
    say_events(session, session.stream(question, temperature=options.temperature, seed=options.seed, **pointing))


def say_events(session: Session, events: Iterator[Event]) -> None:
    """Stream one reply to the terminal, then its measurements."""
    from assistant.generate import Delta

    streamed = ""
    for event in events:
        if isinstance(event, Delta):
            streamed += event.text
            print(event.text, end="", flush=True)
    reply = session.turns[-1].reply
    print()
    if reply.text.strip() != streamed.strip():  # the measurements said otherwise
        print(f"corrected: {reply.text}")
    print_findings(reply)
