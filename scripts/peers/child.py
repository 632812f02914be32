"""python -S child.py RESULT CPU_SECONDS COMMAND...: runs it and leaves its exit code, CPU seconds and peak memory.

A small process of its own, since a child's peak counts from the moment its parent forked: a large parent would
show. CPU seconds are those of the command and of all processes it waited for. Memory is the largest
process as the kernel counts it or, where there are several at a time, the largest sum of their proportional
shares (PSS) that was seen, looked at twenty times a second.
"""
import json
import os
import resource
import sys
import time

LOOK_S = 0.05


def family(pid):
    """the process, its children, theirs"""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as f:
                    found += map(int, f.read().split())
        except OSError:
            pass  # ended meanwhile
    return found


def shares_mb(pid):
    """PSS of the process and its family; 0 for a single one, whose peak the kernel knows"""
    total, members = 0, family(pid)
    for member in members if len(members) > 1 else []:
        try:
            with open(f"/proc/{member}/smaps_rollup") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except OSError:
            pass
    return total / 1024


def main():
    told, seconds, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    pid, shared, wait_s = os.posix_spawnp(command[0], command, os.environ), 0.0, 0.01
    while True:
        done, status, use = os.wait4(pid, os.WNOHANG)
        if done:
            break
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, LOOK_S)
        shared = max(shared, shares_mb(pid))
    with open(told, "w") as f:
        json.dump({"code": os.waitstatus_to_exitcode(status), "cpu_s": use.ru_utime + use.ru_stime,
                   "peak_mb": max(use.ru_maxrss / 1024, shared)}, f)


main()
