"""Start a review: a page on this machine on which a classifier learns while somebody clicks."""

import html
import ipaddress
import os
import secrets
import socket
import threading
import time
import webbrowser
from typing import Any

from sklearn_cdul.class_names.prompts import resolve_classes
from sklearn_cdul.images.items import check_images
from sklearn_cdul.review.answers import Answers
from sklearn_cdul.review.learner import Learner
from sklearn_cdul.review.session import Session


def review(
    model: Any,
    photos: Any,
    *,
    answers: str | os.PathLike[str] = "answers.csv",
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool = True,
) -> "Review":
    """Label photos on a page in the browser, while the model learns from the answers.

    The page shows one photo at a time, with the classes that the model predicts marked, or thirty
    photos of one class. After each few answers the last layer is fitted again in the background,
    with the answers as ``observed``, and :func:`suggest_photos` chooses the next photos. One photo
    of five is drawn at random and kept apart: the model does not learn from it, and F1 and the
    share of photos all right are of these photos alone.

    Each answer is on disk before the page says so. Another review with the same file goes on.

    Parameters
    ----------
    model : CDULClassifier
        Fitted or not. One that is fitted keeps its network; its last layer is fitted anew, on these
        photos. With ``memory`` photos that were encoded before are not encoded again.
    photos : sequence of images
        See :class:`~sklearn_cdul.CLIPPseudoLabeler`. Those that can't be read are left out.
    answers : str or os.PathLike, default="answers.csv"
        CSV file for the answers, which ``observed=`` takes. Each answer is first written to a
        journal beside it, whose name ends in ".journal". The labels of a CSV file without a journal
        are taken over. The buttons of the page save model, labels and report beside it.
    host : str, default="127.0.0.1"
        Address to listen on. By default only this machine can open the page. With another one
        whoever knows the address of the page can, without encryption.
    port : int, default=0
        Port to listen on; 0 takes one that is free.
    open_browser : bool, default=True
        Whether to open the page.

    Returns
    -------
    review : Review
        The running review. In a notebook it shows the page.

    Raises
    ------
    ImportError
        If starlette or uvicorn is missing: ``pip install "sklearn-cdul[review]"``.
    TypeError, ValueError
        If the model or the photos can't be reviewed, or the files of the answers can't be read.
    OSError
        If the answers can't be written, are in use by another review, or the port is taken.

    See Also
    --------
    LabelReport : A page in one file, to be sent to somebody; it does not learn.

    Notes
    -----
    Memory holds about 75 kB per photo with the bundled encoder and network.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'A review needs starlette and uvicorn: pip install "sklearn-cdul[review]".'
        ) from error
    checked = check_images(photos)
    classes = getattr(model, "class_names_", None) or getattr(model, "classes", None)
    if classes is None:
        classes = getattr(getattr(model, "pseudo_labeler", None), "classes", None) or "coco"
    listening = _listen(host, port)
    try:
        kept = Answers(answers, checked, resolve_classes(classes)[0])
        try:
            session = Session(Learner(model, checked), checked, kept)
        except BaseException:
            kept.release()
            raise
    except BaseException:
        listening.close()
        raise
    running = Review(session, listening, host)
    if open_browser:
        webbrowser.open(running.url)
    return running


class Review:
    """A running review, as :func:`review` returns it; also a context manager, which stops it.

    Attributes
    ----------
    url : str
        Address of the page. Whoever knows it can answer: it has a secret in it.
    """

    def __init__(self, session: Session, listening: socket.socket, host: str):
        import uvicorn

        from sklearn_cdul.review.server import make_app

        token = secrets.token_urlsafe(24)
        self._session = session
        name = f"[{host}]" if ":" in host else host
        if _is_any(host):
            name = socket.gethostname()
        self.url = f"http://{name}:{listening.getsockname()[1]}/{token}/"
        settings = uvicorn.Config(
            make_app(session, token, host),
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=100,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)
        if not self._server.started:
            session.stop()
            raise OSError(f"The page can't be served at {self.url}.")

    @property
    def model(self) -> Any:
        """A classifier that has learned from all answers so far, those kept apart too."""
        return self._session.finish()[0]

    def wait(self) -> None:
        """Let it run until Ctrl-C, then stop it."""
        try:
            while self._thread.is_alive():
                self._thread.join(1)
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    def stop(self) -> None:
        """Close the page and write the CSV file. What was answered stays on disk."""
        if not self._server.should_exit:
            self._server.should_exit = True
            self._thread.join()
            self._session.stop()

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Review at {self.url}. Use stop() to end it.>"

    def _repr_html_(self) -> str:
        """Show the page in a notebook."""
        url = html.escape(self.url, quote=True)
        style = "width: 100%; height: 800px; border: 1px solid #8888"
        return f'<iframe src="{url}" style="{style}"></iframe><p><a href="{url}">{url}</a></p>'


def _listen(host: str, port: int) -> socket.socket:
    """A socket on this address; that it is taken is said before the photos are encoded."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # elsewhere it would let two servers have one port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        raise OSError(f"The page can't be served at {host}, port {port}: {error}.") from error
    return listening


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
