#!/usr/bin/env python3
"""Reads files to arrays with other libraries beside ours and prints the ratios. See
docs/benchmarks.md.

    python3 benches/peers/data.py
    python3 benches/peers/data.py --jobs csv --rows 100000     a look

The files are made in target/peers/files. The libraries are in the Python environment that `run.py`
makes for PyTorch (some 6 GB); the program is `benches/data.rs`."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import run

FILES = run.PLACE / "files"
PEERS = {"csv": ["pandas", "polars"], "images": ["torchvision"]}
PEERS |= {"augmented": ["torchvision"], "mel": ["librosa"]}
MAKE = """
import sys, wave
from pathlib import Path
import numpy as np, polars
from PIL import Image
folder, rows = Path(sys.argv[1]), int(sys.argv[2])
random = np.random.default_rng(1)
table = folder / f"{rows}.csv"
if not table.exists():
    numbers = {f"x{i}": random.normal(size=rows) * 10.0 ** (i % 5) for i in range(14)}
    counts = {f"n{i}": random.integers(0, 10 ** (i + 1), rows) for i in range(6)}
    polars.DataFrame(numbers | counts).write_csv(table)
for name in "ab":
    images = folder / "images" / name
    images.mkdir(parents=True, exist_ok=True)
    for i in range(100):
        # Smooth, as photographs are, with some noise.
        waves = np.sin(np.linspace(0, 6, 375)[:, None, None] * random.uniform(0.5, 2, 3)
                       + np.linspace(0, 6, 500)[None, :, None] * random.uniform(0.5, 2, 3))
        pixels = waves * 100 + 128 + random.normal(size=(375, 500, 3)) * 5
        Image.fromarray(pixels.clip(0, 255).astype("u1")).save(images / f"{i}.jpg", quality=90)
sounds = folder / "sounds"
sounds.mkdir(exist_ok=True)
for i in range(200):
    with wave.open(str(sounds / f"{i % 10}_{i}.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
        file.writeframes((random.normal(size=16000) * 3000).astype("<i2").tobytes())
"""


def build():
    """Our program, `benches/data.rs`."""
    command = ["cargo", "bench", "--no-run", "--features", "images,audio", "--bench", "data"]
    command += ["--message-format", "json"]
    lines = subprocess.run(command, check=True, cwd=run.ROOT, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in lines.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == "data")


def answer(command, environment):
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment
    )
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3, help="processes of each; default 3")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the CSV file of 20 columns")
    options = parser.parse_args()
    python, program = run.environment("pytorch", "cpu"), build()
    threads = str(len(os.sched_getaffinity(0)))
    names = ["OMP_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS"]
    environment = dict(os.environ, **dict.fromkeys(names, threads))
    FILES.mkdir(parents=True, exist_ok=True)
    subprocess.run([python, "-c", MAKE, FILES, str(options.rows)], check=True)
    places = dict(csv=FILES / f"{options.rows}.csv", mel=FILES / "sounds")
    places |= dict.fromkeys(["images", "augmented"], FILES / "images")
    print(f"{threads} threads, {options.rounds} rounds; files are in the page cache")
    print("library, version, speed, how many times faster ours is: median (smallest to largest)")
    script = Path(__file__).with_name("with_data.py")
    for job in options.jobs:
        commands = {"ironwarp": [program, job, places[job]]}
        commands |= {peer: [python, script, peer, job, places[job]] for peer in PEERS[job]}
        answers = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                answers[name].append(answer(command, environment))
        print(f"{job}, {places[job].name}", flush=True)
        ours = [entry["seconds"] for entry in answers["ironwarp"]]
        for name, entries in answers.items():
            rows = entries[0]["rows"]
            if rows != answers["ironwarp"][0]["rows"]:
                sys.exit(f"{name} read {rows} rows, which are not ours")
            times = [entry["seconds"] for entry in entries]
            rate = rows / statistics.median(times)
            line = f"  {name:12} {entries[0]['version']:>8} {rate:12,.0f} rows/s"
            ratios = sorted(theirs / own for theirs, own in zip(times, ours))
            if name != "ironwarp":
                line += f" {statistics.median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(line, flush=True)


if __name__ == "__main__":
    main()
