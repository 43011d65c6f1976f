"""Test collections: documents, judged queries, judgements, and what must be known to measure on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from rankloom.cached_index import opened_or_built
from rankloom.corpus import Corpus, MemoryDocuments
from rankloom.corpus_build import VERSION
from rankloom.errors import DataError, NotFoundError, UsageError, nearest
from rankloom.eval import sources
from rankloom.eval.answer_text import gold_answers
from rankloom.eval.catalog import CollectionRecord, Wanted, catalog, relative, relative_of_folder, wanted
from rankloom.eval.downloads import Downloads
from rankloom.eval.labelled_sentences import find_labelled, lay_labels, read_labelled_collection
from rankloom.eval.layouts import DocumentFiles, read_download
from rankloom.eval.measures import Evaluation, evaluate
from rankloom.eval.pruning import PRUNING, check_labels, nothing_to_keep, pruning_measures
from rankloom.eval.sentence_labels import Sentences, read_sentences
from rankloom.extras import installed
from rankloom.fingerprint import digest
from rankloom.ledger import Note
from rankloom.qrels import Qrels, read_qrels
from rankloom.records import Documents, Query
from rankloom.run import Run
from rankloom.session import Session
from rankloom.yaml_file import find_beside, places_tried


@dataclass(frozen=True, kw_only=True, eq=False)
class Collection:
    """A test collection. Queries and judgements are in memory; documents are opened on first use of `corpus`.

    Args:
        id: What it is called.
        queries: The queries that are judged in this split, in the order of their file; others are left out, for
            a query without judgements can not be measured.
        qrels: Query id -> document id -> grade.
        open_corpus: Opens or builds the corpus.
        drop_self_hits: Whether a document with the query's own id is no answer (ArguAna, Quora).
        excluded: Query id -> documents that do not count in its ranking (BRIGHT).
        relevance_level: Least grade that is relevant in binary measures; 2 in TREC Deep Learning.
        licence: Of texts and judgements, in words; empty if not known.
        candidates: Stored first-stage hits with texts, for collections that come with them.
        notes: What was passed over when it was read, such as the first of two grades for one document.
        sentences: Query id -> document id -> offsets of its relevant sentences; None if nobody has marked them.
    """

    id: str
    queries: tuple[Query, ...]
    qrels: Qrels
    open_corpus: Callable[[], Corpus] = field(repr=False)
    drop_self_hits: bool = False
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)
    relevance_level: int = 1
    licence: str = ""
    candidates: Run | None = None
    notes: tuple[Note, ...] = ()
    sentences: Sentences | None = None

    @cached_property
    def corpus(self) -> Corpus:
        """The documents; built into the session's cache on first use, or held in memory when there is no cache."""
        return self.open_corpus()

    def absent_documents(self) -> list[str]:
        """Relevant documents that the corpus does not hold, sorted; no retriever can find them, and all lose by it."""
        relevant = sorted({doc_id for grades in self.qrels.values() for doc_id, grade in grades.items() if grade > 0})
        codes = self.corpus.ids.codes(relevant).tolist()
        return [doc_id for doc_id, code in zip(relevant, codes, strict=True) if code < 0]

    def evaluate(self, run: Run, measures: Sequence[str]) -> Evaluation:
        """Measure a run on this collection, with its quirks.

        Args:
            run: A run with a ranking.
            measures: Names that `rankloom.eval.measures.evaluate` or `rankloom.eval.pruning` knows.

        Raises:
            ConfigError: An unknown measure, or one that needs labels which the collection lacks.
        """
        evaluation = evaluate(
            run,
            self.qrels,
            [name for name in measures if name not in PRUNING],
            drop_self_hits=self.drop_self_hits,
            excluded=self.excluded,
            relevance_level=self.relevance_level,
        )
        pruning = [name for name in measures if name in PRUNING]
        if not pruning:
            return evaluation
        judged = [query_id for query_id, grades in self.qrels.items() if grades]
        values = pruning_measures(run, pruning, judged, sentences=self.sentences, answers=self.answers)
        empty = nothing_to_keep(run, pruning, judged, sentences=self.sentences, answers=self.answers)
        return replace(evaluation.with_values(values), nothing_to_keep=empty).in_order(measures)

    def without(self, query_ids: Sequence[str]) -> Collection:
        """The same collection without some queries."""
        left_out = set(query_ids)
        kept = tuple(query for query in self.queries if query.id not in left_out)
        qrels = {query_id: grades for query_id, grades in self.qrels.items() if query_id not in left_out}
        return replace(self, queries=kept, qrels=qrels) if left_out else self

    def sample(self, count: int, *, seed: int) -> Collection:
        """The same collection with some of its judged queries, in their order; with all if there are no more.

        Args:
            count: How many are drawn.
            seed: Which; the same for every machine.
        """
        asked = {query.id for query in self.queries}
        judged = sorted(query_id for query_id, grades in self.qrels.items() if grades and query_id in asked)
        drawn = set(random.Random(seed).sample(judged, min(count, len(judged))))  # noqa: S311  # no secret
        return self.without(sorted((asked | set(self.qrels)) - drawn))

    @property
    def answers(self) -> dict[str, tuple[str, ...]]:
        """Query id -> right answers, for queries that carry some under the key `answers`."""
        return gold_answers(self.queries)

    @property
    def labels(self) -> dict[str, Mapping[str, Mapping[str, object]] | None]:
        """What stages are told that know judgements; see `rankloom.config.PipelineBuilder`."""
        return {"qrels": self.qrels, "sentences": self.sentences}

    def check_measures(self, measures: Sequence[str]) -> None:
        """Refuse measures that need labels which the collection lacks, before anything runs.

        Raises:
            ConfigError: Names the measure and what it needs.
        """
        check_labels(measures, sentences=self.sentences, answers=self.answers)

    def fingerprint(self) -> str:
        """A digest of what is measured: queries, judgements and quirks (the corpus has its own)."""
        asked = [(query.id, query.fingerprint()) for query in self.queries]
        labels = [] if self.sentences is None and not self.answers else [self.sentences, self.answers]
        return digest(asked, self.qrels, self.drop_self_hits, self.excluded, self.relevance_level, *labels)

    def __repr__(self) -> str:
        """Its id and size."""
        return f"<Collection {self.id}: {len(self.queries)} queries, {sum(map(len, self.qrels.values()))} judgements>"


def load_collection(
    source: str | Path | Mapping[str, str | Path],
    *,
    split: str | None = None,
    sentences: str | None = None,
    session: Session | None = None,
    folder: str | Path = "",
) -> Collection:
    """Load a test collection.

    A name is looked for, in this order: a folder of that path; for a collection of the catalogue
    (`rankloom collections ls`) the bundled `mini`, a folder under `collections` of RANKLOOM_DATA, the folder of
    downloads, and what ir_datasets has on this machine; for another name a folder under RANKLOOM_DATA, and ir_datasets.
    Nothing is downloaded, unless `ir_datasets:ID` asks for it; `rankloom collections download NAME` does that.

    Args:
        source: A folder in BEIR's layout (`corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv`), perhaps followed by
            `:SPLIT`; a name such as `mini`, `scifact/test`, `bright/biology/long` or `candidates/dl19/bm25`;
            `ir_datasets:ID`; a file of labelled sentences or in SQuAD's format, perhaps with a split behind it, such
            as `scifact-rationales.jsonl/train` or `covid-qa.json/test` (see
            `rankloom.eval.labelled_sentences.find_labelled`); or a mapping with the files `corpus`, `queries` and
            `qrels`.
        split: Which documents, queries and judgements; by default those that the name says, or the usual ones.
        sentences: A file of labelled sentences that are laid over the collection, whose ids and texts it shares, such
            as `scifact-rationales.jsonl/validation` over `scifact/test`. So a pruner is measured behind a retriever
            that searches the whole corpus. Queries that the file does not know are left out.
        session: Where corpora are cached, and whether the network may be used.
        folder: Where relative paths start, such as the folder of the file that names them; where nothing is there, they
            start in the current folder.

    Raises:
        NotFoundError: Nothing of that name, or no such split; names what there is.
        ConfigError: A relative path leads to something in both folders.
        DataError: A file that can not be read, judged queries that the query file lacks, or labels of other queries
            or (on first use of the corpus) other texts.

    Example:
        >>> load_collection("mini").id
        'mini/test'
    """
    session = session or Session()
    if sentences is not None:
        plain = load_collection(source, split=split, session=session, folder=folder)
        return _with_sentences(plain, sentences, Path(folder))
    if isinstance(source, Mapping):
        return _from_files(source, split, session, Path(folder))
    name = str(source)
    told = _by_its_form(name, split, session, Path(folder))
    if told is not None:
        return told
    found = sources.find_path(name, split, Path(folder))
    asked = wanted(name, split) if found is None else None
    if asked is not None:
        return _from_catalog(asked, session)
    found = found or sources.find_folder(name, split)
    if found is not None:
        return _from_folder(found, session)
    if sources.ir_datasets_knows(name):
        return _from_ir_datasets(f"ir_datasets:{name}", session)
    known = sources.available()
    names = [*known, *catalog()]
    close = nearest(name, names) or nearest(name.rsplit("/", 1)[-1], names)
    raise NotFoundError(
        "there is no such collection",
        stage="load_collection",
        value=name,
        accepted=f"{', '.join(known)}; `rankloom collections ls`; a folder in BEIR's layout; ir_datasets:ID",
        fix=f"did you mean {close!r}?"
        if close
        else f"name a folder (there is none at {places_tried(name, Path(folder))}), or point RANKLOOM_DATA at the one "
        "that holds collections/",
    )


def load_candidates(name: str, *, session: Session | None = None) -> Collection:
    """Load stored first-stage hits with their texts, as a collection whose `candidates` is a run.

    Args:
        name: YEAR/FIRST_STAGE, such as `dl19/bm25`, under `candidates/` of RANKLOOM_DATA.
        session: How stages after the run are carried out.

    Returns:
        A collection of the candidates' queries and texts. Where the year has a `qrels.txt`, the queries are the judged
        ones and the judgements are all there are, also of documents that no first stage found; else there are none.

    Raises:
        NotFoundError: There are no such candidates; names what there is.
        DataError: A malformed line.
    """
    from rankloom.eval.candidates import read_candidates

    path, judgements = sources.find_candidates(name)
    run = read_candidates(path, session=session)
    judged = sources.Judged(run.queries, {})
    if judgements is not None:
        grades = read_qrels(judgements)
        run = run.select([place for place, query in enumerate(run.queries) if grades.get(query.id)])
        judged = sources.Judged(run.queries, {query.id: grades[query.id] for query in run.queries})
    held = run.texts(stage="load_candidates")
    return _collection(f"candidates/{name}", judged, lambda: _corpus_of(held), relative(name), candidates=run)


def _by_its_form(name: str, split: str | None, session: Session, folder: Path) -> Collection | None:
    """What a name stands for that says by its form where it is found; None for any other."""
    if name.startswith("ir_datasets:"):
        return _from_ir_datasets(name, session)
    if name.startswith("candidates/"):
        return load_candidates(name.removeprefix("candidates/"), session=session)
    labelled = find_labelled(name, split, folder)
    if labelled is None:
        return None
    read = read_labelled_collection(labelled)
    collection = _collection(labelled.name, read.judged, lambda: Corpus.of(read.documents, session=session), None)
    return replace(collection, sentences=read.sentences)


def _with_sentences(collection: Collection, name: str, folder: Path) -> Collection:
    """The queries of a collection whose sentences a file has labelled, with these labels, over the whole corpus."""
    found = find_labelled(name, None, folder)
    if found is None:
        raise NotFoundError("there is no such file of labelled sentences", stage="load_collection", value=name)
    laid = lay_labels(found, collection.queries)
    return replace(
        collection.without(laid.unlabelled),
        id=f"{collection.id} with {found.name}",
        open_corpus=lambda: laid.checked(collection.corpus),
        sentences=laid.sentences,
        notes=(*collection.notes, *laid.notes),
    )


def _from_catalog(asked: Wanted, session: Session) -> Collection:
    """A collection of the catalogue, from wherever it is on this machine."""
    record, split = asked.record, asked.split or asked.record.default_split
    found = sources.find_local(record, split, asked.name)
    if found is not None:
        return _from_folder(found, session, record)
    if split not in record.splits:
        raise NotFoundError(
            f"the collection {record.name} has no split of that name",
            stage="load_collection",
            value=split,
            accepted=", ".join(record.splits),
        )
    name = f"{record.name}/{split}"
    downloaded = read_download(record, split, Downloads(record.family))
    if downloaded is not None:
        judged, documents = downloaded
        return _collection(name, judged, lambda: cached_corpus(documents, session), record, split)
    dataset_id = record.splits[split].ir_datasets
    if dataset_id is not None and installed("ir_datasets"):
        try:
            judged = sources.ir_datasets_queries(dataset_id, offline=True, excluded_grade=record.excluded_grade)
        except NotFoundError:
            pass  # ir_datasets has not downloaded it either
        else:
            return _collection(name, judged, partial(_held_corpus, dataset_id, name, session), record, split)
    fetched = bool(record.files_of(split) or dataset_id)
    raise NotFoundError(
        "the collection is not on this machine",
        stage="load_collection",
        value=name,
        accepted=f"a folder of BEIR's layout, RANKLOOM_DATA/collections/{record.folder or record.name}",
        fix=f"rankloom collections download {name}" if fetched else record.access,
    )


def _held_corpus(dataset_id: str, name: str, session: Session) -> Corpus:
    """The documents that ir_datasets holds on this machine; nothing is downloaded."""
    held = Session(cache=session.cache, offline=True, progress=session.progress)
    try:
        return cached_corpus(f"ir_datasets:{dataset_id}", held)
    except NotFoundError as error:
        raise NotFoundError(
            "the documents of the collection are not on this machine",
            stage="load_collection",
            value=name,
            fix=f"rankloom collections download {name}",
        ) from error


def _from_folder(found: sources.Folder, session: Session, record: CollectionRecord | None = None) -> Collection:
    """A collection in BEIR's layout."""
    judged = sources.judged_queries(found.queries, found.qrels)
    known = record or relative_of_folder(found.path.name)
    collection = _collection(found.id, judged, lambda: cached_corpus(found.corpus, session), known, found.split)
    labels = found.path / "sentences.jsonl"
    return replace(collection, sentences=read_sentences(labels)) if labels.is_file() else collection


def _from_files(files: Mapping[str, str | Path], split: str | None, session: Session, folder: Path) -> Collection:
    """A collection of files named one by one, whose paths start in a folder, or else in the current one."""
    if set(files) != {"corpus", "queries", "qrels"} or split is not None:
        raise UsageError(
            "a collection of files needs three of them",
            stage="load_collection",
            value=sorted(files),
            accepted="corpus, queries, qrels, and no split",
        )
    paths = {name: find_beside(str(path), folder) for name, path in files.items()}
    for name, path in paths.items():
        if path is None and not (name == "corpus" and str(files[name]).startswith("ir_datasets:")):
            raise NotFoundError(
                f"there is no such file of {name}; looked for: {places_tried(str(files[name]), folder)}",
                stage="load_collection",
                value=str(files[name]),
            )
    corpus, queries, qrels = (paths[name] or files[name] for name in ("corpus", "queries", "qrels"))
    judged = sources.judged_queries(Path(queries), Path(qrels))
    folders = [folder.name for folder in Path(qrels).parents[:2]]  # `arguana/qrels/test.tsv`, or `arguana/qrels.txt`
    known = next((record for name in folders if (record := relative_of_folder(name))), None)
    named = Path(files["qrels"])
    return _collection(named.as_posix(), judged, lambda: cached_corpus(corpus, session), known, named.stem)


def _from_ir_datasets(name: str, session: Session) -> Collection:
    """A collection that ir_datasets knows, downloaded if need be."""
    record, dataset_id = relative(name), name.removeprefix("ir_datasets:")
    grade = record.excluded_grade if record else None
    judged = sources.ir_datasets_queries(dataset_id, offline=session.offline, excluded_grade=grade)
    return _collection(name, judged, lambda: cached_corpus(name, session), record)


def _collection(
    name: str,
    judged: sources.Judged,
    open_corpus: Callable[[], Corpus],
    record: CollectionRecord | None,
    split: str | None = None,
    *,
    candidates: Run | None = None,
) -> Collection:
    """A collection with what the catalogue knows of it, and the exclusions that its queries carry."""
    excluded = {query.id: _excluded(query, judged.qrels.get(query.id, {})) for query in judged.queries}
    known = record.splits.get(split or "") if record else None
    level = record.relevance_level if record else 1
    return Collection(
        id=name,
        queries=judged.queries,
        qrels=judged.qrels,
        open_corpus=open_corpus,
        drop_self_hits=record.drop_self_hits if record else False,
        excluded={query_id: unwanted for query_id, unwanted in excluded.items() if unwanted},
        relevance_level=(known.relevance_level if known else None) or level,
        licence=(record.licence if record else None) or "",
        candidates=candidates,
        notes=judged.notes,
    )


def _excluded(query: Query, grades: Mapping[str, int]) -> frozenset[str]:
    """Documents that a query's `excluded_ids` rule out, as in BRIGHT (where `N/A` stands for none)."""
    listed = query.metadata.get("excluded_ids") or ()
    unwanted = frozenset(str(doc_id) for doc_id in listed) - {"N/A"}
    wanted = {doc_id for doc_id in unwanted if grades.get(doc_id, 0) > 0}
    if wanted:
        raise DataError(
            f"the query {query.id!r} excludes a document that is judged relevant",
            stage="load_collection",
            value=min(wanted),
        )
    return unwanted


def _corpus_of(documents: Documents) -> Corpus:
    """A corpus of documents in memory."""
    if not isinstance(documents, MemoryDocuments):
        raise UsageError("these documents can not be listed", stage="load_candidates", accepted="MemoryDocuments")
    return Corpus.of(documents)


def cached_corpus(source: str | Path | DocumentFiles, session: Session) -> Corpus:
    """The corpus of a source: in the session's cache, built when it is not there yet; else in memory."""
    if session.cache is None:
        return Corpus.of(source, session=session)
    known = source.fingerprint if isinstance(source, DocumentFiles) else sources.source_fingerprint(source)
    directory = session.cache.index_directory("corpus", digest(VERSION, known))
    return opened_or_built(directory, Corpus.open, lambda path: Corpus.build(source, path, session=session))
