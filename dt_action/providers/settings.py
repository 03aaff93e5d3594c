"""What a user may set about publishing, in one value that `cli` fills from the options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CommentMode = Literal["off", "always", "changes", "failures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How a provider publishes.

    `output_dir` is where the documents were written, as the user named it. `check_run_id` is the check of the job
    itself (`job.check_run_id` on GitHub). `environment` tells the legs of a matrix apart, and where it is empty `leg`,
    which is the JSON of a leg's values. `report_url` is where the whole report can be read. `is_part` tells that
    another job publishes what came of this run.
    """

    token: str = ""
    comment: CommentMode = "changes"
    check_name: str = ""
    check_run_id: int | None = None
    max_annotations: int = 500
    badges: bool = False
    badge_branch: str = ""
    badge_dir: str = ".github/badges"
    output_dir: str = "test_reports"
    environment: str = ""
    leg: str = ""
    report_url: str = ""
    is_part: bool = False
