"""Further pictures of a person are worth something, on the checked-in face pack."""

from studio_mini.faces.pack import load_pack
from studio_mini.measure.averaging import COUNTS, FACES, measure
from studio_mini.measure.verifier import HeldOutVerifier


def test_more_pictures_tell_better_who_it_is() -> None:
    pack = load_pack(FACES)
    figures = measure(pack, HeldOutVerifier(FACES, pack), 6)
    assert [one.pictures for one in figures] == list(COUNTS)
    assert {one.people for one in figures} == {6}
    means = [one.mean[0] for one in figures]
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.05
    for one in figures:
        assert 0 < one.held_out[0] < one.prior[0] < one.mean[0] < 1
        assert 0 < one.mean[1] < 0.1
