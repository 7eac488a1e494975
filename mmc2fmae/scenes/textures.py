"""Procedural textures: functions of position that say how much of a second colour to mix in."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

# A texture gets a Frame and a generator and returns float32 (h, w) in [0, 1].
_BANK = 512
_MIN_PERIOD = 3.0  # pixels; anything finer would only alias


class Frame:
    """Where the pixels of a window lie in the coordinates of an object or of the image.

    Args:
        matrix: (2, 3), maps pixel (x, y) of the window to (u, v).
        shape: Height and width of the window.
    """

    def __init__(self, matrix: np.ndarray, shape: tuple[int, int]) -> None:
        self.matrix, self.shape = matrix, shape
        x = np.arange(shape[1], dtype=np.float32)
        y = np.arange(shape[0], dtype=np.float32)[:, None]
        m = matrix.astype(np.float32)
        self.u = (m[0, 0] * x + m[0, 2]) + m[0, 1] * y
        self.v = (m[1, 0] * x + m[1, 2]) + m[1, 1] * y
        # Length in (u, v) of the finest period that the pixels can show.
        self.finest = _MIN_PERIOD * float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))

    def turned(self, turn: float) -> tuple[np.ndarray, np.ndarray]:
        """(u, v) rotated by `turn` radians, float32 (h, w) each."""
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        return c * self.u + s * self.v, c * self.v - s * self.u

    def noise(self, rng: np.random.Generator, along_u: float, along_v: float) -> np.ndarray:
        """Smooth noise, float32 (h, w) in [0, 1], with features of the given lengths in (u, v)."""
        matrix = self.matrix.astype(np.float64).copy()
        matrix[0] *= 4 / max(along_u, self.finest)  # a feature of the bank is 4 pixels wide
        matrix[1] *= 4 / max(along_v, self.finest)
        matrix[:, 2] = (matrix[:, 2] + rng.uniform(0, _BANK, 2)) % _BANK
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (self.shape[1], self.shape[0])
        return cv2.warpAffine(noise_bank(), matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP)


@cache
def noise_bank() -> np.ndarray:
    """A square of smooth noise that tiles, float32 (512, 512), uniform in [0, 1]; do not write."""
    rng = np.random.default_rng(20260311)
    total = np.zeros((_BANK, _BANK), np.float32)
    for cell, weight in ((4, 1.0), (16, 0.9), (2, 0.35)):
        cells = _BANK // cell
        coarse = rng.random((cells, cells), np.float32)
        coarse = np.pad(coarse, 3, mode='wrap')
        side = (cells + 6) * cell
        fine = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        total += weight * fine[3 * cell : -3 * cell, 3 * cell : -3 * cell]
    ranks = np.empty(_BANK * _BANK, np.float32)
    ranks[np.argsort(total, axis=None, kind='stable')] = np.linspace(0, 1, _BANK * _BANK)
    bank = ranks.reshape(_BANK, _BANK)
    bank.setflags(write=False)
    return bank


def wave(x: np.ndarray, period: float, phase: float, sharp: float = 1.0) -> np.ndarray:
    """A sine from 0 to 1 over `x`; `sharp` above 1 squares it off."""
    y = np.sin(x * np.float32(2 * np.pi / period) + np.float32(phase))
    return np.clip(0.5 + 0.5 * sharp * y, 0, 1)


def _either(rng: np.random.Generator, one: float, other: float) -> float:
    return one if rng.random() < 0.5 else other


def _period(frame: Frame, rng: np.random.Generator, low: float, high: float) -> float:
    return max(rng.uniform(low, high), frame.finest)


def stripes(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Parallel bars across or along the object."""
    u, _ = frame.turned(_either(rng, 0.0, np.pi / 2) + rng.normal(0, 0.15))
    return wave(u, _period(frame, rng, 0.3, 0.55), rng.uniform(0, 6.28), 2.5)


def waves(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Wavy bands."""
    u, v = frame.turned(_either(rng, 0.0, np.pi / 2) + rng.normal(0, 0.15))
    bent = v + np.float32(0.1) * np.sin(u * np.float32(rng.uniform(6, 10)))
    return wave(bent, _period(frame, rng, 0.28, 0.45), rng.uniform(0, 6.28), 1.5)


def checks(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """A chequerboard, upright or on its corner."""
    u, v = frame.turned(_either(rng, 0.0, np.pi / 4) + rng.normal(0, 0.05))
    k = np.float32(2 * np.pi / max(rng.uniform(0.5, 0.8), 2 * frame.finest))
    return np.clip(0.5 + 3 * np.sin(k * u) * np.sin(k * v), 0, 1)


def spots(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Round dots on a slanted grid."""
    u, v = frame.turned(np.pi / 4 + rng.normal(0, 0.2))
    k = np.float32(2 * np.pi / max(rng.uniform(0.4, 0.62), 1.4 * frame.finest))
    phase = rng.uniform(0, 6.28, 2).astype(np.float32)
    return np.clip(1.8 * (np.cos(k * u + phase[0]) + np.cos(k * v + phase[1])) - 0.9, 0, 1)


def rings(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Rings around one or two centres."""
    at = rng.uniform(-0.3, 0.3)
    r = np.hypot(np.abs(frame.u) - np.float32(_either(rng, 0.0, 0.5)), frame.v - np.float32(at))
    return wave(r, _period(frame, rng, 0.26, 0.42), rng.uniform(0, 6.28), 2.0)


def scales(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Overlapping arcs in staggered rows."""
    p = max(rng.uniform(0.3, 0.45), 1.4 * frame.finest)
    u, v = frame.turned(_either(rng, 0.0, np.pi / 2))
    row = np.floor(u / np.float32(0.7 * p))
    a = u / np.float32(0.7 * p) - row
    b = v / np.float32(p) + 0.5 * (row % 2)
    b = 2 * np.abs(b - np.floor(b) - 0.5)
    return np.clip(2.2 * np.hypot(a, b) - 1.3, 0, 1)


def bricks(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Courses of blocks with light joints."""
    h = max(rng.uniform(0.2, 0.3), frame.finest)
    return courses(frame.u, frame.v, h, 2.2 * h, 0.2)


def courses(u: np.ndarray, v: np.ndarray, high: float, wide: float, joint: float) -> np.ndarray:
    """Draw the joints (1) between staggered blocks (0) of a height and width in (u, v)."""
    y = v / np.float32(high)
    row = np.floor(y)
    x = u / np.float32(wide) + 0.5 * (row % 2)
    gap_y = y - row < joint + 0.1
    gap_x = (x - np.floor(x)) * wide < joint * high
    return (gap_y | gap_x).astype(np.float32)


def speckle(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Irregular patches."""
    n = frame.noise(rng, rng.uniform(0.12, 0.3), rng.uniform(0.12, 0.3))
    return np.clip(3.5 * (n - 0.5) + 0.4, 0, 1)


def gloss(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """A smooth highlight."""
    x, y = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.1)
    d = np.hypot(frame.u - np.float32(x), frame.v - np.float32(y))
    return np.clip(1.05 - np.float32(rng.uniform(0.9, 1.5)) * d, 0, 1)


TEXTURES: dict[str, Callable[[Frame, np.random.Generator], np.ndarray]] = {
    f.__name__: f for f in (bricks, checks, gloss, rings, scales, speckle, spots, stripes, waves)
}
