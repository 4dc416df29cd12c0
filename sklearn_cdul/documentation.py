"""Where the documentation is, for the link in an estimator's HTML repr."""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, metadata


@lru_cache(maxsize=1)
def documentation_url() -> str:
    """Address of the documentation, as ``[project.urls]`` of pyproject.toml names it; or ""."""
    try:
        entries = metadata("sklearn-cdul").get_all("Project-URL") or []
    except PackageNotFoundError:  # run from a copy of the source
        return ""
    urls = dict(entry.split(", ", 1) for entry in entries)
    return urls.get("Documentation", "").rstrip("/")


class DocumentedMixin:
    """Links the HTML repr of an estimator to its page in the API reference, if that is online."""

    _doc_link_module = "sklearn_cdul"

    @property
    def _doc_link_template(self) -> str:
        url = documentation_url()
        return url and url + "/api/generated/sklearn_cdul.{estimator_name}.html"
