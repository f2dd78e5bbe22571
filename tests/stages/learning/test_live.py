import sys
from pathlib import Path

import pytest

from stages.contract import StageError
from stages.learning.live import logs
from stages.learning.progress import Step
from tests.stages.learning.test_loop import EPOCH

STEP = Step(update=3, epoch=1, learning_rate=1e-3, loss=0.123456789)


def test_lines_can_be_read_as_soon_as_they_are_told(tmp_path: Path) -> None:
    epochs, steps = tmp_path / "reports/epochs.csv", tmp_path / "reports/steps.csv"
    with logs(epochs, steps, None) as tell:
        assert steps.read_text() == "update,epoch,learning_rate,loss\n"
        tell(STEP)
        assert steps.read_text().splitlines()[1:] == ["3,1,0.001,0.123457"]
        tell(EPOCH)
        assert epochs.read_text().splitlines()[1:] == ["1,10,0.001,1,0.5,0.5,1,1,0.5"]


def test_event_files_without_the_extra_are_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)

    with (
        pytest.raises(StageError, match=r"tensorboard is not installed .*cxr-pipeline\[tensorboard\]"),
        logs(tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "events"),
    ):
        pass
