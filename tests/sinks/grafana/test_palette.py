"""The colours of the statuses, as people with any of the usual kinds of colour blindness see them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from sinks.grafana.palette import STATUS_COLORS, STATUS_WORDS, status_words

Vector = npt.NDArray[np.float64]
# Machado, Oliveira, Fernandes 2009, severity 1.0, on linear sRGB.
SIGHTS = {
    "everybody": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
PANELS = {"light": "#FFFFFF", "dark": "#181B1F"}  # the panels' background in Grafana's themes


def linear(colour: str) -> Vector:
    part = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def seen(colour: str, sight: Vector) -> Vector:
    """CIE L*a*b*."""
    xyz = TO_XYZ @ np.clip(sight @ linear(colour), 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours: list[str], sight: str) -> float:
    """CIE76 distance of the two that are most alike."""
    return min(
        float(np.linalg.norm(seen(one, SIGHTS[sight]) - seen(other, SIGHTS[sight])))
        for one, other in combinations(colours, 2)
    )


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    light, dark = sorted((float(TO_XYZ[1] @ linear(colour)) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("sight", SIGHTS)
def test_statuses_are_told_apart(sight: str) -> None:
    assert nearest(list(STATUS_COLORS.values()), sight) > 40


def test_grafanas_own_green_and_orange_would_not_be() -> None:
    assert nearest(["#73BF69", "#FF9830", "#F2495C"], "deuteranopia") < 40


@pytest.mark.parametrize("theme", PANELS)
@pytest.mark.parametrize("status", STATUS_COLORS)
def test_they_stand_out_in_both_themes(status: str, theme: str) -> None:
    assert contrast(STATUS_COLORS[status], PANELS[theme]) >= 3


def test_each_has_its_word() -> None:
    words = {option["text"] for mapping in status_words() for option in texts(mapping.to_json()["options"])}
    assert words == {*STATUS_WORDS.values(), "No status"}


def texts(options: object) -> list[dict[str, str]]:
    found = options if isinstance(options, dict) else {"": options.to_json()["result"]}  # type: ignore[attr-defined]
    return [one.to_json() for one in found.values()]
