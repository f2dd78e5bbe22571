"""Writes what can be read off the code: commands, manifests and the schemas of reports under docs/, and dvc.yaml.

python -m docs.reference            write them
python -m docs.reference --check    exit 1 where one is out of date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grimp
import yaml

from manifests.columns import Schema
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT
from pipeline.catalog import COMMANDS, STAGES
from pipeline.cli import main
from stages import paths
from stages.auditing.schema import Audit
from stages.drawn import AUGMENTED
from stages.evaluation_schema import Evaluation
from stages.planning.schema import PlanReport
from stages.told import Told, json_schema

REPOSITORY = Path(__file__).resolve().parents[1]
GENERATED = "Made from the code by `make docs`; to change it, change the code."
MANIFESTS: dict[str, Schema[Any]] = {
    paths.AUDIT: AUDITED,
    paths.SPLIT: SPLIT,
    paths.NORMALIZED_MANIFEST: NORMALIZED,
    paths.AUGMENTED_MANIFEST: AUGMENTED,
    paths.PREDICTIONS: PREDICTIONS,
}
COMPLETION = """## Completion

The tab key completes commands, options and their choices, once the shell is told how:

| shell | in this file | this line |
|---|---|---|
| bash | `~/.bashrc` | `eval "$(_CXR_PIPELINE_COMPLETE=bash_source cxr-pipeline)"` |
| zsh | `~/.zshrc` | `eval "$(_CXR_PIPELINE_COMPLETE=zsh_source cxr-pipeline)"` |
| fish | `~/.config/fish/config.fish` | `_CXR_PIPELINE_COMPLETE=fish_source cxr-pipeline \\| source` |
"""
PERSISTENT = (paths.NORMALIZED, paths.AUGMENTED)  # a killed run goes on where it was, so DVC must not clear them
UNCACHED = (".json",)  # small texts that DVC should not hide in its cache
METRICS = (paths.METRICS,)
PLOTS = [
    {
        "accuracy": {
            "x": "epoch",
            "y": {"reports/train_log.csv": ["train_accuracy", "val_accuracy"]},
            "title": "Accuracy on un-augmented films",
        }
    },
    {
        "loss_by_update": {
            "x": "update",
            "y": {"reports/train_steps.csv": "loss"},
            "title": "Loss on the augmented images, within epochs",
        }
    },
    {"loss": {"x": "epoch", "y": {"reports/train_log.csv": ["train_loss", "val_loss"]}, "title": "Loss"}},
    {
        "gap": {
            "template": "bar_horizontal",
            "x": "value",
            "y": {"reports/gap.csv": "part"},
            "title": "The gap from the training images to the test, part by part",
        }
    },
    {
        "confusion": {
            "template": "confusion",
            "x": "actual",
            "y": {"reports/confusion.csv": "predicted"},
            "title": "Confusion",
        }
    },
    {
        "reliability": {
            "template": "scatter",
            "x": "confidence",
            "y": {"reports/reliability.csv": "accuracy"},
            "title": "Accuracy where the network is so sure",
        }
    },
]


def commands_page() -> str:
    """Return the page of the commands: what --help prints."""
    width: dict[str, Any] = {"terminal_width": 100, "max_content_width": 100, "resilient_parsing": True}
    context = main.make_context("cxr-pipeline", [], **width)
    blocks = [f"# Commands\n\n{GENERATED}\n", _block("cxr-pipeline --help", main.get_help(context)), COMPLETION]
    for entry in COMMANDS:
        command = main.get_command(context, entry.name)
        assert command is not None
        inner = command.make_context(entry.name, [], parent=context, **width)
        blocks.append(f"## {entry.name}\n\n{_block(f'cxr-pipeline {entry.name} --help', command.get_help(inner))}")
    return "\n".join(blocks)


def _block(command: str, text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return f"```console\n$ {command}\n{lines}\n```\n"


def manifests_page() -> str:
    """Return the page of the manifests: every column with its type and meaning."""
    parts = [
        f"# Manifests\n\n{GENERATED}\n",
        "Parquet, zstd. The meaning of a column travels with it as the field's metadata `doc`; the footer's key "
        "`cxr_pipeline` holds schema, version, parameters, the sha256 of the manifests it was made from, and facts "
        "such as the classes, as JSON.\n",
    ]
    for path, schema in MANIFESTS.items():
        parts += [f"## {path}\n", f"`{schema.name}`, version {schema.version}.\n", _columns(schema)]
    return "\n".join(parts)


def _columns(schema: Schema[Any]) -> str:
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for field in schema.fields:
        null = " or null" if field.nullable else ""
        null += " where status is not ok" if field.column.if_ok else ""
        allowed = f" (one of {', '.join(f'`{value}`' for value in field.allowed)})" if field.allowed else ""
        lines.append(f"| `{field.name}` | {field.type}{null} | {field.column.doc}{allowed} |")
    return "\n".join(lines) + "\n"


def dvc_file() -> str:
    """Return dvc.yaml: a stage's command without flags, what it reads and writes, and the code that decides it."""
    graph = grimp.build_graph("pipeline", "stages", "manifests", cache_dir=None)
    stages: dict[str, Any] = {}
    for entry in STAGES:
        stage = entry.load()
        module = f"stages.{entry.name}"
        code = sorted(_file(name) for name in (module, *graph.find_upstream_modules(module)))
        stages[entry.name] = {
            "cmd": f"cxr-pipeline {entry.name}",
            "deps": [*stage.reads, *code],
            "params": [entry.name],
            **_outputs(stage.writes),
        }
    text = yaml.safe_dump({"stages": stages, "plots": PLOTS}, sort_keys=False, width=120)
    return f"# {GENERATED}\n{text}"


def _file(module: str) -> str:
    path = REPOSITORY / module.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).relative_to(REPOSITORY).as_posix()


def _outputs(writes: tuple[str, ...]) -> dict[str, list[Any]]:
    outputs: dict[str, list[Any]] = {"outs": [], "metrics": []}
    for path in writes:
        if path in METRICS:
            outputs["metrics"].append({path: {"cache": False}})
        elif path in PERSISTENT:
            outputs["outs"].append({path: {"persist": True}})
        else:
            outputs["outs"].append({path: {"cache": False}} if path.endswith(UNCACHED) else path)
    return {name: found for name, found in outputs.items() if found}


def schema_file(report: type[Told]) -> str:
    """Return the JSON Schema of a report."""
    return json.dumps({"$comment": GENERATED, **json_schema(report)}, indent=2) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "docs/commands.md": commands_page,
    "docs/manifests.md": manifests_page,
    "docs/audit.schema.json": partial(schema_file, Audit),
    "docs/evaluation.schema.json": partial(schema_file, Evaluation),
    "docs/plan.schema.json": partial(schema_file, PlanReport),
    "dvc.yaml": dvc_file,
}


def run(arguments: list[str]) -> int:
    """Write the pages, or check them; return the exit status."""
    stale = []
    for name, page in PAGES.items():
        text = page()
        path = REPOSITORY / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"out of date: {', '.join(stale)}; run `make docs` and commit what it writes\n")
        return 1
    sys.stdout.write(f"{', '.join(stale) or 'nothing'} {'to write' if '--check' in arguments else 'written'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
