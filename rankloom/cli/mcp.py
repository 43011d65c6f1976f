"""`rankloom mcp`: pipelines as tools for assistants."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.options import CacheOption, NoCacheOption, OfflineOption, cache_folder, offline_choice
from rankloom.cli.show import message
from rankloom.extras import require


def mcp(
    config: Annotated[Path, typer.Argument(help="The YAML file of a server.")],
    *,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    offline: OfflineOption = False,
) -> None:
    """Serve pipelines as tools for assistants, by MCP on standard input and output (extra mcp).

    The file is that of `rankloom serve`; its address and keys do not count, because nothing listens. An assistant is
    told the command, and starts and ends it itself.

    Examples:
      rankloom mcp serve.yaml
      rankloom mcp serve.yaml --offline
    """
    require("mcp.server.mcpserver", extra="mcp", stage="mcp")
    require("prometheus_client", extra="mcp", stage="mcp")
    from rankloom.serving.config import ServeFile
    from rankloom.serving.mcp import create_mcp
    from rankloom.serving.server import Server

    file = ServeFile.read(config)
    server = Server(file, cache=cache_folder(cache, no_cache=no_cache), offline=offline_choice(offline))
    message(f"serving {', '.join(file.config.pipelines)} by MCP on standard input and output")
    create_mcp(server).run("stdio")
