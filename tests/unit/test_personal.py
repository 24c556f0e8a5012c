"""What tells who asked, or where exactly, is taken out."""

from __future__ import annotations

import pytest

from agri_llm.personal import district


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("Kiptere village, Kericho, Kenya", "Kericho, Kenya"),
        ("12 Mill Road, Iowa", "Iowa"),
        ("my farm", None),
        ("Kenya", "Kenya"),
        ("河北省石家庄市藁城区岗上镇", "河北省石家庄市藁城区"),
        ("岗上镇", None),
        ("-1.2921, 36.8219", None),
        (None, None),
        ("", None),
    ],
)
def test_a_place_is_no_finer_than_a_district(place: str | None, shown: str | None) -> None:
    assert district(place) == shown
