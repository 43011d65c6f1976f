"""Run by `check_wheel.sh` in an environment with core dependencies alone: retrieval and evaluation need no more."""

import importlib.util
import sys
import tempfile
from pathlib import Path

from rankloom.errors import MissingExtraError
from rankloom.eval import Experiment, load_collection
from rankloom.language_models import Replay
from rankloom.prf import RM3, Query2Doc
from rankloom.retrieval import BM25, Dense

for heavy in ("torch", "faiss", "transformers", "sentence_transformers", "jnius", "pandas"):
    if importlib.util.find_spec(heavy) is not None:
        sys.exit(f"{heavy} should not be installed here")

collection = load_collection("mini/test")
bm25 = BM25.of(collection.corpus)
run = (bm25 >> RM3() >> bm25).run(collection.queries)
score = collection.evaluate(run, ["nDCG@10"]).means["nDCG@10"]
if not 0.4 < score < 1:
    sys.exit(f"BM25 with RM3 scores {score} on the mini collection")
try:
    Dense.for_corpus(collection.corpus, run.session)
except MissingExtraError as error:
    if "rankloom[dense]" not in str(error):
        sys.exit(f"the error does not name the extra: {error}")
else:
    sys.exit("dense retrieval should need an extra")
with tempfile.TemporaryDirectory() as folder:
    transcript = Path(folder) / "transcript.jsonl"
    asked = "Write a passage that answers the given query:\\n\\nQuery: winter\\nPassage:"
    transcript.write_text(f'{{"prompt": "{asked}", "completion": "honey bees"}}', encoding="utf-8")
    if not (Query2Doc(Replay(str(transcript))) >> bm25).search("winter").doc_ids[0].startswith("bees"):
        sys.exit("a prompt, or what a recorded answer finds, is not what it should be")
    values = {"collection": "mini", "measures": ["nDCG@10"], "pipelines": {"bm25": ["bm25"]}, "output": folder}
    Experiment.from_dict(values).run()
    if "startExplorer" not in (Path(folder) / "report.html").read_text(encoding="utf-8"):
        sys.exit("the report lacks its scripts")
