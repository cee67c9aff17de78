"""Files to arrays in pandas, polars, torchvision and librosa; prints one JSON object.

Called as `with_data.py LIBRARY JOB PATH`. Each reading is whole, from the file to arrays in memory; the
median of at least three and two seconds."""

import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

THREADS = int(os.environ["OMP_NUM_THREADS"])
# Images that ours augments at once.
BATCH = 50


def pandas(_, path):
    import pandas

    return pandas.__version__, lambda: len(pandas.read_csv(path).to_numpy())


def polars(_, path):
    import polars

    return polars.__version__, lambda: len(polars.read_csv(path).to_numpy())


def torchvision(job, path):
    """Decoding, resizing, augmenting where that is the job, and normalising by threads, which is faster
    than processes here; augmented images in batches."""
    import torch
    import torchvision
    from torchvision.transforms import v2 as transforms

    torch.set_num_threads(1)  # the pool is what works side by side
    augmented = job == "augmented"
    changes = [
        transforms.RandomHorizontalFlip(0.5),
        transforms.RandomRotation(15, transforms.InterpolationMode.BILINEAR),
        transforms.ColorJitter(0.2, 0.2, 0.2, 0.05),
    ]
    transform = transforms.Compose(
        [
            transforms.PILToTensor(),
            transforms.Resize((224, 224), antialias=True),
            *(changes if augmented else []),
            transforms.ToDtype(torch.float32, scale=True),
            transforms.Normalize([0.5] * 3, [0.5] * 3)
            if augmented
            else transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    folder = torchvision.datasets.ImageFolder(path, transform)

    def work():
        with ThreadPoolExecutor(THREADS) as pool:
            images = [x for x, _ in pool.map(folder.__getitem__, range(len(folder)))]
        size = BATCH if augmented else len(images)
        batches = range(0, len(images), size)
        return sum(len(torch.stack(images[first : first + size])) for first in batches)

    return torchvision.__version__, work


def librosa(_, path):
    import librosa
    import numpy as np

    files = sorted(Path(path).glob("*.wav"))

    def one(file):
        sound, rate = librosa.load(file, sr=None)
        power = librosa.feature.melspectrogram(
            y=sound, sr=rate, n_fft=512, hop_length=160, n_mels=64, pad_mode="constant"
        )
        return librosa.power_to_db(power, top_db=None).astype(np.float32)

    def work():
        with ThreadPoolExecutor(THREADS) as pool:
            return len(np.stack(list(pool.map(one, files))))

    return librosa.__version__, work


def main():
    version, work = globals()[sys.argv[1]](*sys.argv[2:])
    rows, seconds = work(), []
    while len(seconds) < 3 or sum(seconds) < 2.0:
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    print(json.dumps(dict(version=version, rows=rows, seconds=statistics.median(seconds))))


if __name__ == "__main__":
    main()
