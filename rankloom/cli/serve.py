"""`rankloom serve`: pipelines over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankloom.cli.options import CacheOption, NoCacheOption, OfflineOption, cache_folder, offline_choice
from rankloom.cli.show import message
from rankloom.extras import require


def serve(
    config: Annotated[Path, typer.Argument(help="The YAML file of a server.")],
    *,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on, in place of the file's.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    offline: OfflineOption = False,
) -> None:
    """Serve pipelines over HTTP: search, rerank, prune, context, and documents that change (extra serve).

    Only this machine is served, unless the file names another address, and keys. SIGHUP reads the file again; SIGTERM
    ends the server once requests under way have their answers.

    Examples:
      rankloom serve serve.yaml
      rankloom serve serve.yaml --port 9000 --offline
    """
    uvicorn = require("uvicorn", extra="serve", stage="serve")
    for module in ("fastapi", "prometheus_client"):
        require(module, extra="serve", stage="serve")
    from rankloom.serving.app import create_app
    from rankloom.serving.config import ServeFile
    from rankloom.serving.server import Server

    overrides = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    file = ServeFile.read(config, overrides)
    server = Server(file, cache=cache_folder(cache, no_cache=no_cache), offline=offline_choice(offline))
    told = file.config
    settings = uvicorn.Config(
        create_app(server),
        host=told.host,
        port=told.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=told.shutdown_seconds,
    )
    running = uvicorn.Server(settings)
    listening = settings.bind_socket()  # before the address is told: a port of 0 is one that the system picks
    listening.listen(settings.backlog)  # and whoever is told finds somebody there
    address, at = listening.getsockname()[:2]
    message(f"serving {', '.join(told.pipelines)} at http://{f'[{address}]' if ':' in address else address}:{at}")
    running.run(sockets=[listening])
