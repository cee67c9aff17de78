"""Small valid files that the fuzzers begin with, into fuzz/corpus: python3 fuzz/seeds.py

Needs Python alone; with Pillow also JPEG and WebP images.
"""

import gzip
import io
import json
import pathlib
import struct
import wave
import zipfile
import zlib

HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parent / "tests" / "fixtures"


def npy(kind, shape, body, order="False"):
    """An NPY file, version 1.0."""
    head = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


def npz(method, arrays):
    """A ZIP archive of NPY files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, array in arrays.items():
            archive.writestr(name + ".npy", array)
    return out.getvalue()


def safetensors(header, body):
    """A safetensors file."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def wav(width, channels, rate=8000, samples=32):
    """A WAV file of whole numbers."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(bytes(7 * i % 251 for i in range(width * channels * samples)))
    return out.getvalue()


def float_wav(samples=32):
    """A WAV file of 32-bit floats."""
    body = struct.pack(f"<{samples}f", *(i / samples - 0.5 for i in range(samples)))
    head = struct.pack("<HHIIHH", 3, 1, 8000, 32000, 4, 32)
    chunks = b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def png(color, channels, depth=8, side=4):
    """A PNG file without filters."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    width = side * channels * depth // 8
    lines = b"".join(b"\0" + bytes(9 * (i + y) % 256 for i in range(width)) for y in range(side))
    head = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def pictures():
    """JPEG and WebP images, where Pillow is installed."""
    try:
        from PIL import Image
    except ImportError:
        return []
    image = Image.frombytes("RGB", (8, 8), bytes(5 * i % 256 for i in range(192)))
    files = []
    for kind, options in [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 20}),
    ]:
        out = io.BytesIO()
        image.save(out, kind, **options)
        files.append(out.getvalue())
    out = io.BytesIO()
    image.convert("L").save(out, "JPEG")
    return files + [out.getvalue()]


def tokenizer(**model):
    """A tokenizer.json with few tokens, a zero and a text."""
    pre = model.pop("pre")
    tokens = {token: i for i, token in enumerate(["a", "b", "c", "ab", "abc", "<unk>"])}
    model = {"type": "BPE", "vocab": tokens, "merges": ["a b", "ab c"], **model}
    text = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": pre,
            "post_processor": None, "decoder": None, "model": model}
    return json.dumps(text).encode() + b"\0abc ab\ncab"


def seeds():
    """Contents by target."""
    floats = npy("<f4", "(2, 3)", struct.pack("<6f", *range(6)))
    whole = npy(">i2", "(3,)", struct.pack(">3h", -1, 0, 1))
    turned = npy("<f8", "(2, 2)", struct.pack("<4d", *range(4)), "True")
    idx = struct.pack(">BBBBII", 0, 0, 8, 2, 2, 3) + bytes(range(6))
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    other = {"dtype": "I64", "shape": [1], "data_offsets": [8, 16]}
    text = "to be, or not to be\nthat ist die Frage: äöü €\n".encode()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    return {
        "npy": [floats, whole, turned, npy("|b1", "()", b"\1"), npy("|u1", "(0, 2)", b"")],
        "npz": [npz(zipfile.ZIP_STORED, {"x": floats, "y": whole}),
                npz(zipfile.ZIP_DEFLATED, {"x": turned})],
        "idx": [idx, gzip.compress(idx), struct.pack(">BBBBI", 0, 0, 8, 1, 4) + b"abcd"],
        "model_file": [safetensors({"a": tensor, "b": other}, bytes(16)),
                       safetensors({"__metadata__": {"ironwarp": "{\"x\": [1, 2.5]}"}, "a": tensor},
                                   bytes(8)),
                       safetensors({}, b"")],
        "text": [text, gzip.compress(text), b"\xef\xbb\xbfmark", b"abcde\xff"],
        "wav": [wav(1, 1), wav(2, 2), wav(3, 1), wav(4, 1), float_wav()],
        "images": [png(2, 3), png(0, 1), png(6, 4), png(2, 3, 16), *pictures()],
        "tokenizer": [tokenizer(pre={"type": "WhitespaceSplit"}, unk_token="<unk>"),
                      tokenizer(pre=byte_level)],
        "parquet": [(FIXTURES / "parquet" / name).read_bytes()
                    for name in ("nested.parquet", "int96.parquet")],
        "csv": [b"\0a,b\n1,x\n2,y\n3,x\n4,y\n", b"\x2a1;2\n?;4\n\"5\";6\n7;8\n"],
    }


def main():
    """Writes them."""
    for target, files in seeds().items():
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(files):
            (folder / f"seed-{number}").write_bytes(content)


main()
