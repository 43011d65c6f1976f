"""`rankloom run`: carry an experiment out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankloom.cli.experiment import session_of
from rankloom.cli.options import (
    CacheOption,
    NoCacheOption,
    OfflineOption,
    Output,
    OutputOption,
    RayOption,
    SetOption,
    WorkersOption,
    cache_folder,
    offline_choice,
    ray_cluster,
)
from rankloom.cli.show import message, show_json, show_table
from rankloom.errors import NotFoundError

if TYPE_CHECKING:
    from rankloom.eval.experiment import Experiment
    from rankloom.eval.preflight import Preflight
    from rankloom.eval.results import ExperimentResult


def run(
    config: Annotated[Path, typer.Argument(help="The experiment, a YAML file.")],
    *,
    assignments: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; run nothing.")] = False,
    output_dir: Annotated[Path | None, typer.Option("--output-dir", help="Folder of the results.")] = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    ray: RayOption = None,
    workers: WorkersOption = None,
    offline: OfflineOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run an experiment: check it, show the plan, retrieve, rerank, measure, compare, write the results.

    Killed at any moment, it goes on where it stopped when it is run again. What it lacks, packages or models, is found
    before anything is done, also by a dry run.

    Examples:
      rankloom run configs/quickstart.yaml
      rankloom run configs/quickstart.yaml --dry-run
      rankloom run exp.yaml --set collection=scifact --set define.bm25.bm25.k=100
      rankloom run exp.yaml --output json --output-dir results
      rankloom run exp.yaml --ray auto
    """
    cluster = ray_cluster(ray, workers, verb="run")
    from rankloom.eval.experiment import Experiment

    experiment = Experiment.from_yaml(config, assignments or [])
    folder = output_dir or Path(experiment.config.output)
    place = cache_folder(cache, no_cache=no_cache)
    lines = [f"{config}: {experiment.config.collection.name}; results in {folder}; cache {place or 'off'}"]
    lines += experiment.plan().lines()
    needs = experiment.preflight(offline=experiment.session(offline=offline_choice(offline)).offline)
    lines += needs.lines()
    if dry_run:
        _show_plan(experiment, folder, lines, cache=place, needs=needs, output=output)
        needs.raise_problems()
        return
    message("\n".join(lines))
    needs.raise_problems()
    session = session_of(experiment, cache=cache, no_cache=no_cache, offline=offline)
    if cluster is not None:
        from rankloom.distributed import fill_for_experiment

        fill_for_experiment(experiment, session, cluster=cluster)
    result = experiment.run(session, output=folder, on_failure="report")
    if output is Output.JSON:
        show_json(_as_dict(experiment, result, folder))
    else:
        _show(experiment, result, folder)
    result.raise_failures()


def _show_plan(
    experiment: Experiment, folder: Path, lines: list[str], *, cache: Path | None, needs: Preflight, output: Output
) -> None:
    """The plan and what it may cost; reads queries, opens no index, loads no model."""
    from rankloom.eval.forecast import earlier_costs, forecast, forecast_lines

    plan = experiment.plan()
    try:
        queries: int | None = len(experiment.load(experiment.session(offline=True)).queries)
    except NotFoundError:
        queries = None
    earlier = earlier_costs(folder)
    found = () if queries is None else forecast(plan.stages, queries, earlier=earlier, prices=experiment.config.prices)
    if output is Output.JSON:
        about = {"output": str(folder), "cache": str(cache) if cache else None, "queries": queries}
        show_json({**plan.to_dict(), **about, **needs.to_dict(), "forecast": [one.to_dict() for one in found]})
        return
    if queries is None:
        lines.append("the collection is not on this machine: how much there is to do is not known")
    else:
        lines += forecast_lines(found, queries, source=folder if earlier else None)
    typer.echo("\n".join(lines))


def _as_dict(experiment: Experiment, result: ExperimentResult, folder: Path) -> dict[str, object]:
    """The result as JSON values."""
    from rankloom.eval.outputs import summary_dict

    return {
        **summary_dict(experiment, result),
        "failures": result.reasons(),
        "costs": {name: outcome.costs() for name, outcome in result.outcomes.items()},
        "notes": {name: outcome.ledger.counts() for name, outcome in result.outcomes.items()},
        "output": str(folder),
    }


def _show(experiment: Experiment, result: ExperimentResult, folder: Path) -> None:
    """The table, what it cost, what happened, and where it is."""
    from rankloom.eval.costs import COSTS

    costs = [COSTS[name] for name in experiment.config.costs]
    header = [*result.summary.header(), *(cost.header for cost in costs), *(["cached"] if costs else [])]
    rows = []
    for cells in result.summary.cells():
        outcome = result.outcomes.get(cells[0])
        if outcome is None:  # it failed
            rows.append([*cells, *("-" for _ in header[len(cells) :])])
            continue
        spent = outcome.costs()
        cached, asked = outcome.cached()
        share = [f"{cached / max(1, asked):.0%}"] if costs else []
        rows.append([*cells, *(cost.shown(spent.get(cost.name)) for cost in costs), *share])
    show_table(header, rows)
    typer.echo(result.summary.legend(tests=False))
    for name, tuning in result.tunings.items():
        typer.echo("\n".join([f"{name}:", *(f"  {line}" for line in tuning.lines())]))
    ledgers = {name: outcome.ledger for name, outcome in result.outcomes.items()}
    ledgers |= {f"index of {name}": ledger for name, ledger in result.index_ledgers().items()}
    for name, ledger in ledgers.items():
        if notes := ledger.counts():
            typer.echo(f"{name}: {', '.join(f'{count} {kind}' for kind, count in notes.items())}")
    typer.echo(f"{folder / 'report.html'}")
