"""What was measured, kept: one line of a CSV a pair, tool and number of threads.

A row's key is made of everything that its figures depend on: the tool's version, its settings, the pair, the
evaluator. A row whose key is another one is measured again when it is asked for. The file is written whole after
every row and read again before, so that a second run beside the first one loses nothing.
"""
import csv
import fcntl
import os
from pathlib import Path

TEXT = ("pair", "tool", "version", "key", "note", "failed")
COUNT = ("threads",)
NUMBER = ("load", "others", "wall_s", "cpu_s", "peak_mb", "ncc", "ncc_common", "local_ncc", "mi", "min_jacobian", "folded",
          "overlap", "tre_mean", "tre_median", "tre_max", "dice", "dice_general", "error_median", "error_p99", "loop_mean")
COLUMNS = ("pair", "tool", "threads", "version", "key", *NUMBER, "note", "failed")


class Rows:
    def __init__(self, path):
        self.path = Path(path)
        self.rows = self.read()

    def read(self):
        if not self.path.exists():
            return {}
        with open(self.path, newline="") as f:
            found = [{k: v if k in TEXT else int(v) if k in COUNT else float(v) for k, v in line.items() if v != ""}
                     for line in csv.DictReader(f)]
        return {(r["pair"], r["tool"], r["threads"]): r for r in found}

    def get(self, pair, tool, threads):
        return self.rows.get((pair, tool, threads))

    def put(self, row):
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self.rows = self.read() | {(row["pair"], row["tool"], row["threads"]): row}
            part = self.path.with_suffix(".part")
            with open(part, "w", newline="") as f:
                out = csv.DictWriter(f, COLUMNS, restval="", lineterminator="\n")
                out.writeheader()
                out.writerows({k: f"{v:.5g}" if k in NUMBER else v for k, v in self.rows[name].items()}
                              for name in sorted(self.rows))
            os.replace(part, self.path)
        finally:
            os.close(folder)  # and the lock with it
