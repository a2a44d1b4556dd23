"""Entries of the ledger: what is frozen with them is what JSON makes of the record, however fast it is made."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from sendctl.passes.enrolling import json_objects
from tests.store.ground import Ground

CELLS = st.text(max_size=5) | st.sampled_from(['"', "\\", "%s", "ü", "\u2028", "\x7f", "\n", ""])


@given(
    st.lists(CELLS, min_size=2, max_size=2, unique=True), st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=4)
)
def test_a_record_is_the_object_that_json_makes_of_it(names: list[str], records: list[list[str]]) -> None:
    wanted = [
        json.dumps(dict(zip(names, record, strict=True)), ensure_ascii=False, separators=(",", ":"))
        for record in records
    ]
    assert json_objects(names, records) == wanted


def test_unusual_people_between_plain_ones_are_enrolled_with_what_they_have(ground: Ground) -> None:
    contacts = (
        'email,first_name,n\nA@x.example,A,1\nb@bücher.example,B,2\nc@x.example,"C ""\\"" %s",3\nd@x.example,D,"4\n"\n'
    )
    report = ground.enqueue(contacts=contacts)
    assert report.enrolled == 4
    rows = ground.rows("SELECT m.recipient, m.recipient_key, e.snapshot FROM messages m"
                       " JOIN enrollments e ON e.id = m.enrollment_id ORDER BY m.id")  # fmt: skip
    assert [(row[0], row[1], json.loads(row[2])["first_name"]) for row in rows] == [
        ("A@x.example", "a@x.example", "A"), ("b@xn--bcher-kva.example", "b@xn--bcher-kva.example", "B"),
        ("c@x.example", "c@x.example", 'C "\\" %s'), ("d@x.example", "d@x.example", "D"),
    ]  # fmt: skip
