"""What the demo asks: real pictures and spoken words as tensors, each with the model's answer when run directly."""

import ctypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageDraw, ImageFont

from demo.models import Say, Wheel, unpacked

PICTURES: Final = Wheel("scikit-image==0.26.0", "BSD-3-Clause; its pictures are named in skimage/data/README.txt")
SPEECH: Final = Wheel(
    "espeakng-loader==0.2.4", "GPL-3.0-or-later; fetched when the demo runs, not shipped with Parkade"
)

Tensors = Mapping[str, np.ndarray]

PICTURE_SIZE: Final = (352, 256)
"""Width and height; the detector takes multiples of 32. One picture is 1,081,344 bytes as float32."""
LINE_SIZE: Final = (320, 48)
"""The reader's; one line is 184,320 bytes."""
SIGNS: Final = (
    ("STOP", "#b01c2e", "brick.png"),
    ("SPEED LIMIT 35", "#1f4e9c", "gravel.png"),
    ("EXIT 24", "#0a6b3d", "grass.png"),
)
SENTENCE: Final = b"Stop sign ahead. Please slow down. The next charger is four kilometres away."

SAMPLE_RATE: Final = 16000
WINDOW: Final = 512
"""Samples a window, as silero-vad wants at 16 kHz, each preceded by the last 64 of the window before."""
CONTEXT: Final = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """One question and its right answer."""

    inputs: Tensors
    expected: Tensors


def samples(models: Mapping[str, Path], say: Say) -> dict[str, tuple[Sample, ...]]:
    """Questions by model name; the answers come from onnxruntime in this process, on one thread."""
    pictures, lines = _signs(unpacked(PICTURES, say) / "skimage" / "data")
    return {
        "sign-detector": _answered(models["sign-detector"], [{"x": _picture(image)} for image in pictures]),
        "sign-reader": _answered(models["sign-reader"], [{"x": _line(image)} for image in lines]),
        "voice-activity": _listened(models["voice-activity"], _spoken(unpacked(SPEECH, say) / "espeakng_loader")),
    }


def read_line(model: Path, answer: Tensors) -> str:
    """The text in the reader's answer: the best character of each step, repeats and blanks removed (CTC)."""
    alphabet = ["", *session(model).get_modelmeta().custom_metadata_map["character"].splitlines(), " "]
    (scores,) = answer.values()
    best = scores[0].argmax(axis=1)
    steps = [now for before, now in zip([-1, *best], best, strict=False) if now != before]
    return "".join(alphabet[step] for step in steps).strip()


def session(model: Path) -> ort.InferenceSession:
    """The model on one thread, as every replica of the demo runs it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def run(directly: ort.InferenceSession, inputs: Tensors) -> Tensors:
    """Run the model here. Clients send a scalar as `[1]`, since Triton has no tensor without dimensions."""
    ranks = {tensor.name: len(tensor.shape) for tensor in directly.get_inputs()}
    feeds = {name: value.reshape(()) if ranks[name] == 0 else value for name, value in inputs.items()}
    names = [tensor.name for tensor in directly.get_outputs()]
    return dict(zip(names, directly.run(names, feeds), strict=True))


def _answered(model: Path, questions: Iterable[Tensors]) -> tuple[Sample, ...]:
    directly = session(model)
    return tuple(Sample(inputs, run(directly, inputs)) for inputs in questions)


def _signs(photographs: Path) -> tuple[list[Image.Image], list[Image.Image]]:
    """Pictures with text in them and single lines of that text: a photographed page, and signs before photographs."""
    page = Image.open(photographs / "page.png").convert("RGB")
    pictures = [_fit(page, PICTURE_SIZE)]
    lines = [page.crop((0, 4, 215, 40)), page.crop((0, 48, 140, 68)), page.crop((0, 118, 180, 138))]
    for text, colour, behind in SIGNS:
        scene, sign = _sign(text, colour, Image.open(photographs / behind).convert("RGB"))
        pictures.append(scene)
        lines.append(sign)
    return pictures, lines


def _sign(text: str, colour: str, photograph: Image.Image) -> tuple[Image.Image, Image.Image]:
    """A sign mounted before a photograph, and the sign alone."""
    font = ImageFont.load_default(34)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    sign = Image.new("RGB", (right - left + 24, bottom - top + 20), colour)
    ImageDraw.Draw(sign).text((12 - left, 10 - top), text, fill="white", font=font)
    scene = photograph.resize(PICTURE_SIZE)
    scene.paste(sign, ((PICTURE_SIZE[0] - sign.width) // 2, (PICTURE_SIZE[1] - sign.height) // 2))
    return scene, sign


def _fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale to fit, the rest grey."""
    scale = min(size[0] / image.width, size[1] / image.height)
    fitted = Image.new("RGB", size, "grey")
    fitted.paste(image.resize((round(image.width * scale), round(image.height * scale))))
    return fitted


def _picture(image: Image.Image) -> np.ndarray:
    """`[1, 3, height, width]` in -1 .. 1, blue first, as the PP-OCR models were trained."""
    pixels = np.asarray(image, np.float32)[:, :, ::-1] / 127.5 - 1
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def _line(image: Image.Image) -> np.ndarray:
    """One line of text scaled to the reader's height, zeros behind it."""
    width = min(LINE_SIZE[0], round(image.width * LINE_SIZE[1] / image.height))
    padded = np.zeros((1, 3, LINE_SIZE[1], LINE_SIZE[0]), np.float32)
    padded[:, :, :, :width] = _picture(image.resize((width, LINE_SIZE[1])))
    return padded


def _spoken(espeak: Path) -> np.ndarray:
    """A sentence spoken by eSpeak NG, 16 kHz mono in -1 .. 1."""
    library = ctypes.CDLL(str(espeak / "libespeak-ng.so"))
    rate: int = library.espeak_Initialize(2, 0, str(espeak / "espeak-ng-data").encode(), 0)  # 2: synchronous
    if rate <= 0:
        raise RuntimeError(f"eSpeak NG in {espeak} does not start; delete that folder and start again")
    heard: list[np.ndarray] = []

    def hear(wave: "ctypes._Pointer[ctypes.c_short]", count: int, _: int) -> int:
        if count > 0:
            heard.append(np.ctypeslib.as_array(wave, (count,)).astype(np.float32))
        return 0

    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    callback = signature(hear)
    library.espeak_SetSynthCallback(callback)
    library.espeak_Synth(SENTENCE, ctypes.c_size_t(len(SENTENCE) + 1), 0, 0, 0, 1, None, None)  # 1: UTF-8
    wave: np.ndarray = np.concatenate(heard) / 32768
    moments = np.arange(len(wave) * SAMPLE_RATE // rate) * (rate / SAMPLE_RATE)
    resampled: np.ndarray = np.interp(moments, np.arange(len(wave)), wave).astype(np.float32)
    return resampled


def _listened(model: Path, wave: np.ndarray) -> tuple[Sample, ...]:
    """Consecutive windows; each carries the state that the one before it left behind."""
    directly = session(model)
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(CONTEXT, np.float32)
    heard = []
    for start in range(0, len(wave) - WINDOW, WINDOW):
        window = wave[start : start + WINDOW]
        inputs = {
            "input": np.concatenate([context, window])[None],
            "state": state,
            "sr": np.array([SAMPLE_RATE], np.int64),
        }
        expected = run(directly, inputs)
        heard.append(Sample(inputs, expected))
        state, context = expected["stateN"], window[-CONTEXT:]
    return tuple(heard)
