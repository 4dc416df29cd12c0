"""Look at all photos before hours of work: is each there, of a known format, and complete."""

import os
from collections.abc import Sequence
from typing import IO, Any

from PIL import ImageFile

from sklearn_cdul.exceptions import ImageError, with_advice
from sklearn_cdul.images.decoding import load_image, memory_for, open_picture
from sklearn_cdul.images.items import is_at_hand
from sklearn_cdul.images.opening import open_item
from sklearn_cdul.images.threads import go_through

# What stands near the end of a complete file, and how near: cameras write more behind the end of
# a JPEG file, rarely over 64 kB.
_ENDS = {"PNG": (b"IEND", 1 << 16), "GIF": (b";", 1), "JPEG2000": (b"\xff\xd9", 2)}
_WIDEST = 1 << 24  # pixels; Pillow's decoders refuse some lines that are longer
_MOST_NAMED = 3


def check_files(photos: Sequence[Any], *, n_jobs: int | None = None, verbose: bool = False) -> None:
    """Refuse files, local or in memory, that can't be used; a photo takes 0.1 to 0.3 milliseconds.

    Where the end is missing, the file is decoded. Damage in the middle is not found.
    """
    problems = find_problems(photos, n_jobs=n_jobs, verbose=verbose)
    if len(problems) == 1:
        raise with_advice(problems[0])
    if problems:
        named = "; ".join(str(problem).rstrip(".") for problem in problems[:_MOST_NAMED])
        more = "" if len(problems) <= _MOST_NAMED else "; and so on"
        raise ImageError(
            f"{len(problems)} of {len(photos)} images can't be used: {named}{more}. With "
            'on_error="nan" their rows become NaN.',
            problems[0].index,
            problems[0].path,
        ) from problems[0]


def find_problems(
    photos: Sequence[Any], *, n_jobs: int | None = None, verbose: bool = False
) -> list[ImageError]:
    """What is wrong with files that can't be used, as far as their heads and ends tell."""
    found = go_through(photos, _problem_of, "Checking photos", n_jobs=n_jobs, verbose=verbose)
    return [problem for problem in found if problem is not None]


def _problem_of(item: Any, index: int) -> ImageError | None:
    if not is_at_hand(item):
        return None
    try:
        with open_item(item, index) as (_, file):
            image = open_picture(file)
            memory_for(image, (1, 1))
            if _is_complete(file, image):
                return None
        load_image(item, index, min_size=(1, 1))  # raises if there is something wrong
    except ImageError as error:
        return error
    return None


def _is_complete(file: IO[bytes], image: ImageFile.ImageFile) -> bool:
    """Whether the end is there and nothing in the head is odd; False if only decoding can tell."""
    if max(image.size) > _WIDEST or image.mode in ("I", "F"):
        return False
    form, size = image.format or "", file.seek(0, os.SEEK_END)
    if form in _ENDS:
        mark, length = _ENDS[form]
        file.seek(max(size - length, 0))
        return mark in file.read()
    if form in ("JPEG", "MPO"):
        file.seek(max(size - (1 << 16), 0))
        tail = file.read()
        # An end before the last scan is that of a thumbnail.
        return tail.rfind(b"\xff\xd9") > tail.rfind(b"\xff\xda")
    if form == "TIFF":
        return _end_of_tiff(image) <= size
    if form in ("HEIF", "AVIF"):
        return _end_of_boxes(file, size) <= size
    return form == "WEBP"  # whose end was looked for when it was opened


def _end_of_tiff(image: Any) -> int:
    ends = [0]
    for starts, counts in ((273, 279), (324, 325)):  # tags of strips and of tiles
        parts = zip(image.tag_v2.get(starts, ()), image.tag_v2.get(counts, ()), strict=False)
        ends += [start + count for start, count in parts]
    return max(ends)


def _end_of_boxes(file: IO[bytes], size: int) -> int:
    """Where the last box of an ISO media file ends."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(16).ljust(16, b"\0")
        length = int.from_bytes(head[:4], "big")
        if length == 1:  # the true length follows
            length = int.from_bytes(head[8:], "big")
        if length < 8:  # 0 is "to the end of the file"
            return size
        end += length
    return end
