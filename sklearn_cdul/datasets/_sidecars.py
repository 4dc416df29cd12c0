"""Writer of names into XMP sidecars, files beside the photos that photo managers read."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul.datasets._signatures import Paths, documented
from sklearn_cdul.datasets._writing import check_labels

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_LR = "http://ns.adobe.com/lightroom/1.0/"
_DIGIKAM = "http://www.digikam.org/ns/1.0/"
_OWN = "urn:sklearn-cdul:1.0"
# What this package has written is noted here, so that it can take back its own names alone.
_NOTE = _OWN, "sklearnCDUL:names", "Bag"
_KEYWORDS = (_DC, "dc:subject", "Bag"), (_LR, "lr:hierarchicalSubject", "Bag")
# digiKam reads its own list alone, if there is one.
_IF_THERE = ((_DIGIKAM, "digiKam:TagsList", "Seq"),)
_IN_TREES = {_KEYWORDS[1]: "|", _IF_THERE[0]: "/"}  # food|cake
_EMPTY = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">\
<rdf:Description rdf:about=""/></rdf:RDF></x:xmpmeta>"""
Field = tuple[str, str, str]  # namespace, name, kind of list


@documented
def dump_xmp(data: Paths, target: Any, target_names: Sequence[str]) -> None:
    """Write the names of the classes of each photo into an XMP sidecar beside it, as keywords.

    The sidecar of `a.jpg` is `a.jpg.xmp`. The names are added to `dc:subject` and
    `lr:hierarchicalSubject`, and to `digiKam:TagsList` if it is there. What else stands in a
    sidecar stays, as do the keywords of others. Names that this function wrote before and that no
    longer hold are taken out again. The photos themselves are not touched.

    Parameters
    ----------
    {labels}

    {writing}
    ValueError
        If a sidecar that is there can't be read. Nothing is written then.
    OSError
        If a sidecar can't be read or written. Those before it are written.

    Notes
    -----
    darktable and digiKam look for sidecars of these names, digiKam if its settings say so.
    Lightroom and Bridge read sidecars of RAW files only. For them exiftool copies the keywords into
    the photos: ``exiftool -tagsfromfile %d%f.%e.xmp -xmp:subject -xmp:hierarchicalsubject photos``.

    Examples
    --------
    >>> from sklearn_cdul.datasets import dump_xmp
    >>> dump_xmp(paths, model.predict_names(paths), model.class_names_)  # doctest: +SKIP
    """
    labels = check_labels(data, target, target_names, "labels.xmp", form="xmp")
    files = [Path(f"{os.fspath(photo)}.xmp") for photo in data]
    documents = [_read(file) for file in files]  # what is wrong with one is said before the work
    for file, document, shown in zip(files, documents, labels.shown, strict=True):
        before = document.toxml(encoding="utf-8")
        _set_names(document, [labels.names[column] for column in shown])
        if (after := document.toxml(encoding="utf-8")) != before:
            with atomic_write(file) as part:
                part.write_bytes(after)


def _read(file: Path) -> minidom.Document:
    """The XML of a sidecar, or of an empty one if there is none."""
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return minidom.parseString(_EMPTY)
    try:
        document = minidom.parseString(text)
        if document.doctype is not None:
            raise ValueError("it has a DOCTYPE")
        if not _descriptions(document):
            raise ValueError("it has no rdf:Description in an rdf:RDF")
        for field in (*_KEYWORDS, *_IF_THERE, _NOTE):
            _find_list(document, field)
        document.toxml()  # of what is nested without end it makes nothing
    except (ExpatError, ValueError, LookupError, RecursionError) as error:
        raise ValueError(f"{file} is no XMP sidecar: {error}. Mend it, or move it away.") from None
    return document


def _set_names(document: minidom.Document, names: list[str]) -> None:
    """Put names into the lists of keywords, in place of those of the last time."""
    old = set(_items(_find_list(document, _NOTE)))
    there = [field for field in (*_KEYWORDS, *_IF_THERE) if _find_list(document, field)]
    theirs: set[str] = set()
    for field in there:
        items = set(_items(_find_list(document, field))) - old
        theirs |= items | {item.split(_IN_TREES.get(field, "\0"))[-1] for item in items}
    own = [name for name in names if name not in theirs]
    if not own and not old:
        return
    for field in dict.fromkeys((*_KEYWORDS, *there, _NOTE)):
        keywords = _find_list(document, field) or _add_list(document, field)
        for item in [node for node in keywords.childNodes if _text(node) in old]:
            keywords.removeChild(item)
        for name in own:
            item = document.createElementNS(_RDF, _qualified(keywords.prefix, "li"))
            keywords.appendChild(item).appendChild(document.createTextNode(name))
        if not _items(keywords):
            keywords.parentNode.parentNode.removeChild(keywords.parentNode)


def _descriptions(document: minidom.Document) -> list[Any]:
    found: list[Any] = document.getElementsByTagNameNS(_RDF, "Description")
    return [node for node in found if node.parentNode.localName == "RDF"]


def _find_list(document: minidom.Document, field: Field) -> Any:
    """The list of a field, or None; ValueError if it has another form."""
    space, name, _ = field
    local = name.partition(":")[2]
    for description in _descriptions(document):
        if description.hasAttributeNS(space, local):
            raise ValueError(f"its {name} is no list")
        for node in description.childNodes:
            if node.namespaceURI == space and node.localName == local:
                lists = [child for child in node.childNodes if child.namespaceURI == _RDF]
                if len(lists) != 1:
                    raise ValueError(f"its {name} is no list")
                return lists[0]
    return None


def _add_list(document: minidom.Document, field: Field) -> Any:
    """Add a field with an empty list."""
    space, name, kind = field
    node = document.createElementNS(space, name)
    node.setAttribute(f"xmlns:{name.partition(':')[0]}", space)
    node.setAttribute("xmlns:rdf", _RDF)
    _descriptions(document)[0].appendChild(node)
    return node.appendChild(document.createElementNS(_RDF, f"rdf:{kind}"))


def _items(keywords: Any) -> list[str]:
    nodes = keywords.childNodes if keywords is not None else ()
    return [_text(node) for node in nodes if node.nodeType == node.ELEMENT_NODE]


def _text(node: Any) -> str:
    return "".join(child.data for child in node.childNodes if hasattr(child, "data")).strip()


def _qualified(prefix: str | None, local: str) -> str:
    return f"{prefix}:{local}" if prefix else local
