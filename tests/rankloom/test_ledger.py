import json

from hypothesis import given
from hypothesis import strategies as st

from rankloom.ledger import NOTE_KINDS, Cost, Ledger, Note

KINDS = st.sampled_from(NOTE_KINDS)
NOTES = st.lists(st.builds(Note, st.sampled_from("ab"), KINDS, st.sampled_from(["q1", "q2", ""])), max_size=8)


@given(NOTES)
def test_counts_are_by_kind_in_a_fixed_order(notes):
    counts = Ledger(tuple(notes)).counts()
    assert counts == {kind: sum(note.kind == kind for note in notes) for kind in NOTE_KINDS if kind in counts}
    assert list(counts) == [kind for kind in NOTE_KINDS if kind in {note.kind for note in notes}]


@given(NOTES)
def test_notes_are_found_by_kind_and_by_query(notes):
    ledger = Ledger(tuple(notes), (Cost("a", "1"),))
    assert all(ledger.of(kind) == tuple(note for note in notes if note.kind == kind) for kind in NOTE_KINDS)
    assert ledger.only(["q1"]) == Ledger(tuple(note for note in notes if note.query_id == "q1"))


def test_a_ledger_does_not_change():
    ledger = Ledger()
    assert ledger.noted(Note("a", "no_hits")).spent(Cost("a", "1")) != ledger
    assert ledger == Ledger()
    assert ledger.noted() is ledger


def test_what_stands_in_both_counts_once():
    shared, mine, its = (Note("a", "no_hits", "q1") for _ in range(3))
    one = Ledger((shared, mine), (Cost("a", "1", seconds=1.0), Cost("b", "2")))
    other = Ledger((shared, its), (Cost("a", "1", seconds=1.0), Cost("c", "3")))
    both = one + other
    assert [id(note) for note in both.notes] == [id(shared), id(mine), id(its)]
    assert [cost.lineage for cost in both.costs] == ["1", "2", "3"]


def test_costs_are_summed_by_stage():
    ledger = Ledger((), (Cost("a", "1", 2, 1, 3, 4, 0.5), Cost("b", "2", 1), Cost("a", "3", 10, 0, 1, 1, 0.25)))
    assert ledger.by_stage() == {"a": Cost("a", "", 12, 1, 4, 5, 0.75), "b": Cost("b", "", 1)}
    assert ledger.seconds() == 0.75


def test_the_json_form_is_json():
    ledger = Ledger((Note("a", "truncated", "q", "d", 7, "cut"),), (Cost("a", "1", seconds=0.5, model="m"),))
    assert json.loads(json.dumps(ledger.to_dict())) == {
        "counts": {"truncated": 1},
        "notes": [
            {"stage": "a", "kind": "truncated", "query_id": "q", "doc_id": "d", "amount": 7, "detail": "cut"},
        ],
        "costs": [
            {
                "stage": "a",
                "lineage": "1",
                "inputs": 0,
                "cached": 0,
                "calls": 0,
                "tokens": 0,
                "seconds": 0.5,
                "written": 0,
                "model": "m",
            },
        ],
    }
