"""Candidates for rerankers whose model is a folder, and the tests that all of them share."""

from rankloom import Document, Run, Session
from rankloom.corpus import MemoryDocuments

SESSION = Session(offline=True, device="cpu")
TEXTS = {
    "sky": "The sky is blue.",
    "moon": "The moon moves the sea.",
    "bread": "Yeast!",
    "empty": "",
    "long": "light " * 100,
    "same": "The sky is blue.",
}
QUERIES = {"q1": "why is the sky blue", "q2": "tide"}
DOCUMENTS = MemoryDocuments([Document(doc_id, text) for doc_id, text in TEXTS.items()])


def candidates(session=SESSION):
    scores = {doc_id: -float(place) for place, doc_id in enumerate(TEXTS)}
    return Run.from_dict(dict.fromkeys(QUERIES, scores), queries=QUERIES, documents=DOCUMENTS, session=session)
