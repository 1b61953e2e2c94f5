"""`python -m moralfit.train` whose process of rank 1 fails in the third step."""

from __future__ import annotations

import os
from typing import Any

from moralfit.console import run_cli
from moralfit.errors import TrainingError
from moralfit.train import _trainer
from moralfit.train.__main__ import app


def fail(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
    if state.global_step == 2 and os.environ["RANK"] == "1":
        raise TrainingError("training: this GPU fell off the bus")


if __name__ == "__main__":
    _trainer.Recorder.on_step_begin = fail  # type: ignore[attr-defined]
    run_cli(app)
