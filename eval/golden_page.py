"""The page of golden numbers: a template's text, with a table at each marker.

A line `{{ table NAME }}` of the template becomes the table of that name: a row for each pipeline, or for each
collection where there are several runs. A line `{{ references NAME }}` becomes the published figures beside ours. All
other lines are copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rankloom.checks import choice
from rankloom.errors import ConfigError, NotFoundError, UsageError
from rankloom.eval.golden import GoldenFile, GoldenRun, Table, differs
from rankloom.files import write_text
from rankloom.yaml_file import read_yaml

_MARKER = re.compile(r"\{\{ *(\w+) +([\w-]+) *\}\}")
Grid = Sequence[Sequence[str]]


def write_page(file: GoldenFile) -> Path:
    """Write the page of a golden file; returns its path.

    Raises:
        UsageError: The file names no page, or the template a table that is not there.
        NotFoundError: There is no template.
        ConfigError: A marker is malformed, or a table is shown nowhere.
    """
    text = rendered(file)
    path = page_path(file)
    write_text(path, text)
    return path


def page_path(file: GoldenFile) -> Path:
    """Where the page is.

    Raises:
        UsageError: The file names none.
    """
    if file.golden.page is None:
        raise UsageError("the golden file names no page", stage="golden", value=str(file.path), accepted="a key `page`")
    return file.beside(file.golden.page.output)


def rendered(file: GoldenFile) -> str:
    """The text of the page; raises as `write_page` does."""
    page_path(file)
    template = file.beside(file.golden.page.template if file.golden.page else "")
    try:
        text = template.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFoundError("there is no such template", stage="golden", value=str(template)) from error
    tables, shown = file.golden.tables, set()
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        if "{{" not in line:
            lines.append(line)
            continue
        found = _MARKER.fullmatch(line)
        if found is None or found.group(1) not in _PARTS:
            accepted = " or ".join(f"{{{{ {part} NAME }}}} alone on its line" for part in _PARTS)
            raise ConfigError(f"{template}:{number}: not a marker", value=line, accepted=accepted)
        part, name = found.groups()
        table = tables[choice(name, tables, stage=f"{template}:{number}", parameter="table")]
        shown.add((part, name))
        lines += _markdown(_PARTS[part](table, [_collection(file, table, run) for run in table.runs]))
    missing = [name for name in tables if ("table", name) not in shown]
    if missing:
        raise ConfigError("a table stands nowhere in the template", value=missing[0], fix=f"add it to {template}")
    return "\n".join(lines) + "\n"


def _collection(file: GoldenFile, table: Table, run: GoldenRun) -> str:
    """What a run is measured on."""
    return run.collection or str(read_yaml(file.beside(table.config))[0]["collection"])


def _scores(table: Table, collections: Sequence[str]) -> Grid:
    """A row for each pipeline of the only run, or for each of several runs."""
    if len(table.runs) == 1:
        run = table.runs[0]
        rows = [[_label(table, name), *(_cell(run, name, one) for one in run.measures)] for name in run.scores]
        return [["pipeline", *run.measures], *rows]
    columns = list(
        dict.fromkeys((name, one) for run in table.runs for name, scores in run.scores.items() for one in scores)
    )
    rows = [
        [_label(table, collection), *(_cell(run, *column) for column in columns)]
        for collection, run in zip(collections, table.runs, strict=True)
    ]
    return [["collection", *(f"{_label(table, name)}: {measure}" for name, measure in columns)], *rows]


def _references(table: Table, collections: Sequence[str]) -> Grid:
    """A row for each published figure; collection and pipeline are named where there are several."""
    found = [(where, run, one) for where, run in zip(collections, table.runs, strict=True) for one in run.references]
    several = {
        "collection": len(table.runs) > 1,
        "pipeline": len({one.pipeline for _, _, one in found}) > 1,
    }
    head = [
        *(column for column, needed in several.items() if needed),
        "measure",
        "here",
        "published",
        "by",
        "difference",
    ]
    rows = []
    for where, run, one in found:
        names = {"collection": _label(table, where), "pipeline": _label(table, one.pipeline)}
        score = run.scores[one.pipeline][one.measure]
        same = "none" if not differs(score, one) else one.differs or ""
        figures = [one.measure, _figure(score), _figure(one.value, one.digits), one.source, same]
        rows.append([*(names[column] for column, needed in several.items() if needed), *figures])
    return [head, *rows]


_PARTS: Mapping[str, Callable[[Table, Sequence[str]], Grid]] = {"table": _scores, "references": _references}


def _label(table: Table, name: str) -> str:
    """What a pipeline or collection is called in the table."""
    return table.labels.get(name, name)


def _cell(run: GoldenRun, pipeline: str, measure: str) -> str:
    """A mean and its mark."""
    value = run.scores.get(pipeline, {}).get(measure)
    return "" if value is None else f"{_figure(value)} {run.mark(pipeline, measure)}".strip()


def _figure(value: float, digits: int = 4) -> str:
    """A mean as papers print it, such as `.6789`."""
    shown = f"{value:.{digits}f}"
    return shown.removeprefix("0") if shown.startswith("0.") else shown


def _markdown(grid: Grid) -> list[str]:
    """A Markdown table; its first row is the head."""
    head, *rows = grid
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
