"""Where things lie under the root: the paths that stages hand each other."""

from __future__ import annotations

from pathlib import PurePath

RAW = "data/raw"
AUDIT = "data/audit/manifest.parquet"
AUDIT_SUMMARY = "reports/audit.json"
AUDIT_PAGE = "reports/audit.html"
SPLIT = "data/split/manifest.parquet"
SPLIT_SUMMARY = "reports/split.json"
NORMALIZED = "data/normalized"
NORMALIZED_MANIFEST = f"{NORMALIZED}/manifest.parquet"
AUGMENTED = "data/augmented"
AUGMENTED_MANIFEST = f"{AUGMENTED}/manifest.parquet"
MODEL = "models/model.safetensors"
TRAIN_SUMMARY = "reports/train.json"
TRAIN_LOG = "reports/train_log.csv"
TRAIN_STEPS = "reports/train_steps.csv"
TRAIN_STATE = "models/train.unfinished"  # what a killed run goes on from; no output of the stage
PREDICTIONS = "data/evaluation/predictions.parquet"
EVALUATION_SUMMARY = "reports/evaluation.json"
EVALUATION_PAGE = "reports/evaluation.html"
COMPARISON = "reports/comparison.json"
COMPARISON_PAGE = "reports/comparison.html"
METRICS = "reports/metrics.json"
GAP = "reports/gap.csv"
CONFUSION = "reports/confusion.csv"
RELIABILITY = "reports/reliability.csv"
PLAN = "reports/plan.json"  # where it is asked for
PROBES = "reports/probes.json"
TEST_PEEKS = "reports/test_peeks.jsonl"  # a log that only grows, and so no output of a stage


def folder_under_the_root(text: str) -> str:
    """Return the name of a folder to write under the root.

    Raises:
        ValueError: where it is no name, or leads elsewhere.
    """
    path = PurePath(text)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"is {text!r}; expected the name of a folder under the root")
    return text
