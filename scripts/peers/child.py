"""python -S child.py RESULT COMMAND...: runs it and leaves its exit code, CPU seconds and peak memory. A small
process of its own, since a child's peak counts from the moment its parent forked: a large parent would show."""
import json
import os
import sys

pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, use = os.wait4(pid, 0)
with open(sys.argv[1], "w") as f:
    json.dump({"code": os.waitstatus_to_exitcode(status), "cpu_s": use.ru_utime + use.ru_stime,
               "peak_mb": use.ru_maxrss / 1024}, f)
