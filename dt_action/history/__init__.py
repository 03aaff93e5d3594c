"""What earlier runs say of each test: records of runs, merged without locks, bounded, in a directory or a file."""

from dt_action.history.past import KnownPast
from dt_action.history.records import RunRecord, Seen, merged, records_of
from dt_action.history.stores import DirectoryHistory, FileHistory, Store, history_at

__all__ = [
    "DirectoryHistory",
    "FileHistory",
    "KnownPast",
    "RunRecord",
    "Seen",
    "Store",
    "history_at",
    "merged",
    "records_of",
]
