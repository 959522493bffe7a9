"""What ends training before its time."""

from __future__ import annotations

import dis
from typing import Any


class StopTraining(Exception):
    """Raised at the end of an epoch by a net that is done before its last one."""


class Interrupted(Exception):
    """Training was called off."""


def ends_training(method_name: str, error: BaseException) -> bool:
    """Whether a KeyboardInterrupt is a callback's way to stop training, by a `raise`, and not a signal."""
    if method_name != "on_epoch_end":
        return False
    traceback: Any = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    instruction = traceback.tb_frame.f_code.co_code[traceback.tb_lasti]
    return instruction == dis.opmap["RAISE_VARARGS"]
