"""Every verb: what it answers, in text and in JSON, and its exit code."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import rankloom
from rankloom.cli import main
from rankloom.eval.collections import load_collection
from rankloom.eval.measures import evaluate
from rankloom.qrels import write_qrels
from rankloom.trec import read_run
from tests.tiny_models import tiny_colbert

STAGES = Path(__file__).parents[2] / "eval" / "stages"
EXPERIMENT: dict[str, Any] = {
    "collection": "mini",
    "measures": ["nDCG@10", "AP", "seconds"],
    "define": {"bm25": {"bm25": {"k": 50}}},
    "pipelines": {
        "bm25": ["bm25"],
        "bm25+rm3": ["bm25", {"rm3": {"docs": 3, "terms": 5}}, "bm25"],
        "short": ["bm25", {"top": 5}],
    },
    "output": "out",
}


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working folder with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(STAGES))
    monkeypatch.setenv("RANKLOOM_CACHE", str(tmp_path / "cache"))


def write(values: dict[str, Any], **changes: Any) -> str:
    Path("exp.yaml").write_text(yaml.safe_dump({**values, **changes}, sort_keys=False), encoding="utf-8")
    return "exp.yaml"


class Said:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def json(self) -> Any:
        assert self.code in (0, 7), self.err
        return json.loads(self.out)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main(words)
        return Said(code, *capsys.readouterr())

    return run


# --- run, compare, explain, config -------------------------------------------------------------------------------


def test_run_answers_and_writes(say: Any) -> None:
    said = say("run", write(EXPERIMENT))
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].split() == ["pipeline", "nDCG@10", "AP", "queries", "missing", "seconds/query", "cached"]
    assert [line.split()[0] for line in lines[2:5]] == ["bm25", "bm25+rm3", "short"]
    assert "after shared prefixes" in said.err
    assert Path("out/report.html").is_file()


def test_run_json_is_alone_on_standard_output(say: Any) -> None:
    answer = say("run", write(EXPERIMENT), "--output", "json", "--output-dir", "there", "--set", "measures=[AP]").json()
    assert set(answer["pipelines"]) == {"bm25", "bm25+rm3", "short"}
    assert answer["measures"] == ["AP"]
    assert {"seconds", "tokens", "calls", "index_bytes"} <= set(answer["costs"]["short"])
    assert not {"latency_p95", "money"} & set(answer["costs"]["short"])  # nobody asked, nobody gave prices
    assert answer["output"] == "there"
    assert Path("there/summary.json").is_file()
    assert not Path("out").exists()


def test_dry_run_touches_nothing(say: Any, tmp_path: Path) -> None:
    said = say("run", write(EXPERIMENT), "--dry-run")
    assert said.code == 0
    assert "bm25(k=50) >> rm3(docs=3, terms=5) >> bm25(k=50)" in said.out
    plan = say("run", "exp.yaml", "--dry-run", "--output", "json").json()
    assert plan["stage_applications"] == {"total": 6, "distinct": 4}
    assert [path.name for path in tmp_path.iterdir()] == ["exp.yaml"]


def test_a_dry_run_names_all_that_is_missing(say: Any, tmp_path: Path) -> None:
    pipelines = {
        "here": ["bm25", "bi_encoder"],
        "lacking": ["bm25", {"cross_encoder": {"model": "no/where"}}],
        "too": ["bm25", {"cross_encoder": {"model": "./nowhere"}}],
    }
    file = write({**EXPERIMENT, "compare": {"baseline": "here"}}, pipelines=pipelines)
    said = say("run", file, "--dry-run", "--offline")
    assert said.code == 4
    assert "cross_encoder(model=no/where)" in said.out  # the plan stands all the same
    assert all(part in said.err for part in ("2 things are missing", "'no/where'", "'./nowhere'", "offline=False"))
    said = say("run", file, "--offline")
    assert said.code == 4
    assert "2 things are missing" in said.err
    assert {path.name for path in tmp_path.iterdir()} <= {"exp.yaml", "cache"}  # no index, no output
    assert not list(tmp_path.glob("cache/index*"))
    answer = say("run", file, "--dry-run", "--output", "json")
    assert answer.code == 4  # the folder does not come from the hub
    told = json.loads(answer.out)
    assert [(one["model"], one["here"]) for one in told["models"]] == [("all-MiniLM-L6-v2", True), ("no/where", False)]
    assert len(told["missing"]) == 1
    del pipelines["too"]
    said = say("run", write({**EXPERIMENT, "compare": {"baseline": "here"}}, pipelines=pipelines), "--dry-run")
    assert said.code == 0
    assert "will be downloaded: no/where (for cross_encoder)" in said.out


def test_a_partly_finished_run(say: Any) -> None:
    pipelines = {**EXPERIMENT["pipelines"], "bad": ["bm25", {"rankloom_test_stages:Failing": {}}]}
    said = say("run", write(EXPERIMENT, pipelines=pipelines), "--output", "json")
    assert said.code == 7
    assert list(said.json()["failures"]) == ["bad"]
    assert "1 of 4 pipelines failed" in said.err
    assert "Traceback" not in said.err
    said = say("run", write(EXPERIMENT, pipelines=pipelines))
    assert [line.split()[:2] for line in said.out.splitlines() if line.startswith("bad")] == [["bad", "failed"]]


def test_without_a_cache(say: Any, tmp_path: Path) -> None:
    assert say("run", write(EXPERIMENT), "--no-cache").code == 0
    assert not (tmp_path / "cache").exists()


def test_compare_a_folder_and_run_files(say: Any) -> None:
    summary = say("run", write(EXPERIMENT), "--output", "json").json()
    stored = say("compare", "out", "--output", "json").json()
    assert stored["pipelines"] == summary["pipelines"]
    turned = say("compare", "out", "--baseline", "short", "-m", "AP", "--output", "json").json()
    there, back = (answer["pipelines"] for answer in (summary, turned))
    assert back["bm25"]["measures"]["AP"]["delta"] == -there["short"]["measures"]["AP"]["delta"]
    assert list(back["bm25"]["measures"]) == ["AP"]

    write_qrels(load_collection("mini").qrels, "qrels.txt")
    files = [f"out/runs/{name}.trec" for name in EXPERIMENT["pipelines"]]
    measured = say("compare", *files, "-q", "qrels.txt", "-m", "nDCG@10", "-m", "AP", "--output", "json").json()
    assert measured["pipelines"] == summary["pipelines"]
    text = say("compare", *files, "-q", "qrels.txt", "--correction", "none").out
    assert "p corrected" in text
    assert "uncorrected" in text


def test_compare_folders_of_any_runs_on_a_collection(say: Any) -> None:
    summary = say("run", write(EXPERIMENT), "--output", "json").json()
    theirs = Path("theirs/deep")
    theirs.mkdir(parents=True)
    lines = Path("out/runs/bm25.trec").read_text().splitlines(keepends=True)
    (theirs / "bm25.txt").write_text("".join(line for line in lines if not line.startswith(("q01 ", "q02 "))))
    (theirs / "notes.txt").write_text("not a run\n")
    words = ("compare", "out", "theirs", "--collection", "mini", "-m", "nDCG@10", "-b", "out/bm25")
    said = say(*words, "--test", "randomisation", "--correction", "benjamini_hochberg", "--intervals", "bootstrap")
    assert said.code == 0
    assert "deep/bm25: 2 judged queries without hits count as 0: q01, q02" in said.out
    assert "randomisation test, Benjamini-Hochberg-corrected" in said.out
    assert "95% bootstrap confidence intervals" in said.out
    assert "not compared: theirs/deep/notes.txt" in said.err
    answer = say(*words, "--output", "json").json()
    assert list(answer["pipelines"]) == ["out/bm25", "bm25+rm3", "short", "deep/bm25"]
    assert answer["pipelines"]["deep/bm25"]["missing"] == ["q01", "q02"]
    assert answer["pipelines"]["deep/bm25"]["measures"]["nDCG@10"]["delta"] < 0
    means = {name: row["measures"]["nDCG@10"]["mean"] for name, row in summary["pipelines"].items()}
    assert answer["pipelines"]["out/bm25"]["measures"]["nDCG@10"]["mean"] == means["bm25"]
    assert answer["paths"]["deep/bm25"] == "theirs/deep/bm25.txt"
    assert [one["path"] for one in answer["skipped"]] == ["theirs/deep/notes.txt"]


def test_compare_keeps_the_experiments_own_settings(say: Any) -> None:
    compare = {"baseline": "short", "test": "randomisation", "correction": "none", "intervals": "bootstrap"}
    summary = say("run", write(EXPERIMENT, compare=compare), "--output", "json").json()
    answer = say("compare", "out", "--output", "json").json()
    assert {name: answer[name] for name in compare} == compare
    assert answer["pipelines"] == summary["pipelines"]
    assert say("compare", "out", "--test", "wilcoxon", "--output", "json").json()["test"] == "wilcoxon"


def test_compare_refuses(say: Any) -> None:
    assert say("run", write(EXPERIMENT)).code == 0
    run = "out/runs/short.trec"
    assert say("compare", run).code == 2  # no judgements
    assert say("compare", "nowhere").code == 4
    assert say("compare", "out", "-m", "P@3").code == 5  # not measured
    assert say("compare", "out", "--correction", "bonferoni").code == 2
    assert say("compare", "out", "--test", "paired").code == 2
    assert say("compare", "out", "--intervals", "bootstrp").code == 2
    assert say("compare", run, "--qrels", "q", "--collection", "mini").code == 2
    assert say("compare", run, "--collection", "minni").code == 4
    said = say("compare", "out", "--baseline", "shrt")
    assert said.code == 2
    assert "did you mean 'short'?" in said.err


def test_explain_shows_terms_and_ranks(say: Any) -> None:
    assert say("run", write(EXPERIMENT)).code == 0
    answer = say("explain", "out", "bm25+rm3", "q02", "--output", "json").json()
    assert [stage["stage"] for stage in answer["stages"]] == ["bm25", "rm3", "bm25"]
    assert len(answer["stages"][1]["terms"]) >= 5
    for one in answer["stages"][1]["feedback"]:
        assert one["weight"] == pytest.approx(one["original"] + sum(part for _, part in one["documents"]))
    assert "terms: weight = parts of the query and of documents" in say("explain", "out", "bm25+rm3", "q02").out
    run = read_run("out/runs/bm25+rm3.trec")
    assert [document["doc_id"] for document in answer["documents"]] == run["q02"].doc_ids[:5]
    text = say("explain", "exp.yaml", "short", "q02", "-d", "bees-03", "-d", "coast-06").out
    assert "bees-03 (judged" in text
    assert "top: not there" in text
    for words, part in ((("bm52", "q02"), "did you mean 'bm25'?"), (("bm25", "q99"), "mini/test has no such query")):
        said = say("explain", "out", *words)
        assert said.code == 2
        assert part in said.err
    assert say("explain", "cache", "bm25", "q02").code == 4


def test_explain_takes_scores_apart(say: Any) -> None:
    pipelines = {"fused": [{"rrf": {"inputs": [["bm25"], ["bm25", {"rm3": {"docs": 3}}, "bm25"]]}}]}
    write(EXPERIMENT, pipelines=pipelines)
    answer = say("explain", "exp.yaml", "fused", "q02", "-d", "bees-03", "--output", "json").json()
    (document,) = answer["documents"]
    stages = [stage for stage, *_ in document["trace"]]
    assert stages == ["bm25", "bm25", "bm25", "rrf"]
    assert document["parts"][3] is None
    for (_, _, _, score), parts in zip(document["trace"][:3], document["parts"][:3], strict=True):
        assert parts["score"] == score
        assert sum(one["part"] for one in parts["terms"]) == pytest.approx(score, rel=1e-6)
    text = say("explain", "exp.yaml", "fused", "q02", "-d", "bees-03").out
    assert text.count("average length") == 3
    assert "  weight 1  value " in text


def test_lost_names_stages_and_documents(say: Any) -> None:
    write(EXPERIMENT)
    answer = say("lost", "exp.yaml", "short", "--output", "json").json()
    assert answer["stages"] == ["1 bm25", "2 top", "cut-off 10"]
    assert answer["relevant"] == answer["found"] + sum(count["documents"] for count in answer["lost"])
    cut = next(count for count in answer["lost"] if count["stage"] == "2 top")
    assert cut["reason"] == "below the cut"
    text = say("lost", "exp.yaml", "short", "--examples", "1").out
    assert f"{answer['found']} of {answer['relevant']} relevant documents" in text
    assert "2 top" in text
    assert "found" in say("lost", "exp.yaml", "short", "--query", "q02").out
    assert say("lost", "exp.yaml", "shrt").code == 2
    assert say("lost", "exp.yaml", "short", "--query", "q999").code == 2


def test_explain_shows_sentences(say: Any) -> None:
    pipelines = {"pruned": ["bm25", {"top": 3}, {"rankloom_test_stages:FirstSentence": {}}]}
    answer = say("explain", write(EXPERIMENT, pipelines=pipelines), "pruned", "q02", "--output", "json").json()
    sentences = answer["documents"][0]["sentences"]
    assert [span["kept"] for _, span in sentences][:2] == [True, False]
    assert all(text.strip() for text, _ in sentences)
    text = say("explain", "exp.yaml", "pruned", "q02").out
    assert "kept    1.000" in text
    assert "dropped 0.000 (not the first)" in text


def test_lost_agrees_with_recall_and_computes_no_stage_again(say: Any) -> None:
    summary = say("run", write(EXPERIMENT, measures=["SetR"]), "--output", "json").json()
    held = say("cache", "ls", "--output", "json").json()["results"]
    for name in ("short", "bm25+rm3"):
        answer = say("lost", "out", name, "--cutoff", "50", "--output", "json").json()
        shares = [sum(fate["reason"] is None for fate in fates) / len(fates) for fates in answer["queries"].values()]
        recall = summary["pipelines"][name]["measures"]["SetR"]["mean"]
        assert sum(shares) / len(shares) == pytest.approx(recall)
    added = {row["stage"]: row["entries"] for row in say("cache", "ls", "--output", "json").json()["results"]}
    assert added == {row["stage"]: row["entries"] for row in held}


def test_golden_checks_and_writes_the_page(say: Any) -> None:
    mean = say("run", write(EXPERIMENT), "--output", "json").json()["pipelines"]["bm25"]["measures"]["AP"]["mean"]
    table = {"config": "exp.yaml", "runs": [{"scores": {"bm25": {"AP": mean}}}]}
    values = {"tables": {"t": table}, "page": {"template": "page.in", "output": "page.md"}}
    Path("golden.yaml").write_text(yaml.safe_dump(values))
    answer = say("golden", "golden.yaml", "--output", "json").json()
    assert answer["counts"] == {"met": 1, "failed": 0, "skipped": 0}
    assert answer["findings"][0]["found"] == mean
    Path("page.in").write_text("{{ table t }}\n")
    assert say("golden", "golden.yaml", "--page").out.strip() == "page.md"
    assert f"| bm25 | {f'{mean:.4f}'.lstrip('0')} |" in Path("page.md").read_text()

    table["runs"][0]["scores"]["bm25"]["AP"] = mean + 0.01
    table["runs"].append({"collection": "nowhere", "scores": {"bm25": {"AP": 0.5}}})
    Path("golden.yaml").write_text(yaml.safe_dump(values))
    said = say("golden", "golden.yaml")
    assert said.code == 5
    assert "off by -0.01" in said.out
    assert "skipped on nowhere" in said.out
    assert "1 of 2 recorded figures are not met" in said.err
    table["runs"].pop(0)
    Path("golden.yaml").write_text(yaml.safe_dump(values))
    assert say("golden", "golden.yaml").code == 0
    assert say("golden", "golden.yaml", "--strict").code == 5
    assert say("golden", "nowhere.yaml").code == 4
    assert say("golden", "golden.yaml", "--table", "u").code == 2


def test_config(say: Any) -> None:
    shown = yaml.safe_load(say("config", "show", write(EXPERIMENT), "--set", "session.seed=3").out)
    assert shown["session"]["seed"] == 3
    assert shown["compare"] == {
        "baseline": None,
        "test": "paired_t",
        "correction": "holm",
        "intervals": "none",
    }
    assert say("config", "show", "exp.yaml", "--output", "json").json()["pipelines"] == EXPERIMENT["pipelines"]
    Path("shown.yaml").write_text(yaml.safe_dump(shown))
    assert say("config", "show", "shown.yaml").code == 0
    assert "pipelines" in say("config", "schema").json()["properties"]


# --- index, search, eval -----------------------------------------------------------------------------------------


@pytest.fixture
def index(say: Any) -> str:
    """An index of three documents."""
    records = [("d1", "The blue sky"), ("d2", "Blue whales sing"), ("d3", "Red roses")]
    Path("docs.jsonl").write_text("".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in records))
    assert say("index", "docs.jsonl", "idx").code == 0
    return "idx"


def test_index_and_search(say: Any, index: str) -> None:
    answer = say("search", index, "blue sky", "--output", "json").json()
    assert [hit["doc_id"] for hit in answer["queries"][0]["hits"]] == ["d1", "d2"]
    assert answer["queries"][0]["hits"][0]["text"] == "The blue sky"
    text = say("search", index, "blue sky", "-k", "1").out
    assert "d1" in text
    assert "d2" not in text
    assert "nothing found" in say("search", index, "zebra").out


def test_index_and_search_by_token_vectors(say: Any, index: str) -> None:
    model = str(tiny_colbert(Path("models")))
    asked = ("index", "docs.jsonl", index, "--force", "--multi-vector", model)
    said = say(*asked, "--reduction", "C2x3", "--storage", "int8", "--output", "json").json()
    assert said["indexes"] == ["bm25", "multi_vector"]
    answer = say("search", index, "blue sky", "--retriever", "multi_vector", "--output", "json").json()
    assert sorted(hit["doc_id"] for hit in answer["queries"][0]["hits"]) == ["d1", "d2", "d3"]
    assert say("search", index, "blue", "--explain", "--retriever", "multi_vector").code == 2
    assert say(*asked, "--storage", "int4").code == 2
    assert say(*asked, "--reduction", "C").code == 2
    assert say("index", "docs.jsonl", index, "--force", "--storage", "int8").code == 2
    assert say("index", "docs.jsonl", index, "--force").code == 0
    said = say("search", index, "blue", "--retriever", "multi_vector")
    assert said.code == 4
    assert "--multi-vector" in said.err


def test_search_takes_scores_apart(say: Any, index: str) -> None:
    answer = say("search", index, "blue sky", "--explain", "--output", "json").json()
    for hit in answer["queries"][0]["hits"]:
        assert sum(one["part"] for one in hit["explanation"]["terms"]) == pytest.approx(hit["score"], rel=1e-6)
    assert "explanation" not in say("search", index, "blue sky", "--output", "json").out
    assert "  blue  weight 1  value " in say("search", index, "blue sky", "--explain").out
    assert say("search", index, "blue", "--explain", "--retriever", "dense").code == 2
    assert say("search", index, "blue", "--explain", "--save", "r.trec").code == 2


def test_search_a_file_of_queries(say: Any, index: str) -> None:
    Path("q.tsv").write_text("a\tblue\nb\troses\n")
    said = say("search", index, "--queries", "q.tsv", "--save", "r.trec")
    assert said.code == 0
    run = read_run("r.trec")
    assert {query: hits.doc_ids for query, hits in run.items()} == {"a": ["d1", "d2"], "b": ["d3"]}


def test_index_refuses(say: Any, index: str) -> None:
    assert say("index", "docs.jsonl", index).code == 2  # there is one
    assert say("index", "docs.jsonl", index, "--force").code == 0
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    assert say("index", "docs.jsonl", "mine", "--force").code == 2
    assert say("index", "nowhere.jsonl", "other").code == 4
    Path("bad.jsonl").write_text('{"_id": "d1", "text": "fine"}\n{"_id": \n')
    said = say("index", "bad.jsonl", "other")
    assert said.code == 5
    assert "line 2" in said.err
    assert say("index", "bad.jsonl", "other", "--skip-bad-records", "--output", "json").json()["skipped"] == 1


def test_index_tells_what_it_passed_over_in_a_folder(say: Any) -> None:
    Path("notes").mkdir()
    Path("notes/ferry.md").write_text("The ferry leaves at nine.")
    Path("notes/plan.pdf").write_bytes(b"%PDF")
    said = say("index", "notes", "idx")
    assert said.code == 0
    assert "1 files are neither .txt nor .md and were passed over: notes: plan.pdf" in said.err


def test_search_does_not_save_over_a_folder(say: Any, index: str) -> None:
    assert say("search", index, "blue", "--save", f"{index}/bm25").code == 2
    assert say("search", index, "blue").code == 0


def test_search_refuses(say: Any, index: str) -> None:
    assert say("search", index).code == 2
    assert say("search", index, "a", "--queries", "q.tsv").code == 2
    assert say("search", index, "  ").code == 2
    assert say("search", index, "a", "-k", "0").code == 2
    assert say("search", "nowhere", "a").code == 4
    said = say("search", index, "a", "--retriever", "dense")
    assert said.code == 4
    assert "--dense" in said.err
    damaged = next(Path(index, "bm25").glob("segments/*/places"))
    damaged.unlink()
    assert say("search", index, "a").code == 5


def test_eval(say: Any) -> None:
    Path("run.trec").write_text("q1 Q0 d1 1 2.0 t\nq1 Q0 d2 2 1.0 t\nq9 Q0 d2 1 1.0 t\n")
    Path("qrels.txt").write_text("q1 0 d2 1\nq2 0 d1 1\n")
    answer = say("eval", "run.trec", "qrels.txt", "-m", "AP", "-m", "RR", "--per-query", "--output", "json").json()
    expected = evaluate(read_run("run.trec"), {"q1": {"d2": 1}, "q2": {"d1": 1}}, ["AP", "RR"])
    assert answer["means"] == expected.means == {"AP": 0.25, "RR": 0.25}
    assert answer["per_query"] == expected.per_query
    assert answer["missing"] == ["q2"]
    assert answer["unjudged_queries"] == ["q9"]
    text = say("eval", "run.trec", "qrels.txt").out
    assert "nDCG@10" in text
    assert "1 without hits count as 0: q2" in text
    assert say("eval", "run.trec", "qrels.txt", "-m", "nDGC").code == 5
    assert say("eval", "nowhere", "qrels.txt").code == 4
    Path("run.trec").write_text("q1 Q0 d1 1 nan t\n")
    assert say("eval", "run.trec", "qrels.txt").code == 5


# --- cache, doctor, the rest -------------------------------------------------------------------------------------


def test_cache(say: Any, tmp_path: Path) -> None:
    assert "nothing is remembered" in say("cache", "ls").out
    assert not (tmp_path / "cache").exists()
    assert say("run", write(EXPERIMENT)).code == 0
    held = say("cache", "ls", "--output", "json").json()
    assert {row["stage"]: row["entries"] for row in held["results"]} == {"bm25": 100, "rm3": 50}
    assert held["indexes"]
    assert "bm25" in say("cache", "ls").out
    assert say("cache", "gc").code == 2
    assert say("cache", "gc", "--older-than", "soon").code == 2
    assert say("cache", "gc", "--older-than", "1h", "--output", "json").json()["results_forgotten"] == 0
    time.sleep(0.01)
    swept = say("cache", "gc", "--all", "--indexes", "--output", "json").json()
    assert swept["results_forgotten"] == 150
    assert swept["indexes_removed"] == len(held["indexes"])
    assert "nothing is remembered" in say("cache", "ls").out


def test_doctor(say: Any) -> None:
    found = say("doctor", "--output", "json").json()
    assert found["versions"]["rankloom"] == rankloom.__version__
    assert {"dense", "mini"} <= set(found["extras"])
    assert "mini" in found["data"]["collections"]
    assert found["cache"] == {"folder": os.environ["RANKLOOM_CACHE"], "there": False}
    text = say("doctor").out
    assert "devices" in text


def test_doctor_without_data(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKLOOM_DATA", "nowhere")
    assert "nowhere" in say("doctor", "--output", "json").json()["data"]["folder"]


def test_help_has_examples(say: Any) -> None:
    verbs = ["index", "search", "run", "eval", "compare", "explain", "lost", "golden", "train", "doctor"]
    pairs = [["config", "schema"], ["config", "show"], ["cache", "ls"], ["cache", "gc"]]
    for words in [*([verb] for verb in verbs), *pairs]:
        said = say(*words, "--help")
        assert said.code == 0
        assert f"\n    rankloom {' '.join(words)}" in said.out
    assert "Exit codes" in say("--help").out
    assert say("--version").out.strip() == rankloom.__version__
