"""Manifests made anew: the stage run again with the parameters that it had, until the result is recognized."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from manifests import store
from manifests.checks import ManifestError
from manifests.places import AnyPath, joined
from manifests.shards import SHARDS, ImageFolder
from stages import audit, augment, normalize, paths, split
from stages.augment_params import AugmentParams
from stages.contract import CxrError, Params, StageError
from stages.proof.bench import Bench
from stages.proof.chain import STAGE_OF
from stages.proof.fitting import fits

FOOTER_STARTS = b'{"facts": '
FEW_BYTES = 16  # a file that differs in no more is the same one, spoilt


def mend_manifest(name: str, bench: Bench) -> str:
    """Make a manifest anew and return what was done, in words.

    Its stage is run with each set of parameters that may have made it, until the result is the one that later
    manifests were made from. Where none is left to say so, the result is taken that is the spoilt file but for the
    damage, or the only one there is.

    Raises:
        StageError: where no result is recognized; the file that lay there lies there again.
    """
    path = bench.root / name
    if name == paths.PREDICTIONS:
        raise StageError(f"{name}: run `cxr-pipeline evaluate` again: scoring is a look at the test films, and counted")
    old = path.read_bytes() if path.is_file() else None
    witnesses = {footer.sources[name] for footer in bench.footers().values() if name in footer.sources}
    recipes = _recipes(name, old, bench)
    fitting = [params for params in recipes if fits(params, bench)]
    with _put_back(path, old):
        for params in fitting:
            _delete_spoilt_shards(name, bench)
            _run(params, bench)
            digest = store.file_sha256(path)
            if witnesses:
                recognized = digest in witnesses
            else:
                recognized = len(fitting) == 1 or _is_but_for_damage(old, path.read_bytes())
            if recognized:
                bench.pending.discard(name)
                told = ", as later manifests say" if witnesses else ""
                return f"{name} made anew by {STAGE_OF[name]}: sha256 {digest[:12]}{told}"
        raise StageError(_not_recognized(name, witnesses, recipes))


@contextmanager
def _put_back(path: AnyPath, old: bytes | None) -> Iterator[None]:
    """Leave a file as it was where what is made of it fails."""
    try:
        yield
    except (CxrError, ManifestError, OSError):
        if old is None:
            path.unlink(missing_ok=True)
        else:
            store.write_bytes(path, old)
        raise


def _not_recognized(name: str, witnesses: set[str], recipes: Sequence[Params]) -> str:
    stage = STAGE_OF[name]
    again = f"run `cxr-pipeline {stage}` and what follows again"
    if not recipes:
        return f"{name}: nothing tells the parameters it was made by; {again}"
    expected = f"sha256 {', '.join(sorted(one[:12] for one in witnesses))}" if witnesses else "what is there"
    return (
        f"{name}: {stage} no longer gives {expected} (the films, the parameters or the codecs' versions are others "
        f"now); {again}"
    )


def _delete_spoilt_shards(name: str, bench: Bench) -> None:
    """Delete the shards that are known to be wrong: the stage would take over a whole one under another's name."""
    for one in bench.of("shard", name.removesuffix(store.MANIFEST)):
        (bench.root / one.where).unlink(missing_ok=True)


def _run(params: Params, bench: Bench) -> None:
    """Run the stage that takes such parameters: of audit and split, no more than what writes the manifest."""
    root, machine = bench.root, bench.machine
    if isinstance(params, audit.AuditParams):
        told = [footer.facts["raw"] for footer in bench.footers().values() if "raw" in footer.facts]
        audit.survey(params, root, replace(machine, raw=machine.raw or joined(root, next(iter(told), paths.RAW))))
    elif isinstance(params, split.SplitParams):
        split.divide(params, root)
    elif isinstance(params, normalize.NormalizeParams):
        normalize.run(params, root, machine)
    elif isinstance(params, AugmentParams):
        augment.run(params, root, machine)


def _recipes(name: str, old: bytes | None, bench: Bench) -> list[Params]:
    """Return the parameters that may have made a manifest, each once, the best witness's first."""
    stage, told = STAGE_OF[name], list[Mapping[str, Any]]()
    told += [footer.recipes[stage] for footer in bench.footers().values() if stage in footer.recipes]
    told += _of_shards((bench.root / name).parent)
    told += [footer["params"] for footer in salvaged(old or b"") if isinstance(footer.get("params"), dict)]
    return _valid(stage, told) or _valid(stage, [bench.machine.sections.get(stage, {})])


def _valid(stage: str, told: Iterable[Mapping[str, Any]]) -> list[Params]:
    """Return a stage's parameters, each once, leaving out what are none."""
    found: list[Params] = []
    for one in told:
        try:
            params = _PARAMS[stage].model_validate(one)
        except ValidationError:  # the byte that was changed stood here
            continue
        if params not in found:
            found.append(params)
    return found


_PARAMS: Mapping[str, type[Params]] = {
    "audit": audit.AuditParams,
    "split": split.SplitParams,
    "normalize": normalize.NormalizeParams,
    "augment": AugmentParams,
}


def _of_shards(folder: AnyPath) -> list[dict[str, Any]]:
    """Return the parameters that whole shards tell, the most frequent first."""
    images = ImageFolder(folder, "shards")
    names = [path.name for path in (folder / SHARDS).glob("*.parquet")]
    told = Counter(json.dumps(recipe, sort_keys=True) for name in names if (recipe := images.recipe_of(name)))
    return [json.loads(recipe) for recipe, _ in told.most_common()]


def salvaged(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the footers that can still be read in a spoilt manifest, which holds a spare one."""
    at = data.find(FOOTER_STARTS)
    while at >= 0:
        with suppress(ValueError):  # the byte that was changed stood here
            yield json.JSONDecoder().raw_decode(data[at:].decode("utf-8", "replace"))[0]
        at = data.find(FOOTER_STARTS, at + 1)


def _is_but_for_damage(old: bytes | None, new: bytes) -> bool:
    """Return whether a rebuilt file is the spoilt one but for the damage: a few bytes, or a missing end."""
    if old is None:
        return False
    if len(old) < len(new):
        return bool(old) and new.startswith(old)
    if len(old) > len(new):
        return old.startswith(new)
    one, other = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
    return int((one != other).sum()) <= FEW_BYTES
