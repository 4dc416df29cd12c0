"""Read CSV files of photos and labels as rows of text."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sklearn_cdul._utils.text_files import read_text
from sklearn_cdul.images.items import SUFFIXES
from sklearn_cdul.targets.rows import brief, by_any_form

# Columns that say of which photo a row is, that hold names, and the part of the data set. In the
# column with names these stand between them.
PATHS = ("path", "filename", "file_name", "image")
NAMES = ("labels", "label", "class")
SPLIT = "split"
SEPARATOR = ";"
# Columns of tables that are not read, what these are, and what to do.
_OTHERS = {
    "annotation_id": 'of Label Studio. Export "JSON", and read that by load_label_studio',
    "Pixel Value": 'of the masks of Roboflow. Export "COCO", and read that by load_coco',
    "region_attributes": 'of VGG Image Annotator. Export "COCO", and read that by load_coco',
    "LabelName": "of Open Images, which leaves labels that nobody checked unknown. The page on "
    "labels has the lines that make a table of it for observed= and y",
}
# What else than a number a cell may hold, as pandas, R, Excel and databases write it.
UNKNOWN = ("", "none", "nan", "<na>", "nat", "na", "n/a", "#n/a", "null")
_WORDS = {**dict.fromkeys(UNKNOWN, math.nan), "true": 1.0, "false": 0.0}
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of other bytes


def read_csv(
    path: Path, class_names: Sequence[str] = ()
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a file with commas, semicolons or tabs. Bytes that are not UTF-8 may be in paths.

    White space around the names of columns does not count, except in names of classes.
    """
    text = read_text(path, errors="surrogateescape")
    if text.lstrip()[:1] in ("{", "[", "<"):
        raise ValueError(
            f"{path} is not CSV: it begins with {text.strip()[:20]!r}. Read it by a function of "
            "sklearn_cdul.datasets."
        )
    # The first line as far as it is not quoted: a quoted name may have any of the three.
    plain = re.sub(r'"[^"]*"', "", text).partition("\n")[0]
    delimiter = max(",;\t", key=plain.count)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    limit = csv.field_size_limit()
    csv.field_size_limit(max(limit, len(text)))
    try:
        # A cell may hold line ends, so the number is that of the row's last line.
        lines = [(reader.line_num, line) for line in reader if "".join(line).strip()]
    except csv.Error as error:
        raise ValueError(f"Line {reader.line_num} of {path} can't be read: {error}.") from None
    finally:
        csv.field_size_limit(limit)
    if lines and lines[0][1][0] == "sep=":  # in which Excel is told what stands between cells
        del lines[0]
    if lines and _NOT_UTF8.search("".join(lines[0][1])):
        raise ValueError(f"{path} is not UTF-8. Save it as UTF-8.")
    if len(lines) < 2:
        raise ValueError(f"{path} has no rows. Its first line names the columns.")
    forms = by_any_form(class_names)
    header = [cell if cell in forms else cell.strip() for cell in lines[0][1]]
    named = [forms.get(column, column) for column in header]
    header = named if len(set(named)) == len(header) else header
    of_tools = _OTHERS.keys() - set(class_names)
    if found := [column for column in header if column in of_tools]:
        raise ValueError(f"{path} is {_OTHERS[found[0]]}.")
    if repeated := [column for column, count in Counter(header).items() if count > 1]:
        listed = ", ".join(repr(name[:100]) for name in repeated[:10])
        raise ValueError(f"{path} has these columns more than once: {listed}.")
    is_utf8 = _NOT_UTF8.search(text) is None
    for number, line in lines[1:]:
        fits = len(line) == len(header)
        others = [cell for cell, name in zip(line, header, strict=fits) if name not in PATHS]
        if not is_utf8 and not (fits and _NOT_UTF8.search("".join(others)) is None):
            raise ValueError(f"Line {number} of {path} is not UTF-8. Save the file as UTF-8.")
        if not fits:
            raise ValueError(
                f"Line {number} of {path} has {len(line)} cells, but the first line names "
                f"{len(header)} columns. Text with a comma needs quotation marks."
            )
    return header, lines[1:]


def read_number(cell: str) -> float:
    """The number in a cell, NaN if the label is not known; ValueError if it is none."""
    word = cell.strip().lower()
    return _WORDS[word] if word in _WORDS else float(word)


def check_header(column: object, path: object) -> None:
    """Refuse the column of the photos if what should be its name is a photo, too."""
    if str(column).lower().endswith(SUFFIXES):
        raise ValueError(
            f"{path} begins with {brief(column)} where the name of a column is expected. Its first "
            f"line must name the columns, that of the photos {PATHS[0]!r}."
        )


def split_names(cell: str) -> list[str]:
    """Return the names in a cell."""
    return [name.strip() for name in cell.split(SEPARATOR) if name.strip()]
