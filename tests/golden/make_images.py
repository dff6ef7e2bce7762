"""Writes images/: small JPEGs and PNGs of every kind, and what Pillow and transformers make of them.

Needs: pillow 13.0.0, numpy, transformers 5.23.0 (with torch). Run: python3 make_images.py
images/index.txt has a line for each result:
    decode FILE WIDTH HEIGHT           pixels.bin goes on with its RGB bytes, then its gray bytes
    preprocess FILE C H W TYPE CONFIG  planes.bin goes on with C * H * W little-endian f32
The pixels are those of open(), exif_transpose() and convert("RGB"), as transformers' load_image()
gives them, and convert("L") of that; 16-bit gray is made by hand, see engine/image/decode.h.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

OUT = pathlib.Path(__file__).resolve().parent / "images"
WIDTH, HEIGHT = 17, 10
PROCESSORS = {"vit": ViTImageProcessorPil, "deit": DeiTImageProcessorPil, "dinov2": BitImageProcessorPil}


def picture(width, height, n_channels=3):
    """A smooth picture without any symmetry: [height, width, n_channels] of uint8."""
    y, x, c = np.mgrid[0:height, 0:width, 0:n_channels]
    wave = np.sin(x * 0.31 + c) + np.cos(y * 0.47 - x * 0.13 * c) + x / width - y / height
    return np.clip(128 + 52 * wave, 0, 255).astype(np.uint8)


# ---- PNG: Pillow writes neither interlaced ones nor every depth ----

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows_of(samples, depth):
    """The filtered rows: Sub where a sample is a byte, else None. samples: [h, w, n_channels]."""
    out = b""
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            out += b"\0" + row.astype(">u2").tobytes()
        elif depth == 8:
            n = samples.shape[2]
            left = np.concatenate([np.zeros(n, np.uint8), row[:-n]])
            out += b"\1" + (row.astype(np.uint8) - left.astype(np.uint8)).tobytes()
        else:
            bits = "".join(f"{v:0{depth}b}" for v in row)
            bits += "0" * (-len(bits) % 8)
            out += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    return out


def png(samples, depth, color, interlaced=False, before=b"", after=b""):
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    if interlaced:
        passes = (samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7)
        rows = b"".join(rows_of(p, depth) for p in passes if p.size)
    else:
        rows = rows_of(samples, depth)
    data = zlib.compress(rows, 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", data[:50]) # in two parts
        + chunk(b"IDAT", data[50:])
        + after
        + chunk(b"IEND", b"")
    )


def exif(orientation, order="<", kind=3):
    """TIFF with two entries, the second of which is the orientation."""
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([orientation, 0] if kind == 3 else [orientation]))
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(order + "IH", 8, 2)
        + struct.pack(order + "HHII", 0x0100, 4, 1, 99)
        + struct.pack(order + "HHI", 0x0112, kind, 1)
        + value
        + struct.pack(order + "I", 0)
    )


def pngs():
    rgb, gray = picture(WIDTH, HEIGHT), picture(WIDTH, HEIGHT, 1)
    rgba, gray_alpha = picture(WIDTH, HEIGHT, 4), picture(WIDTH, HEIGHT, 2)
    wide = picture(WIDTH, HEIGHT).astype(np.uint16) * 257 - 77 * (picture(WIDTH, HEIGHT) > 1)
    indices = gray // 16
    palette = chunk(b"PLTE", picture(16, 1).tobytes())
    yield "rgb.png", png(rgb, 8, 2)
    yield "rgba.png", png(rgba, 8, 6)
    yield "gray.png", png(gray, 8, 0)
    yield "gray-alpha.png", png(gray_alpha, 8, 4)
    yield "gray-1.png", png(gray >> 7, 1, 0)
    yield "gray-2.png", png(gray >> 6, 2, 0)
    yield "gray-4.png", png(gray >> 4, 4, 0)
    yield "gray-16.png", png(wide[:, :, :1], 16, 0)
    yield "rgb-16.png", png(wide, 16, 2)
    yield "palette.png", png(indices, 8, 3, before=palette)
    yield "palette-4.png", png(indices, 4, 3, before=palette)
    yield "palette-alpha.png", png(indices, 8, 3, before=palette + chunk(b"tRNS", bytes(range(0, 160, 10))))
    yield "rgb-transparent.png", png(rgb, 8, 2, before=chunk(b"tRNS", rgb[2, 3].astype(">u2").tobytes()))
    yield "interlaced.png", png(rgb, 8, 2, interlaced=True)
    yield "interlaced-gray-1.png", png(gray >> 7, 1, 0, interlaced=True)
    yield "interlaced-1x1.png", png(rgb[:1, :1], 8, 2, interlaced=True)
    yield "gamma.png", png(rgb, 8, 2, before=chunk(b"gAMA", struct.pack(">I", 100000)))
    yield "1x1.png", png(rgb[:1, :1], 8, 2)
    yield "orientation-6.png", png(rgb, 8, 2, before=chunk(b"eXIf", exif(6)))
    yield "orientation-8-after.png", png(rgb, 8, 2, after=chunk(b"eXIf", exif(8, ">")))
    frames = [Image.fromarray(a) for a in (rgb, rgb[::-1], rgb[:, ::-1])]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:], duration=100)
    yield "animated.png", file.getvalue()
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:], default_image=True)
    yield "animated-default.png", file.getvalue()
    yield "photo.png", png(picture(31, 25), 8, 2)
    yield "tall.png", png(picture(9, 31), 8, 2)


# ---- JPEG ----


def jpeg(array, mode=None, **options):
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, "JPEG", **options)
    return file.getvalue()


def jpegs():
    rgb, gray = picture(WIDTH, HEIGHT), picture(WIDTH, HEIGHT, 1)[:, :, 0]
    yield "420.jpg", jpeg(rgb, quality=90)
    yield "422.jpg", jpeg(rgb, quality=90, subsampling=1)
    yield "444.jpg", jpeg(rgb, quality=90, subsampling=0)
    yield "restarts.jpg", jpeg(rgb, quality=90, restart_marker_blocks=1)
    yield "progressive.jpg", jpeg(rgb, quality=90, progressive=True)
    yield "rgb.jpg", jpeg(rgb, quality=90, keep_rgb=True)
    yield "gray.jpg", jpeg(gray, quality=90)
    cmyk = jpeg(picture(WIDTH, HEIGHT, 4), "CMYK", quality=90)
    yield "cmyk.jpg", cmyk
    # The same bytes as YCCK: Adobe's marker ends with the transform.
    at = cmyk.index(b"Adobe") + 11
    assert cmyk[at] == 0
    yield "ycck.jpg", cmyk[:at] + b"\2" + cmyk[at + 1 :]
    yield "1x1.jpg", jpeg(rgb[:1, :1])
    for orientation in range(9):
        order, kind = "<>"[orientation % 2], 3 + orientation // 4 % 2
        yield f"orientation-{orientation}.jpg", jpeg(rgb, exif=b"Exif\0\0" + exif(orientation, order, kind))
    yield "photo.jpg", jpeg(picture(33, 26), quality=90)


def upright(name):
    with Image.open(OUT / name) as image:
        if name == "gray-16.png":
            image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
        return ImageOps.exif_transpose(image).convert("RGB")


# ---- preprocessing ----

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
RAW = {"do_rescale": False, "do_normalize": False}
CASES = [
    ("photo.png", "vit", {"size": {"height": 10, "width": 11}}),
    ("photo.png", "vit", {"size": 11, "resample": 0, **RAW}),
    ("photo.png", "vit", {"size": 11, "resample": 2, **RAW}),
    ("photo.png", "vit", {"size": 11, "resample": 3, **RAW}),
    ("1x1.png", "vit", {"size": {"height": 5, "width": 9}, "resample": 3}),
    ("rgb.png", "vit", {"size": {"height": 15, "width": 9}, "resample": 3, **RAW}),
    ("rgb.png", "vit", {"size": {"height": 15, "width": 9}, "resample": 0, **RAW}),
    ("rgb.png", "vit", {"do_resize": False, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}),
    ("1x1.png", "vit", {"do_resize": False, "do_normalize": False}),
    ("1x1.png", "vit", {"do_resize": False, "do_rescale": False, "image_mean": 100, "image_std": 50}),
    ("1x1.png", "vit", {"do_resize": False, "rescale_factor": 0.007, "unknown": [1, {"a": None}]}),
    ("photo.jpg", "deit", {"size": 14, "crop_size": 11, **IMAGENET}),
    ("photo.jpg", "deit", {"size": {"height": 13, "width": 8}, "crop_size": {"height": 10, "width": 11}, **IMAGENET}),
    ("photo.jpg", "deit", {"do_resize": False, "crop_size": {"height": 9, "width": 12}, "crop_pct": 0.9}),
    ("photo.jpg", "dinov2", {"size": {"shortest_edge": 15}, "crop_size": 10, "do_convert_rgb": True}),
    ("photo.jpg", "dinov2", {"size": 13, "do_center_crop": False, "resample": 2, **RAW}),
    ("tall.png", "dinov2", {"size": {"shortest_edge": 7}, "do_center_crop": False}),
    ("tall.png", "deit", {"size": {"height": 9, "width": 11}, "crop_size": 6, **RAW}),
    ("tall.png", "vit", {"size": {"height": 31, "width": 4}, **RAW}),
    ("tall.png", "dinov2", {"size": {"shortest_edge": 14}, "crop_size": {"height": 6, "width": 17}}),
]


def main():
    OUT.mkdir(exist_ok=True)
    files = dict([*pngs(), *jpegs()])
    lines, pixels, planes = [], b"", b""
    for name, data in files.items():
        (OUT / name).write_bytes(data)
        image = upright(name)
        lines.append(f"decode {name} {image.width} {image.height}")
        pixels += image.tobytes() + image.convert("L").tobytes()
    for name, model_type, config in CASES:
        values = PROCESSORS[model_type](**config)(upright(name))["pixel_values"][0].astype("<f4")
        shape = " ".join(str(n) for n in values.shape)
        lines.append(f"preprocess {name} {shape} {model_type} {json.dumps(config)}")
        planes += values.tobytes()
    (OUT / "index.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (OUT / "pixels.bin").write_bytes(pixels)
    (OUT / "planes.bin").write_bytes(planes)


if __name__ == "__main__":
    main()
