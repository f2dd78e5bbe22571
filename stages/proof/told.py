"""What a user reads of an image that was made anew: what it is, how it was made, and by which versions."""

from __future__ import annotations

from collections.abc import Mapping

from manifests.rows import AugmentedRow, NormalizedRow
from manifests.shards import SHARDS
from stages.augment_params import AugmentParams
from stages.drawn import AUGMENTED
from stages.folder import versions
from stages.normalize import NormalizeParams
from stages.proof.remake import Film, Made, Replayed


def explained(film: Film, image: Replayed, made: Made) -> list[tuple[str, str]]:
    """Return what an image is and how it was made, as pairs of a word and a sentence."""
    row, divided = film.normalized, film.divided
    told = [
        ("film", row.film_id),
        ("raw", f"{divided.path}: its sha256 is the film's"),
        ("shows", f"{row.label} (class {row.label_index}), patient {row.group_id}, split {row.split}"),
        ("placed", _placed(row, made.normalize)),
    ]
    if isinstance(image.row, AugmentedRow):
        assert made.augment is not None
        told.append(("copy", _copy(image.row, made.augment)))
        told += _drawn(image.row)
        if image.row.copy:
            same = "the same numbers" if image.redrawn else "OTHER NUMBERS: the row was changed"
            told.append(("draws", f"drawn again from seed {made.augment.seed}: {same}"))
        filled = "as the row says" if image.as_told else "NOT what the row says"
        told.append(("unfilled", f"{image.row.unfilled:.2%} of the pixels come from outside the film, {filled}"))
        encoding = f"{made.augment.encoding}, quality {made.augment.quality}"
    else:
        encoding = made.normalize.encoding
    place = f"{SHARDS}/{image.row.shard}, row {image.row.index}" if image.row.shard else "a file of its own"
    told += [
        ("image", image.row.path),
        ("bytes", f"{image.row.encoded_bytes:,} of {encoding}; sha256 {image.row.sha256}"),
        ("stored", place),
        ("versions", _versions(image, made)),
    ]
    return told


def _placed(row: NormalizedRow, params: NormalizeParams) -> str:
    return (
        f"{params.policy} into {params.height} x {params.width} (height x width): scaled by {row.scale_x:.4f} across, "
        f"{row.scale_y:.4f} down; film fills columns {row.film_left} to {row.film_right - 1}, rows {row.film_top} to "
        f"{row.film_bottom - 1}; {row.lost:.1%} of it cut away, {row.padded:.1%} of the frame black"
    )


def _copy(row: AugmentedRow, params: AugmentParams) -> str:
    if row.copy == 0:
        return f"0 of {params.copies}: the original, for which nothing is drawn"
    chain = ", ".join(operation.op for operation in params.operations)
    return f"{row.copy} of {params.copies}: {chain}; margins {params.margins}, {params.interpolation}"


def _drawn(row: AugmentedRow) -> list[tuple[str, str]]:
    meanings = {one.name: one.column.doc for one in AUGMENTED.drawn}
    return [(name, f"{_number(value)}  ({meanings[name]})") for name, value in row.drawn.items()]


def _number(value: float | bool) -> str:  # noqa: FBT001 - a number that was drawn, or whether a film was flipped
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}"


def _versions(image: Replayed, made: Made) -> str:
    then = made.augmented_by if isinstance(image.row, AugmentedRow) else made.normalized_by
    return version_text({**made.normalized_by, **then})


def version_text(then: Mapping[str, str]) -> str:
    """Return the versions that made an image, and which of them are others now."""
    now = versions()
    if not then:
        listed = ", ".join(f"{name} {number}" for name, number in now.items())
        return f"not recorded (made by an older cxr-pipeline); now {listed}"
    others = {name: number for name, number in then.items() if now.get(name) != number}
    differing = [f"{name} {number} then, {now.get(name, 'none')} now" for name, number in others.items()]
    if differing:
        return f"OTHERS THAN WHEN IT WAS MADE: {'; '.join(differing)}"
    return f"{', '.join(f'{name} {number}' for name, number in then.items())}, as when it was made"


def same_versions(made: Made) -> bool:
    """Return whether the libraries are those that made the set."""
    now = versions()
    return all(dict(then) == now for then in (made.normalized_by, made.augmented_by) if then)


def why(made: Made) -> str:
    """Return what a difference may come from, and what to do about it."""
    if same_versions(made):
        return "with the same versions: a row or an image was changed; run `cxr-pipeline verify`"
    return "other versions of the codecs may give other bytes: install those that made the set to decide"
