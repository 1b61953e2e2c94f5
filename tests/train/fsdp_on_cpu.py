"""`python -m moralfit.train` for a launch with recipes/accelerate/fsdp2.yaml where there is no GPU.

torch's FSDP2 shards on CPUs as well; accelerate only hands it out to devices that it counts as GPUs. Here it takes CPUs for
such.
"""

from __future__ import annotations

from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

from moralfit.console import run_cli
from moralfit.train.__main__ import app

initialize = PartialState.__init__


def take_cpus_for_gpus(self: PartialState, *args: Any, **kwargs: Any) -> None:
    initialize(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


if __name__ == "__main__":
    PartialState.__init__ = take_cpus_for_gpus
    run_cli(app)
