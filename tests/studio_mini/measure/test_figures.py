"""The yardsticks themselves: known answers for each."""

from pathlib import Path

import numpy as np
import pytest

from studio_mini.evaluate import Figure, at_least, at_most, table, write_card
from studio_mini.measure.identity import cosine
from studio_mini.measure.judge import balanced_accuracy
from studio_mini.measure.vae import psnr_db


def test_psnr_of_a_known_error() -> None:
    picture = np.full((1, 8, 8, 3), 100, np.uint8)
    assert psnr_db(picture, picture + 10) == pytest.approx(20 * np.log10(25.5))


def test_balanced_accuracy_counts_both_sides() -> None:
    right = np.array([True, False, False, False])
    assert balanced_accuracy(np.array([False] * 4), right) == 0.5
    assert balanced_accuracy(right, right) == 1.0


def test_a_face_not_found_is_nobodys() -> None:
    assert cosine(None, np.ones(512, np.float32)) == 0.0


def test_targets_are_held_to_the_figure_itself() -> None:
    assert at_least("a", "b", 27.99, 28).reached is False
    assert at_most("a", "b", 0.05, 0.05).reached is True
    assert at_least("a", "b", float("nan"), 1).reached is False


def test_card_keeps_everything_but_the_figures(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("top\n<!-- figures: written by evaluate.py -->\nold\n<!-- end of figures -->\nbottom\n")
    write_card(card, table([Figure("VAE", "PSNR", "25 dB", ">= 28 dB", False)]))
    text = card.read_text()
    assert text.startswith("top\n")
    assert text.endswith("bottom\n")
    assert "old" not in text
    assert "| VAE | PSNR | 25 dB | >= 28 dB | **no** |" in text


def test_card_without_a_place_is_left_alone(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("no marks\n")
    with pytest.raises(ValueError, match="no place"):
        write_card(card, "figures")
    assert card.read_text() == "no marks\n"
