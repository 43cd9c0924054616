"""The sums behind the plot of embeddings, worked out by hand, and the pictures of one and of several models."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest

from mime_fast.emotions import LABELS, POSITIVE_IDS
from mime_fast.evaluation.pictures.embeddings import (
    describe_separation,
    draw_embeddings,
    place_labels,
    principal_components,
    separation,
    silhouette,
)
from mime_fast.evaluation.pictures.figure import save_figure
from tests.evaluation.pictures.test_confusion import png_size

SIZE = len(LABELS)


def place_of(text: Any) -> tuple[float, float]:
    """What an annotation of matplotlib's belongs to."""
    x, y = text.xy
    return float(x), float(y)


def test_principal_components_by_hand() -> None:
    """A cross in a tilted plane: arms of 5 along (3, 4, 0) / 5 and of 2 along z, away from the origin."""
    long, short, centre = np.array([3.0, 4.0, 0.0]), np.array([0.0, 0.0, 2.0]), np.array([7.0, -1.0, 9.0])
    coordinates, shares = principal_components(centre + np.stack([long, -long, short, -short]))
    axes = [[5, 0], [-5, 0], [0, 2], [0, -2]]
    signs = np.sign([coordinates[0, 0], coordinates[2, 1]])
    np.testing.assert_allclose(coordinates * signs, axes, atol=1e-12)
    np.testing.assert_allclose(shares, [50 / 58, 8 / 58])


@pytest.mark.parametrize("sign", [1, -1])
def test_principal_components_point_to_the_farthest(sign: int) -> None:
    coordinates, shares = principal_components(sign * np.array([[4.0, 0, 0], [-1, 0, 0], [-1, 0, 0], [-2, 0, 0]]))
    np.testing.assert_allclose(coordinates, [[4, 0], [-1, 0], [-1, 0], [-2, 0]], atol=1e-12)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)


def test_principal_components_keep_distances_of_a_plane() -> None:
    points = np.random.default_rng(1).normal(size=(9, 2))
    basis = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 2)))[0]
    coordinates, shares = principal_components(points @ basis.T + 3)
    distances = [np.linalg.norm(x[:, None] - x, axis=2) for x in (points, coordinates)]
    np.testing.assert_allclose(distances[1], distances[0], atol=1e-12)
    assert shares.sum() == pytest.approx(1) and shares[0] > shares[1]


def test_equal_vectors_have_no_variance() -> None:
    coordinates, shares = principal_components(np.full((4, 3), 2.5))
    assert not coordinates.any() and not shares.any()


def test_a_lonely_label_is_right_of_its_point() -> None:
    centres = place_labels(np.array([[50.0, 50.0]]), np.array([[20.0, 8.0]]), np.array([100.0, 100.0]), gap=4)
    np.testing.assert_allclose(centres, [[50 + 4 + 10, 50]])


def test_a_label_at_the_edge_turns_inwards() -> None:
    centres = place_labels(np.array([[95.0, 50.0]]), np.array([[20.0, 8.0]]), np.array([100.0, 100.0]), gap=4)
    assert centres[0, 0] + 10 <= 100


def test_labels_of_a_crowd_do_not_overlap() -> None:
    points = np.array([[50.0, 50], [52, 51], [50, 54], [53, 47], [60, 50], [52, 50]])
    sizes = np.tile([20.0, 8.0], (6, 1))
    centres = place_labels(points, sizes, np.array([100.0, 100.0]), gap=4)
    for i in range(6):
        for j in range(i):
            assert (np.abs(centres[i] - centres[j]) >= sizes[i] - 1e-9).any(), (i, j)


def test_silhouette_by_hand() -> None:
    """On a line: 0 and 1 against 4 and 7."""
    vectors = np.array([[0.0], [1.0], [4.0], [7.0]])
    first = np.array([True, True, False, False])
    parts = [(5.5 - 1) / 5.5, (4.5 - 1) / 4.5, (3.5 - 3) / 3.5, (6.5 - 3) / 6.5]
    assert silhouette(vectors, first) == pytest.approx(sum(parts) / 4)
    assert silhouette(vectors, ~first) == silhouette(vectors, first)
    assert silhouette(np.ones((4, 3)), first) == 0
    mixed = np.array([True, False, True, False])
    assert silhouette(np.array([[0.0], [0.0], [9.0], [9.0]]), mixed) == pytest.approx((4.5 - 9) / 9)


def test_separation_is_of_the_paper_s_groups() -> None:
    """Only the positive emotions stand out, in a third dimension that two wider ones hide from the picture."""
    embeddings = np.zeros((SIZE, 3))
    embeddings[:, :2] = 20 * np.random.default_rng(6).normal(size=(SIZE, 2))
    hidden = separation(embeddings)
    embeddings[list(POSITIVE_IDS), 2] = 15.0
    found = separation(embeddings)
    assert found["all"] > hidden["all"] + 0.05
    embeddings[:, :2] /= 20
    clear = separation(embeddings)
    assert clear["all"] > 0.7 and clear["drawn"] > 0.7
    assert "silhouette of the groups" in describe_separation(embeddings)
    assert f"{clear['drawn']:.3f} in the two drawn" in describe_separation(embeddings)


@pytest.mark.parametrize(("count", "size"), [(2, (800, 320)), (3, (800, 640))])
def test_several_models_are_panels_of_one_picture(count: int, size: tuple[int, int]) -> None:
    pytest.importorskip("matplotlib")
    models = {f"run_{i}$x": np.random.default_rng(i).normal(size=(SIZE, 6)) for i in range(count)}
    figure = draw_embeddings(models)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == count
    for axes, (name, embeddings) in zip(panels, models.items(), strict=True):
        assert name in axes.get_title() and describe_separation(embeddings) in axes.get_title()
        drawn = {text.get_text(): place_of(text) for text in axes.texts}
        np.testing.assert_allclose(list(drawn.values()), principal_components(embeddings)[0])
    stream = io.BytesIO()
    save_figure(figure, stream, "png", 800)
    assert png_size(stream.getvalue()) == size


def test_embeddings_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # its global state is not to be used
    embeddings = np.random.default_rng(4).normal(size=(SIZE, 6))
    coordinates, shares = principal_components(embeddings)
    figure = draw_embeddings({"made-up": embeddings})
    (axes,) = figure.axes
    drawn = {text.get_text(): text for text in axes.texts}
    assert list(drawn) == list(LABELS)
    np.testing.assert_allclose([place_of(text) for text in drawn.values()], coordinates)
    assert drawn["sad"].get_color() != drawn["joyful"].get_color() == drawn["proud"].get_color()
    assert [len(np.asarray(points.get_offsets())) for points in axes.collections] == [13, 19]
    assert "made-up" in axes.get_title()
    assert f"({shares[0]:.1%} of the variance)" in axes.get_xlabel()
    assert f"({shares[1]:.1%} of the variance)" in axes.get_ylabel()
    stream = io.BytesIO()
    save_figure(figure, stream, "png", 403)
    assert png_size(stream.getvalue()) == (403, 322)
