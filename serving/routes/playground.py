"""The playground: one page on which two pipelines are asked and compared; it loads nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

from rankloom.errors import NotFoundError

router = APIRouter(include_in_schema=False)

_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "playground.js": "text/javascript; charset=utf-8",
    "results.js": "text/javascript; charset=utf-8",
    "elements.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
#: Only our own files run, and with Trusted Types the browser refuses `innerHTML` and its like.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a newer server brings a newer page
}


@router.get("/")
async def page() -> Response:
    """The page."""
    return _file("index.html")


@router.get("/playground/{name}")
async def part(name: str) -> Response:
    """What the page loads."""
    if name not in _TYPES:
        raise NotFoundError("there is no such file", stage="playground", value=name, accepted=", ".join(_TYPES))
    return _file(name)


def _file(name: str) -> Response:
    """One of the files that come with the package."""
    body = (files("rankloom.serving") / "playground" / name).read_bytes()
    return Response(body, media_type=_TYPES[name], headers=_HEADERS)
