"""The page of a review and the requests that it makes, behind a secret address."""

import hmac
import ipaddress
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sklearn_cdul import datasets
from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.labels import apply_thresholds
from sklearn_cdul.review.page import read_part
from sklearn_cdul.review.pictures import Pictures
from sklearn_cdul.review.report import LabelReport
from sklearn_cdul.review.session import Conflict, Session

_MOST_BYTES = 2**16  # of a request
_MOST_PHOTOS = 1000  # in one
_PARTS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_FILES = ("live.css", "shared.css", "live.js", "shared.js")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self' http://localhost:* http://127.0.0.1:*",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address is the secret
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_app(session: Session, token: str, host: str = "127.0.0.1") -> Any:
    """The ASGI application. All paths begin with the token."""
    kinds = (ValueError, TypeError, LookupError, OSError, RecursionError, Conflict)
    handlers: Any = dict.fromkeys(kinds, _refuse)
    routes = [*_routes_that_show(session), *_routes_that_change(session)]
    return _Guard(Starlette(routes=routes, exception_handlers=handlers), token, host)


def _routes_that_show(session: Session) -> list[Route]:
    """The page, its parts, photos, and what is known of them."""
    pictures = Pictures(session.photos)

    def page(request: Request) -> Response:
        return _part("live.html")

    def part(request: Request) -> Response:
        return _part(request.path_params["name"])

    def photo(request: Request) -> Response:
        row = request.path_params["row"]
        if row >= len(session.photos):
            raise IndexError(f"There is no photo {row}.")
        made = pictures.get(row, request.path_params["size"])
        return Response(made, 200, {"Cache-Control": "private, max-age=86400"}, "image/jpeg")

    def overview(request: Request) -> Response:
        return JSONResponse(session.overview())

    def card(request: Request) -> Response:
        return JSONResponse(session.card(request.path_params["row"]))

    def grid(request: Request) -> Response:
        return JSONResponse(session.grid(request.path_params["column"]))

    return [
        Route("/", page),
        Route("/part/{name}", part),
        Route("/photo/{row:int}/{size}", photo),
        Route("/overview", overview),
        Route("/card/{row:int}", card),
        Route("/grid/{column:int}", grid),
    ]


def _routes_that_change(session: Session) -> list[Route]:
    """Answers and what else a person says, and files to save."""

    def next_(data: dict[str, Any]) -> Any:
        skip = None if data.get("skip") is None else _number(data["skip"])
        return {"card": session.next(_text(data, "tab"), skip=skip)}

    def answer(data: dict[str, Any]) -> Any:
        tab, row, version = _text(data, "tab"), _number(data["photo"]), _number(data["version"])
        known = None if data.get("classes") is None else _number(data["classes"])
        session.answer(tab, row, version, _numbers(data["shown"]), known)
        return {"card": session.next(tab), "answered": len(session.answers.order)}

    def answer_grid(data: dict[str, Any]) -> Any:
        said = data["photos"]
        if not isinstance(said, list) or len(said) > _MOST_PHOTOS:
            raise ValueError(f"photos must be a list of up to {_MOST_PHOTOS}.")
        photos = [_numbers(one) for one in said]
        session.answer_grid(_text(data, "tab"), _number(data["class"]), photos)
        return session.grid(_number(data["class"]))

    def undo(data: dict[str, Any]) -> Any:
        return {"card": session.undo(_text(data, "tab"))}

    def change_class(data: dict[str, Any]) -> Any:
        old = None if data.get("class") is None else _number(data["class"])
        session.change_class(old, _text(data, "name"))
        return session.overview()

    def save_file(data: dict[str, Any]) -> Any:
        return {"path": str(save(session, _text(data, "name")))}

    taking = {
        "/next": next_,
        "/answer": answer,
        "/answer-grid": answer_grid,
        "/undo": undo,
        "/class": change_class,
        "/save": save_file,
    }
    return [Route(path, _taking(make), methods=["POST"]) for path, make in taking.items()]


class _Guard:
    """Lets requests in that know the token and come from the page itself."""

    def __init__(self, app: Any, token: str, host: str):
        self._app, self._token = app, token
        self._hosts = {"localhost", host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return  # nothing else is spoken
        request = Request(scope)
        head, _, rest = scope["path"].removeprefix("/").partition("/")
        refusal = self._refusal(request, head)

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [(n.lower().encode(), v.encode()) for n, v in HEADERS.items()]
                message["headers"] = [*message["headers"], *(h for h in more if h[0] not in given)]
            await send(message)

        if refusal:
            response = Response(refusal, 403, media_type="text/plain")
            await response(scope, receive, send_on)
        else:
            inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}
            await self._app(inner, receive, send_on)

    def _refusal(self, request: Request, token: str) -> str:
        host = request.headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        # A page elsewhere can let its name mean this machine, but can't be called by an address.
        if name.lower() not in self._hosts and not _is_address(name):
            return "This host name is unknown here."
        if request.headers.get("origin", f"http://{host}") != f"http://{host}":
            return "This request comes from another page."
        if request.headers.get("sec-fetch-site") == "cross-site" and request.method != "GET":
            return "This request comes from another page."
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return "Open the address that was printed at the start: it has a secret in it."
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _part(name: str) -> Response:
    if name not in (*_FILES, "live.html"):
        return Response(status_code=404)
    return Response(read_part(name), media_type=_PARTS[name.rpartition(".")[2]])


def _taking(function: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Any]:
    """An endpoint that takes a small JSON object and gives JSON."""

    async def endpoint(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":
            return JSONResponse({"error": "Only JSON is taken; files are not."}, 415)
        body = b""
        async for block in request.stream():
            body += block
            if len(body) > _MOST_BYTES:
                return JSONResponse({"error": "The request is too large."}, 413)
        data = json.loads(body)
        if not isinstance(data, dict):
            raise ValueError("A JSON object is expected.")
        return JSONResponse(await run_in_threadpool(function, data))

    return endpoint


def _refuse(request: Request, error: Exception) -> Response:
    """Say what was wrong with a request, or that its answer could not be written."""
    if isinstance(error, Conflict):
        return JSONResponse({"error": "Another tab has answered this photo meanwhile."}, 409)
    if isinstance(error, ImageError):
        return JSONResponse({"error": "This photo can't be read."}, 404)
    if isinstance(error, OSError):
        text = f"This could not be written: {error.strerror or error}."
        return JSONResponse({"error": text}, 507)
    if isinstance(error, IndexError):
        return JSONResponse({"error": str(error)}, 404)
    text = f"{error.args[0]} is missing." if isinstance(error, KeyError) else str(error)
    return JSONResponse({"error": text[:500]}, 400)


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError("A number of at least 0 is expected.")
    return value


def _numbers(values: Any) -> list[int]:
    if not isinstance(values, list):
        raise ValueError("A list of numbers is expected.")
    return [_number(value) for value in values]


def _text(data: dict[str, Any], name: str) -> str:
    if not isinstance(data[name], str) or len(data[name]) > 1000:
        raise ValueError(f"{name} must be a short text.")
    return data[name]


def save(session: Session, name: str) -> Path:
    """Write a file of all photos beside the answers, made now from all of them."""
    if name not in (*_FORMS, "model.joblib", "report.html"):
        raise ValueError(f"There is no file {name!r} to save.")
    path = session.answers.path.with_name(f"{session.answers.path.stem}-{name}")
    model, scores = session.finish()
    if name == "model.joblib":
        import joblib

        with atomic_write(path) as part:
            joblib.dump(model, part)
        return path
    readable = np.flatnonzero(~np.isnan(scores).any(axis=1))
    photos, names = [session.photos[row] for row in readable.tolist()], list(model.class_names_)
    answers = session.answers.labels[readable, : len(names)]
    if name == "report.html":
        settings = {"class_names": names, "thresholds": model.thresholds_}
        report = LabelReport.from_predictions(photos, scores[readable], answers, **settings)
        return report.save(path)
    predicted = apply_thresholds(scores[readable], model.thresholds_)
    labels = np.where(np.isnan(answers), predicted, answers).astype(int)
    _FORMS[name](photos, labels, names, path)
    return path


_FORMS = {
    "labels.csv": datasets.dump_csv,
    "coco.json": datasets.dump_coco,
    "fiftyone.json": datasets.dump_fiftyone,
    "label-studio.json": datasets.dump_label_studio,
}
