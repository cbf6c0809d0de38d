"""Verbs about what is told of a task: notes, counts, and its whole chronicle."""

from collections.abc import Mapping
from typing import Any

from receiver import json_text
from receiver.domain import Ms
from receiver.store.records import Brought, Chronicle, Note, Recorded, Tally
from receiver.store.rows import attempt_of, delivery_of
from receiver.store.statements import Row, Statements

MOST_NOTES = 500
UNKEPT = "unkept"


class NoteVerbs(Statements):
    def note(self, task_id: str, *, at: Ms, sequence: int, kind: str, text: str, data: Mapping[str, Any]) -> None:
        kept = self.count(
            "insert_note",
            task_id=task_id,
            sequence=sequence,
            at=at,
            kind=kind,
            text=text,
            data=json_text.write(dict(data)),
            most=MOST_NOTES,
        )
        if kept == 0:
            self.tally(task_id, UNKEPT, at=at)

    def tally(self, task_id: str, kind: str, *, at: Ms) -> None:
        self.count("count_up", task_id=task_id, kind=kind, at=at)

    def chronicle(self, task_id: str, *, most: int) -> Chronicle:
        of = {"task_id": task_id}
        return Chronicle(
            notes=[_note(row) for row in self.run("select_notes", **of)],
            tallies=[_tally(row) for row in self.run("select_tallies", **of)],
            events=[_event(row) for row in self.run("select_events_of_task", **of, limit=most)],
            deliveries=[_brought(row) for row in self.run("select_deliveries_of_task", **of, limit=most)],
            attempts=[
                (row["delivery_id"], attempt_of(row)) for row in self.run("select_attempts_of_task", **of, limit=most)
            ],
            pauses=[_event(row) for row in self.run("select_pauses_of_task", **of, limit=most)],
        )


def _note(row: Row) -> Note:
    return Note(
        at=row["at"],
        sequence=row["sequence"],
        kind=row["kind"],
        text=row["text"],
        data=json_text.read_own(row["data"]),
    )


def _tally(row: Row) -> Tally:
    return Tally(
        after=row["after"], kind=row["kind"], count=row["count"], first_at=row["first_at"], last_at=row["last_at"]
    )


def _event(row: Row) -> Recorded:
    return Recorded(seq=row["seq"], id=row["id"], type=row["type"], task_id=row["task_id"], body=row["body"])


def _brought(row: Row) -> Brought:
    return Brought(
        delivery=delivery_of(row),
        event_type=row["event_type"],
        destination_type=row["destination_type"],
        target=row["target"],
        description=row["description"] or "",
        hidden=bool(row["hidden"]),
    )
