#!/usr/bin/env python3
"""Runs the workloads in other frameworks beside ours, from the same weights and data, and prints the
ratios. See docs/benchmarks.md.

    python3 benches/peers/run.py                                   everything on the CPU
    python3 benches/peers/run.py --quick --workloads W2 W3         a look
    python3 benches/peers/run.py --peers pytorch-graph --device cuda

The first run makes Python environments in target/peers (PyTorch takes some 5 GB), and builds the
programs in Rust there. The forms for a GPU have not been run yet."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "target" / "peers"
PYTORCH = ["torch==2.15.0", "numpy", "safetensors", "setuptools"]
# What data.py compares with.
DATA = ["torchvision==0.29.2", "pandas==3.1.1", "polars==2.1.0", "librosa==0.11.0"]
# Packages by environment; on a GPU, JAX brings its own CUDA libraries.
PACKAGES = {
    "pytorch": {"cpu": PYTORCH + DATA},
    "jax": {
        "cpu": ["jax==0.10.2", "numpy", "safetensors"],
        "cuda": ["jax[cuda13]==0.10.2", "numpy", "safetensors"],
    },
}
# Written in Rust, for the CPU; on a GPU they need a CUDA toolkit to be built.
IN_RUST = ["candle", "burn"]
PEERS = {
    "cpu": [
        "pytorch-eager",
        "pytorch-compile",
        "jax-jit",
        "jax-scan",
        "candle-eager",
        "burn-flex",
    ],
    "cuda": [
        "pytorch-eager",
        "pytorch-compile",
        "pytorch-compile-overhead",
        "pytorch-compile-max",
        "pytorch-graph",
        "jax-jit",
        "jax-scan",
    ],
}
# Rows of a step.
WORKLOADS = dict(W1=100, W2=32, W3=128, W4=512, W7=1, W8b1=1, W8b256=256, W9=17, W10=96, W11=96)
# What a form does not change or cannot do.
LEFT_OUT = {
    ("jax-scan", "W8b1"),
    ("jax-scan", "W8b256"),
    ("pytorch-graph", "W8b1"),
    ("pytorch-graph", "W8b256"),
}


def environment(framework, device):
    """The Python of a framework's environment, which is made where it is missing or another."""
    packages = PACKAGES[framework].get(device, PACKAGES[framework]["cpu"])
    place = PLACE / f"{framework}-{device}"
    note, python = place / "packages", place / "bin" / "python"
    if not note.exists() or note.read_text() != "\n".join(packages):
        print(f"installing {' '.join(packages)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        note.write_text("\n".join(packages))
    return python


def build(framework):
    """A framework's program in Rust."""
    project, place = Path(__file__).with_name("rust_peers"), PLACE / "rust"
    command = ["cargo", "build", "--release", "--locked", "--features", framework]
    command += ["--bin", f"with_{framework}", "--target-dir", str(place)]
    # As its authors advise.
    flags = dict(os.environ, RUSTFLAGS="-C target-cpu=native")
    subprocess.run(command, check=True, cwd=project, env=flags)
    return place / "release" / f"with_{framework}"


def program(framework, device):
    """The beginning of a command."""
    if framework in IN_RUST:
        return [build(framework)]
    return [environment(framework, device), Path(__file__).with_name(f"with_{framework}.py")]


def own(options, workload):
    """Our own answer, by `ironwarp bench`."""
    command = [options.ironwarp, "bench", "--json", "--only", workload]
    command += ["--quick"] if options.quick else []
    result = subprocess.run(command, capture_output=True, text=True, env=options.environment)
    if result.returncode:
        return dict(problem=result.stderr.strip().splitlines()[-1])
    report = json.loads(result.stdout)
    devices = [report["cpu"]] if options.device == "cpu" else report["gpu"]
    if not devices:
        return dict(problem="no GPU")
    entry = next(e for e in devices[0]["workloads"] if e["id"] == workload)
    version = report["machine"]["version"]
    return dict(
        version=version,
        seconds_per_step=entry["seconds_per_step"]["median"],
        peak_bytes=entry["alone"] and entry["alone"]["memory"]["peak"],
    )


def other(options, name, workload):
    """A peer's answer."""
    framework, form = name.split("-", 1)
    budget = "0.5" if options.quick else "3"
    command = [*options.programs[framework], form, workload, PLACE / "data", options.device, budget]
    command = [str(part) for part in command]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=600, env=options.environment
        )
    except subprocess.TimeoutExpired:
        return dict(problem="took more than 600 s")
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no answer"]
        return dict(problem=lines[-1])
    return json.loads(result.stdout.strip().splitlines()[-1])


def compare(options, workload):
    """Median seconds of every program over the rounds, and the ratios to ours."""
    names = ["ironwarp"] + [p for p in options.peers if (p, workload) not in LEFT_OUT]
    answers = {name: [] for name in names}
    problems = {}
    for turn in range(options.rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            if name in problems:
                continue
            answer = own(options, workload) if name == "ironwarp" else other(options, name, workload)
            if "problem" in answer:
                problems[name] = answer["problem"]
            else:
                answers[name].append(answer)
    return names, answers, problems


def row(name, own_times, answers, problem, rows):
    if problem:
        return f"  {name:26} refused: {problem}"
    times = [answer["seconds_per_step"] for answer in answers]
    rate = rows / statistics.median(times)
    peaks = [answer["peak_bytes"] for answer in answers if answer["peak_bytes"]]
    peak = f"{max(peaks) / 2**20:,.0f} MiB" if peaks else "-"
    line = f"  {name:26} {answers[0]['version']:>14} {rate:14,.0f} rows/s {peak:>10}"
    if name == "ironwarp" or not own_times:
        return line
    ratios = sorted(theirs / ours for theirs, ours in zip(times, own_times))
    return f"{line} {statistics.median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--peers", nargs="+", help="default: all forms for the device")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3, help="processes of each program; default 3")
    parser.add_argument("--quick", action="store_true", help="half a second each in place of three")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--ironwarp", help="the program; built from here if it is not named")
    options = parser.parse_args()
    options.peers = options.peers or PEERS[options.device]
    unknown = [peer for peer in options.peers if peer not in PEERS[options.device]]
    if unknown:
        known = ", ".join(PEERS[options.device])
        parser.error(f"no {', '.join(unknown)} on {options.device}; there are {known}")
    if options.ironwarp is None:
        command = ["cargo", "build", "--release", "--bin", "ironwarp"]
        subprocess.run(command, check=True, cwd=ROOT)
        options.ironwarp = str(ROOT / "target" / "release" / "ironwarp")
    frameworks = {peer.split("-")[0] for peer in options.peers}
    options.programs = {name: program(name, options.device) for name in sorted(frameworks)}
    threads = str(options.threads)
    names = ["IRONWARP_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"]
    options.environment = dict(os.environ, **dict.fromkeys(names, threads))
    options.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    options.environment["RUST_BACKTRACE"] = "0"  # the last line of an error is what is shown
    export = [options.ironwarp, "bench", "--export", str(PLACE / "data")]
    subprocess.run(export, check=True, env=options.environment)

    print(f"{options.device}, {threads} threads, {options.rounds} rounds")
    print("program, version, speed, largest resident size, how many times faster ours is: median")
    print("(smallest to largest)")
    for workload in options.workloads:
        print(workload, flush=True)
        programs, answers, problems = compare(options, workload)
        own_times = [answer["seconds_per_step"] for answer in answers["ironwarp"]]
        for name in programs:
            line = row(name, own_times, answers[name], problems.get(name), WORKLOADS[workload])
            print(line, flush=True)


if __name__ == "__main__":
    main()
