"""Tables on disk, of any size: the library's functions on files, by any number of workers."""

from sknumerai._atomic import complete_or_absent, replace_together
from sknumerai.streaming._clip_files import clip_files
from sknumerai.streaming._contribution_files import contribution_files
from sknumerai.streaming._neutralize_files import neutralize_files
from sknumerai.streaming._score_files import score_files
from sknumerai.streaming._stream_report import StreamReport
from sknumerai.streaming._tune_files import tune_files

__all__ = [
    "StreamReport",
    "clip_files",
    "complete_or_absent",
    "contribution_files",
    "neutralize_files",
    "replace_together",
    "score_files",
    "tune_files",
]
