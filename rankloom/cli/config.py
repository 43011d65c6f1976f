"""`rankloom config`: the schema of experiments, and an experiment as it is understood."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.help import help_of
from rankloom.cli.options import Output, OutputOption, SetOption
from rankloom.cli.show import show_json

config_app = typer.Typer(help="Look at configurations.", no_args_is_help=True, rich_markup_mode=None)


def schema(
    output: OutputOption = Output.JSON,  # noqa: ARG001  # a schema is JSON either way
) -> None:
    """Print the JSON schema of experiments, with the parameters of every stage.

    Examples:
      rankloom config schema > experiment.schema.json
    """
    from rankloom.eval.experiment_config import experiment_schema

    show_json(experiment_schema())


def show(
    config: Annotated[Path, typer.Argument(help="The experiment, a YAML file.")],
    assignments: SetOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check an experiment and print it with all defaults filled in and all --set made.

    Examples:
      rankloom config show configs/quickstart.yaml
      rankloom config show exp.yaml --set compare.correction=none --output json
    """
    from rankloom.eval.experiment import Experiment

    values = Experiment.from_yaml(config, assignments or []).config.model_dump()
    if output is Output.JSON:
        show_json(values)
        return
    import yaml

    typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100), nl=False)


config_app.command("schema", help=help_of(schema))(schema)
config_app.command("show", help=help_of(show))(show)
