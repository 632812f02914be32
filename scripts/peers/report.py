"""Markdown tables and a picture of the rows that are kept: a table a pair without truth, means and pairs where there is one."""
import math
import sys
from pathlib import Path
from statistics import fmean

BEGIN, END = "<!-- bench-peers: begin -->", "<!-- bench-peers: end -->"
BUSY = 0.1  # processors that others had: from here on wall seconds are marked

# measured on a machine like this one by another program with the same definitions: NiftyReg is not in PyPI, and
# bigstream's blocks need hours
QUOTED = {
    "expansion": [
        "| *quoted:* NiftyReg f3d LNCC 5, from the published affine | 1 / 2 | - / 135 | 251 / - | 1520 | .882 / .881 | .850 | - | .654 |",
        "| *quoted:* NiftyReg f3d NMI, from the same | 2 | 42 | - | 1161 | .881 / .880 | .828 | - | .715 |",
        "| *quoted:* bigstream's own affine, from nothing: the published one | 1 | 187 | - | 6121 | .772 / .772 | .700 | - | .979 |",
        "| *quoted:* its local affines after that, and its deformation [1,1] | 2 | 204 + 314 | - | 4862 | .818 / .818 | .766 | - | .408 |",
    ]
}
TRUTH = [  # figure, title, sign: 1 where more is better
    ("tre_mean", "TRE mean, mm", -1), ("dice", "Dice", 1), ("error_median", "error median, mm", -1),
    ("loop_mean", "there and back, um", -1),
]
FAMILIES = {  # in this order; what is said above the tables
    "expansion": "Expansion pair, no truth",
    "brain": "Slabs of six brains, Dice of 4 labels",
    "skull": "Mouse skulls to a template, 45 landmarks each",
    "zebrafish": "Zebrafish before and after, no truth",
    "greedy": "greedy's phantoms, rigid motion known",
    "prostate": "Prostates, ultrasound to MR, Dice of gland and landmarks",
}
GIVEN = ("identity", "reference")
COLOURS = {"collimate": "#c02040", "greedy": "#2060c0", "elastix": "#208040", "ants": "#c08000", "bigstream": "#7040a0"}


def number(x, digits=3):
    return "-" if x is None or math.isnan(x) else f"{x:.{digits}f}".replace("0.", ".", 1) if abs(x) < 1 else f"{x:.{digits}f}"


def seconds(x):
    return "-" if x is None else f"{x:.1f}" if x < 20 else f"{x:.0f}"


def wall(r):
    return seconds(r.get("wall_s")) + ("*" if r.get("others", 0) > BUSY else "")


def family(r):
    return r["pair"].split("-")[0]


def truth_of(rows):
    return next((t for t in TRUTH if any(t[0] in r for r in rows)), None)


def line(r):
    if "failed" in r:
        return f"{r['pair']:22} {r['tool']:18} {r['threads']} FAILED: {r['failed']}"
    time = f"{r['wall_s']:7.1f} s {r['cpu_s']:7.1f} cpu {r['peak_mb']:6.0f} MB" if "cpu_s" in r else " " * 29
    truth = ", ".join(f"{title} {number(r[k])}" for k, title, _ in TRUTH if k in r)
    return (f"{r['pair']:22} {r['tool']:18} {r['threads']} {time} ncc {number(r['ncc'])} local {number(r['local_ncc'])} "
            f"mi {number(r['mi'])} minJ {number(r['min_jacobian'])} {truth}")


def pair_table(name, rows):
    out = ["| tool | threads | wall s | CPU s | peak MB | NCC own / common | local NCC | MI | min J (folded) |", "|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        start = f"| {r['tool']} | {r['threads'] or '-'} | {wall(r)} | {seconds(r.get('cpu_s'))} | "
        if "failed" in r:
            out.append(f"{start}- | failed: {r['failed'].replace('|', '/')} | | | |")
            continue
        memory = f"{r['peak_mb']:.0f}" if "peak_mb" in r else "-"
        folded = f" ({r['folded']:.1e})" if r["folded"] else " (0)"
        out.append(f"{start}{memory} | {number(r['ncc'])} / {number(r['ncc_common'])} | {number(r['local_ncc'])} | {number(r['mi'])} | "
                   f"{number(r['min_jacobian'])}{folded} |")
    return out + QUOTED.get(name, []) + [""]


def by_tool(rows):
    return {t: [r for r in rows if r["tool"] == t] for t in dict.fromkeys(r["tool"] for r in rows)}


def mean(rows, k):
    found = [r[k] for r in rows if not math.isnan(r.get(k, math.nan))]
    return fmean(found) if found else None


def means_table(rows, truth):
    names = sorted({r["pair"] for r in rows})
    head = [truth[1]] if truth else []
    out = ["| tool | pairs | " + " | ".join([*head, "NCC", "local NCC", "MI", "least min J", "pairs with folds", "CPU s a pair", "most MB"]) + " |",
           "|---|---|" + "---|" * (len(head) + 7)]
    for tool, mine in by_tool(rows).items():
        good = [r for r in mine if "failed" not in r]
        failed = f", {len(mine) - len(good)} failed" if len(good) < len(mine) else ""
        least = min((r["min_jacobian"] for r in good), default=None)
        memory = max((r["peak_mb"] for r in good if "peak_mb" in r), default=None)
        cells = ([number(mean(good, truth[0]))] if truth else []) + [number(mean(good, k)) for k in ("ncc", "local_ncc", "mi")]
        cells += [number(least), str(sum(r["folded"] > 0 for r in good)), seconds(mean(good, "cpu_s")), "-" if memory is None else f"{memory:.0f}"]
        out.append(f"| {tool} | {len(good)} of {len(names)}{failed} | " + " | ".join(cells) + " |")
    return out + [""]


def value(r, truth):
    return r[truth[0]] if r and truth[0] in r else None


def paired_table(rows, truth):
    """of each pair the tools side by side, and against each peer: on how many pairs better, by how much"""
    at = {(r["pair"], r["tool"]): value(r, truth) for r in rows}
    tools = [t for t in by_tool(rows) if any(at.get((r["pair"], t)) is not None for r in rows)]
    out = [f"| {truth[1]} | " + " | ".join(tools) + " |", "|---|" + "---|" * len(tools)]
    for pair in sorted({r["pair"] for r in rows}, key=lambda p: (len(p), p)):
        mine = {t: at.get((pair, t)) for t in tools}
        best = max((truth[2] * v for t, v in mine.items() if v is not None and t not in GIVEN), default=None)
        cells = [f"**{number(v)}**" if v is not None and truth[2] * v == best and t not in GIVEN else number(v) for t, v in mine.items()]
        out.append(f"| {pair.split('-', 1)[1]} | " + " | ".join(cells) + " |")
    out += ["", "| | against | pairs of both | better on | mean difference | from | to |", "|---|---|---|---|---|---|---|"]
    for own in [t for t in ("collimate", "collimate-defaults") if t in tools]:
        for t in [t for t in tools if not t.startswith("collimate")]:
            both = [p for p in {r["pair"] for r in rows} if at.get((p, own)) is not None and at.get((p, t)) is not None]
            d = [at[p, own] - at[p, t] for p in both]
            if d:
                cells = [own, t, str(len(d)), str(sum(truth[2] * x > 0 for x in d)), *(f"{x:+.3f}" for x in (fmean(d), min(d), max(d)))]
                out.append("| " + " | ".join(cells) + " |")
    return out + [""]


def order(found):
    rank = {t: k for k, t in enumerate([*GIVEN, "collimate", "collimate-start", "collimate-defaults", "greedy", "greedy-affine", "greedy-deform", "elastix"])}
    return sorted(found, key=lambda r: (r["pair"], rank.get(r["tool"], 99), r["tool"], r["threads"]))


def tables(found):
    found = order(found)
    versions = sorted({r["version"] for r in found if "version" in r})
    marked = sum("wall_s" in r and r.get("others", 0) > BUSY for r in found)
    out = [f"Versions: {', '.join(versions)}. Every row is one run; {marked} of {sum('wall_s' in r for r in found)} beside other work: their "
           f"wall seconds, marked *, say nothing.", ""]
    for name, title in FAMILIES.items():
        mine = [r for r in found if family(r) == name]
        if not mine:
            continue
        out += [f"### {title}", ""]
        truth = truth_of(mine)
        if len({r["pair"] for r in mine}) == 1:
            out += pair_table(name, mine)
            continue
        one = [r for r in mine if r["threads"] < 2]
        if len({len(rows) for rows in by_tool(one).values()}) > 1:
            out += ["Not every tool did every pair: compare those by the pairs they did, below, not by these means.", ""]
        out += means_table(one, truth)
        if truth:
            out += paired_table(one, truth)
    failed = [r for r in found if "failed" in r]
    out += ["### What failed", ""]
    out += [f"* {r['pair']}, {r['tool']}, {r['threads']} threads: {r['failed']}" for r in failed] or ["Nothing."]
    return "\n".join(out) + "\n"


def picture(found, path):
    """score against CPU seconds, one thread: a dot a pair, a large one at a tool's mean, for tools that did all pairs"""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = [r for r in order(found) if r["threads"] == 1 and "failed" not in r and r["tool"] != "collimate-start"]
    shown = [n for n in ("expansion", "brain", "skull")
             if any(family(r) == n and not r["tool"].startswith("collimate") for r in found)]
    figure, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 3.8), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], shown):
        mine = [r for r in found if family(r) == name]
        k, title, sign = truth_of(mine) or ("local_ncc", "local NCC", 1)
        pairs = {r["pair"] for r in mine}
        for tool, rows in by_tool(mine).items():
            if len(rows) < len(pairs):
                continue  # its mean is of other pairs
            colour = COLOURS[tool.split("-")[0]]
            x, y = [r["cpu_s"] for r in rows], [r[k] for r in rows]
            if len(rows) > 1:
                axis.plot(x, y, ".", color=colour, alpha=0.35, markersize=5)
            centre = math.exp(fmean(map(math.log, x))), fmean(y)
            axis.plot(*centre, "o", color=colour, markersize=7)
            axis.annotate(tool, centre, xytext=(6, 5), textcoords="offset points", color=colour, fontsize=8)
        axis.set_xscale("log")
        axis.set_xlabel("CPU seconds a pair")
        axis.set_ylabel(title + (", less is better" if sign < 0 else ""))
        axis.set_title(FAMILIES[name].split(",")[0], fontsize=10)
        axis.margins(0.18)
        axis.grid(alpha=0.25)
        if sign < 0:
            axis.invert_yaxis()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def write(args, found):
    text = tables(found)
    if not args.page:
        print(text)
        return
    page = Path(args.page)
    old = page.read_text()
    if BEGIN not in old or END not in old:
        sys.exit(f"{page}: has no lines {BEGIN} and {END}")
    head, tail = old.split(BEGIN)[0], old.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}")
    picture(found, page.parent / "pictures/peers.png")
