"""The floor: the library calls that every image needs, in a bare loop; and what each of them costs."""

from __future__ import annotations

import hashlib
import io
import math
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.films.frame import Gray, Matrix

HEIGHT, WIDTH = 256, 300
DEGREES = 15
JITTER = 0.2
FILMS_PER_CHUNK = 16
IMAGES_PER_TABLE = 700  # as many as a shard holds


@dataclass(frozen=True, slots=True)
class Pixels:
    """What is asked of the pixels: how a film fills the frame, how a copy is read, how it is saved."""

    cover: bool
    nearest: bool
    quality: int

    @property
    def zoom(self) -> float:
        """Enlargement that keeps black out of a rotated film, or none."""
        angle = math.radians(DEGREES)
        return math.cos(angle) + WIDTH / HEIGHT * math.sin(angle) if self.cover else 1.0

    @property
    def flags(self) -> int:
        """OpenCV's flags of the warp."""
        import cv2

        return int(cv2.INTER_NEAREST if self.nearest else cv2.INTER_LINEAR) | int(cv2.WARP_INVERSE_MAP)


TODAY = Pixels(cover=True, nearest=False, quality=95)
RECIPE_2020 = Pixels(cover=False, nearest=True, quality=75)


def run(films: Sequence[Path], out: Path, *, copies: int, jobs: int, pixels: Pixels) -> int:
    """Write every film and its copies, one file per worker, and return how many images there are."""
    import cv2  # noqa: F401 - the workers inherit what is loaded here
    from PIL import Image  # noqa: F401 - as above

    chunk = max(1, min(FILMS_PER_CHUNK, len(films) // (4 * jobs)))
    with multiprocessing.get_context("fork").Pool(jobs, _open_file, (out,)) as pool:
        return sum(pool.imap_unordered(partial(_film, copies=copies, pixels=pixels), films, chunksize=chunk))


_OPEN: list[IO[bytes]] = []  # the one file that a worker appends to


def _open_file(out: Path) -> None:
    import cv2

    cv2.setNumThreads(1)
    _OPEN.append((out / f"{multiprocessing.current_process().name}.bin").open("ab", buffering=1 << 20))


def _film(path: Path, *, copies: int, pixels: Pixels) -> int:
    import cv2
    import numpy as np

    image = framed(path.read_bytes(), cover=pixels.cover)
    options = [cv2.IMWRITE_JPEG_QUALITY, pixels.quality]
    levels = np.arange(256)
    file = _OPEN[0]
    file.write(cv2.imencode(".jpg", image, options)[1].data)
    for _ in range(copies):
        table = np.minimum(levels * random.uniform(1 - JITTER, 1 + JITTER) + 0.5, 255).astype(np.uint8)
        matrix = drawn_matrix(pixels.zoom)
        copy = cv2.warpAffine(cv2.LUT(image, table), matrix, (WIDTH, HEIGHT), flags=pixels.flags)
        file.write(cv2.imencode(".jpg", copy, options)[1].data)
    file.flush()
    return copies + 1


def framed(data: bytes, *, cover: bool) -> Gray:
    """Return a film in the frame: Pillow's decode and resize, the middle cut out, black where there is no film."""
    import cv2
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as film:
        gray = film.convert("L")
    scale = max(HEIGHT / gray.height, WIDTH / gray.width) if cover else HEIGHT / min(gray.size)
    size = (max(round(gray.width * scale), WIDTH if cover else 1), max(round(gray.height * scale), HEIGHT))
    image = np.asarray(gray.resize(size, Image.Resampling.BILINEAR))
    top, left = (image.shape[0] - HEIGHT) // 2, max(0, (image.shape[1] - WIDTH) // 2)
    image = image[top : top + HEIGHT, left : left + WIDTH]
    missing = WIDTH - image.shape[1]
    if missing:
        image = np.asarray(
            cv2.copyMakeBorder(image, 0, 0, missing // 2, missing - missing // 2, cv2.BORDER_CONSTANT), np.uint8
        )
    return np.ascontiguousarray(image)


def drawn_matrix(zoom: float) -> Matrix:
    """Return the matrix of a drawn rotation and flip, from the copy to the film."""
    import cv2
    import numpy as np

    middle = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, random.uniform(-DEGREES, DEGREES), 1 / zoom), np.float64)
    if random.random() < 0.5:
        matrix[:, 2] += matrix[:, 0] * (WIDTH - 1)
        matrix[:, 0] *= -1
    return matrix


def composition(films: Sequence[Path]) -> dict[str, float]:
    """Return microseconds per call of each library call on one core, the median over films; page cache warm."""
    import cv2

    cv2.setNumThreads(1)
    timed = Stopwatch()
    encoded: list[bytes] = []
    for path in films:
        path.read_bytes()
        data = timed("read the film", path.read_bytes)
        _time_film(data, timed)
        encoded.append(_time_copy(framed(data, cover=True), timed))
    medians = {name: statistics.median(taken) for name, taken in timed.taken_us.items()}
    return {**medians, "write as Parquet": _parquet_us(encoded)}


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Calls functions and keeps how long they took, by name."""

    taken_us: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what a function returns."""
        started = time.perf_counter_ns()
        result = work()
        self.taken_us.setdefault(name, []).append((time.perf_counter_ns() - started) / 1000)
        return result


def _time_film(data: bytes, timed: Stopwatch) -> None:
    import cv2
    import numpy as np
    from PIL import Image

    timed("sha256 of the film", lambda: hashlib.sha256(data).hexdigest())
    gray = timed("decode by Pillow", lambda: Image.open(io.BytesIO(data)).convert("L"))
    flat = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    timed("decode by OpenCV", lambda: cv2.imdecode(flat, flags))
    if find_spec("simplejpeg"):
        import simplejpeg

        timed("decode by simplejpeg", lambda: simplejpeg.decode_jpeg(data, colorspace="GRAY"))
    scale = max(HEIGHT / gray.height, WIDTH / gray.width)
    size = (round(gray.width * scale), round(gray.height * scale))
    timed("resize by Pillow", lambda: gray.resize(size, Image.Resampling.BILINEAR))


def _time_copy(image: Gray, timed: Stopwatch) -> bytes:
    """Time what a copy needs and return one at quality 95."""
    import cv2
    import numpy as np

    levels = timed("look-up", partial(cv2.LUT, image, np.arange(256, dtype=np.uint8)))
    for name, pixels in (("nearest", RECIPE_2020), ("bilinear", TODAY)):
        warp = partial(cv2.warpAffine, levels, drawn_matrix(pixels.zoom), (WIDTH, HEIGHT), flags=pixels.flags)
        copy = timed(f"warp {name}", warp)
        encode = partial(cv2.imencode, ".jpg", copy, [cv2.IMWRITE_JPEG_QUALITY, pixels.quality])
        data = bytes(timed(f"encode JPEG {pixels.quality}", encode)[1])
    timed("sha256 of the copy", lambda: hashlib.sha256(data).hexdigest())
    return data


def _parquet_us(encoded: Sequence[bytes]) -> float:
    """Return the microseconds per image of writing encoded images as one Parquet file, the median of five."""
    images = [encoded[index % len(encoded)] for index in range(IMAGES_PER_TABLE)]
    timed = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.parquet"
        for _ in range(6):  # the first imports and opens what the others find
            timed("write", partial(_write_table, images, path))
    return statistics.median(timed.taken_us["write"][1:]) / IMAGES_PER_TABLE


def _write_table(images: Sequence[bytes], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"bytes": pa.array(images, pa.binary())})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)


def per_image_us(composed: Mapping[str, float], pixels: Pixels, copies: int) -> float:
    """Return the microseconds that the floor's calls add up to, per image on one core."""
    film = composed["read the film"] + composed["decode by Pillow"] + composed["resize by Pillow"]
    copy = composed["look-up"] + composed["warp nearest" if pixels.nearest else "warp bilinear"]
    return (film + copies * copy) / (copies + 1) + composed[f"encode JPEG {pixels.quality}"]
