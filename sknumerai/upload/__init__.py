"""From a fitted model to the file that the tournament runs, and a check that it does."""

from sknumerai.upload._check_upload import check_upload
from sknumerai.upload._make_predict import make_predict
from sknumerai.upload._run_upload import run_upload
from sknumerai.upload._save_upload import save_upload
from sknumerai.upload._submit import submit
from sknumerai.upload._upload_report import UploadReport

__all__ = ["UploadReport", "check_upload", "make_predict", "run_upload", "save_upload", "submit"]
